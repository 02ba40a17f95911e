"""The study: every rule in every world, and its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from pytest_specdec.gate.study.contenders import LANDED, OURS, Contender, Trial
from pytest_specdec.gate.study.world import REALISTIC, WORLDS, Suite, World

Scope = Literal["none", "one", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """True loss of the candidate."""

    scope: Scope
    loss: float = 0.0

    def __str__(self) -> str:
        return "clean" if self.scope == "none" else f"{self.scope} -{self.loss:.0%}"


CLEAN = Effect(scope="none")
ONE_AT_MARGIN = Effect(scope="one", loss=0.05)
ALL_EFFECTS = (
    CLEAN,
    Effect(scope="one", loss=0.03),
    ONE_AT_MARGIN,
    Effect(scope="one", loss=0.10),
    Effect(scope="all", loss=0.03),
    Effect(scope="all", loss=0.05),
    Effect(scope="all", loss=0.10),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Minutes and GPUs of a run, for GPU-hours."""

    run_min: float = 2.0
    start_min: float = 5.0
    """Loading a large model and capturing its graphs."""
    gpus: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rule in one world with one effect, over many suites. Shares are fractions."""

    world: str
    rule: str
    effect: Effect
    suites: int
    red: float
    """Suites that FAIL: false alarms when clean, detection when all cells lost."""
    red_bound: float
    """One-sided 95 % Clopper-Pearson bound: from above when clean, from below otherwise."""
    hit_red: float
    """Suites in which the cell that lost FAILs."""
    hit_bound: float
    """Its lower bound."""
    hit_green: float
    """Suites in which the cell that lost passes: misses."""
    inconclusive: float
    runs_per_cell: float
    """Of both engines."""
    starts: float
    gpu_hours: float
    common: float
    """Suites that paid for pairs to explain a common shift."""


def study(  # noqa: PLR0913 - a study is all of these
    *,
    suites: int = 2000,
    worlds: Mapping[str, World] = WORLDS,
    rules: Mapping[str, Contender] | None = None,
    prices: Prices | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Row, ...]:
    """Simulate suites under every rule: all effects in the first world, clean and one cell at the margin in the others.

    Args:
        suites: Of each rule, world and effect. A thousand take about a quarter of a minute with our rule.
        worlds: By name.
        rules: By name; ours with its variants without it.
        prices: For GPU-hours.
        seed: Equal seeds give equal tables.
        progress: Told of every row that is begun.
    """
    rules = rules or LANDED
    prices = prices or Prices()
    plan = [
        (world, rule, effect)
        for number, world in enumerate(worlds.values())
        for rule in rules
        for effect in (ALL_EFFECTS if number == 0 else (CLEAN, ONE_AT_MARGIN))
    ]
    rows = []
    for number, (world, rule, effect) in enumerate(plan):
        progress(f"{number + 1}/{len(plan)}: {world.name}, {rule}, {effect}")
        trials = [_trial(world, rules[rule], effect, [seed, i]) for i in range(suites)]
        rows.append(_row(world, rule, effect, trials, prices))
    return tuple(rows)


def _trial(world: World, rule: Contender, effect: Effect, seed: list[int]) -> Trial:
    generator = np.random.default_rng(seed)
    suite = Suite(world, generator)
    hit = int(generator.integers(len(suite.names)))
    chosen = {"none": slice(0, 0), "one": slice(hit, hit + 1), "all": slice(None)}[effect.scope]
    suite.loss[chosen] = -np.log1p(-effect.loss)
    return rule(suite, hit)


def _row(world: World, rule: str, effect: Effect, trials: Sequence[Trial], prices: Prices) -> Row:
    n = len(trials)
    red, hit = sum(trial.failed for trial in trials), sum(trial.hit_failed for trial in trials)
    hours = [t.cost.gpu_hours(run_min=prices.run_min, start_min=prices.start_min, gpus=prices.gpus) for t in trials]
    return Row(
        world=world.name,
        rule=rule,
        effect=effect,
        suites=n,
        red=red / n,
        red_bound=upper_bound(red, n) if effect.scope == "none" else lower_bound(red, n),
        hit_red=hit / n,
        hit_bound=lower_bound(hit, n),
        hit_green=sum(trial.hit_passed for trial in trials) / n,
        inconclusive=sum(trial.inconclusive for trial in trials) / n,
        runs_per_cell=float(np.mean([trial.cost.runs for trial in trials])) / world.cells,
        starts=float(np.mean([trial.cost.starts for trial in trials])),
        gpu_hours=float(np.mean(hours)),
        common=float(np.mean([trial.cost.common > 0 for trial in trials])),
    )


def upper_bound(count: int, n: int) -> float:
    """One-sided 95 % Clopper-Pearson bound from above."""
    return float(stats.binomtest(count, n, alternative="less").proportion_ci(0.95, method="exact").high)


def lower_bound(count: int, n: int) -> float:
    """One-sided 95 % Clopper-Pearson bound from below."""
    return float(stats.binomtest(count, n, alternative="greater").proportion_ci(0.95, method="exact").low)


_HEADINGS = (
    "rule", "suites", "false alarm", "bound", "clean inconclusive", "one -3 %", "one -5 %", "bound", "missed",
    "one -10 %", "all -3 %", "all -5 %", "all -10 %", "runs per cell", "starts", "GPU-hours", "common shift attributed",
)  # fmt: skip


def render(rows: Iterable[Row]) -> str:
    """Markdown: all effects of the first world, then false alarms and detection in every world."""
    rows = list(rows)
    if not rows:
        return ""
    first = rows[0].world
    worlds = list(dict.fromkeys(row.world for row in rows))
    parts = [_effects_table([row for row in rows if row.world == first], first)]
    if len(worlds) > 1:
        parts.append(_worlds_table(rows, worlds))
    return "\n".join(parts)


def _effects_table(rows: list[Row], world: str) -> str:
    lines = []
    for rule in dict.fromkeys(row.rule for row in rows):
        by_effect = {str(row.effect): row for row in rows if row.rule == rule}
        clean, margin = by_effect[str(CLEAN)], by_effect[str(ONE_AT_MARGIN)]
        one = [by_effect[f"one -{size}%"].hit_red for size in (3, 10)]
        every = [by_effect[f"all -{size}%"].red for size in (3, 5, 10)]
        lines.append([
            _bold(rule), f"{clean.suites:,}", _percent(clean.red, 2), _percent(clean.red_bound, 2),
            _percent(clean.inconclusive), _percent(one[0]), _percent(margin.hit_red), _percent(margin.hit_bound),
            _percent(margin.hit_green), _percent(one[1]), *(_percent(share) for share in every),
            f"{clean.runs_per_cell:.1f}",
            f"{clean.starts:.0f}", f"{clean.gpu_hours:.0f}", _percent(clean.common),
        ])  # fmt: skip
    return _table(f"World `{world}`, percent; bounds one-sided 95 % (Clopper-Pearson).", _HEADINGS, lines)


def _worlds_table(rows: list[Row], worlds: list[str]) -> str:
    lines = []
    found = {(row.world, row.rule, str(row.effect)): row for row in rows}
    for rule in dict.fromkeys(row.rule for row in rows):
        cells = [_bold(rule), f"{next(row.suites for row in rows if row.rule == rule):,}"]
        for world in worlds:
            clean, margin = found[world, rule, str(CLEAN)], found[world, rule, str(ONE_AT_MARGIN)]
            cells.append(
                f"{_percent(clean.red, 2)} ({_percent(clean.red_bound, 2)}) / {_percent(margin.hit_red)} / "
                f"{clean.runs_per_cell:.1f}"
            )
        lines.append(cells)
    title = "Every world: false alarm (bound) / -5 % in one cell / runs per cell, clean."
    return _table(title, ("rule", "suites", *worlds), lines)


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (headings, *rows)]
    return "\n".join([title, "", lines[0], "|---" * len(headings) + "|", *lines[1:]]) + "\n"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}"


def _bold(rule: str) -> str:
    return f"**{rule}**" if rule == OURS else rule


__all__ = ["REALISTIC", "Effect", "Prices", "Row", "render", "study"]
