"""A shift that all cells share, attributed to the machine or to the engine.

A slower machine shifts every cell; so does an engine that lost everywhere. Fresh pairs of both engines on a few quiet
cells tell them apart. The rule asks for them only when the shift exceeds those among the baseline's own sessions: at a
fixed 0.5 % every third clean run would pay for them.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from scipy import special

from pytest_specdec.gate.confirm import padded
from pytest_specdec.gate.family import PAIR_FREEDOM, Family
from pytest_specdec.gate.interim import Interim, interim_of
from pytest_specdec.gate.noise import CommonNoise, robust_mean
from pytest_specdec.gate.screen import Machine, Screened
from pytest_specdec.gate.terms import Terms
from pytest_specdec.results.decision import CommonShift, Whose

PAIRED_CLEAN = 0.04
"""Share of clean suites that pay for pairs."""
FEWEST_CELLS = 5
"""With fewer cells no common shift is estimated; each cell is confirmed by itself."""
FEWEST_TELLING = 4
"""With fewer paired cells the shift stays unexplained."""
_MIDDLE_HALF = 1.2
"""Variance of the mean of the middle half over that of the mean (normal values)."""
_ENGINES = 4
"""Most engines that the pairs start, for starts are the cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The common shift of one metric in the screen."""

    metric: str
    index: int
    shift: float
    spread: float
    """Standard deviation of a clean shift: that of one session against the mean of the stored ones."""
    freedom: float
    threshold: float
    near: float
    far: float

    @property
    def stands_out(self) -> bool:
        """True where the shift is to be attributed."""
        return abs(self.shift) > self.threshold


def common_shifts(family: Family, screened: Screened) -> list[Seen]:
    """Mean loss over the cells, by metric, and the threshold from which it is attributed.

    Threshold: `t(1 - 0.02 / metrics, sessions - 1) x g x sqrt(1 + 1 / sessions)`, the prediction interval of one more
    session, and half the tolerance at least.
    """
    found = []
    for index, metric in enumerate(family.metrics):
        common = family.noise.common_of(metric)
        rows = (family.metric == index) & ~np.isnan(screened.loss) & family.gated
        if common is None or rows.sum() < FEWEST_CELLS:
            continue
        spread = common_spread(common)
        near = float(family.near[rows][0])
        quantile = float(special.stdtrit(common.freedom, 1 - PAIRED_CLEAN / 2 / len(family.metrics)))
        found.append(
            Seen(
                metric=metric,
                index=index,
                shift=robust_mean(screened.loss[rows]),
                spread=spread,
                freedom=common.freedom,
                threshold=max(quantile * spread, near / 2),
                near=near,
                far=float(family.far[rows][0]),
            )
        )
    return found


def common_spread(common: CommonNoise) -> float:
    """Standard deviation of one more session's mean against the mean of the stored sessions."""
    return common.common_sd * float(np.sqrt(1 + 1 / max(common.sessions, 1)))


def telling_cells(family: Family, engines: Mapping[str, str], paired: Container[str], terms: Terms) -> list[str]:
    """The quietest cells that can be paired, taken in turn from at most four engines."""
    quiet: dict[str, float] = {}
    for hypothesis, gated, noise in zip(family.hypotheses, family.gated, family.variance / family.far**2, strict=True):
        if gated and hypothesis.cell in paired:
            quiet[hypothesis.cell] = max(quiet.get(hypothesis.cell, 0.0), float(noise))
    queues: dict[str, list[str]] = {}
    for cell in sorted(quiet, key=lambda cell: (quiet[cell], cell)):
        queues.setdefault(engines.get(cell, cell), []).append(cell)
    turns = list(queues.values())[:_ENGINES]
    deepest = max((len(turn) for turn in turns), default=0)
    return [turn[depth] for depth in range(deepest) for turn in turns if depth < len(turn)][: terms.common_cells]


def pooled_interim(family: Family, pairs: Mapping[int, list[float]], starts: int, factor: float) -> Interim:
    """Pool the pairs of the chosen cells: one observation per pair, its robust mean over the cells.

    Cells of one engine share its starts, so what differs between starts is averaged over the engines only.

    Args:
        family: Hypotheses.
        pairs: Differences by chosen hypothesis.
        starts: Engines among them.
        factor: phi.
    """
    rows = list(pairs)
    between = family.start_variance[rows].mean() / max(starts, 1)
    within = _MIDDLE_HALF * family.run_variance[rows].mean() / len(rows)
    variance = 2 * factor**2 * (between + within)
    table = padded(list(pairs.values()))
    there = ~np.all(np.isnan(table), axis=0)
    means = [robust_mean(column[~np.isnan(column)]) for column in table[:, there].T] or [math.nan]
    freedom = min(float(family.freedom[rows].min()), PAIR_FREEDOM)
    return interim_of(np.array([means]), np.array([variance]), np.array([freedom]))


def machine_of(family: Family, shifts: Iterable[CommonShift]) -> Machine | None:
    """The machine's part by hypothesis, for metrics whose shift is explained; None where none is."""
    shift, variance, explained_variance = np.zeros((3, len(family.hypotheses)))
    machine = Machine(shift=shift, variance=variance, explained=explained_variance)
    known = [one for one in shifts if one.machine is not None and one.engine_se is not None]
    for one in known:
        of_metric = family.metric == family.metrics.index(one.metric)
        common = family.noise.common_of(one.metric)
        machine.shift[of_metric] = one.machine
        machine.variance[of_metric] = (one.engine_se or 0.0) ** 2
        machine.explained[of_metric] = common.common_sd**2 if common else 0.0
    return machine if known else None


def unexplained(seen: Seen, *, looked_for: bool) -> CommonShift:
    """A shift without pairs that could attribute it."""
    return CommonShift(
        metric=seen.metric,
        seen=seen.shift,
        threshold=seen.threshold,
        looked_for=looked_for,
        whose="unknown" if seen.stands_out else "nobody",
    )


def explained(seen: Seen, interim: Interim, level: float, alpha: float) -> CommonShift:
    """Attribute a shift: to the engine where pairs show a loss beyond the tolerance, the rest to the machine."""
    engine, se = float(interim.loss[0]), float(interim.se[0])
    if np.isnan(engine):
        return unexplained(seen, looked_for=True)
    p = float(interim.beyond(np.array([seen.near]))[0])
    machine = seen.shift - engine
    by_engine = abs(engine) > max(float(special.stdtrit(interim.freedom[0], 0.975)) * se, seen.near / 2)
    by_machine = abs(machine) > max(seen.near, seen.threshold) / 2
    whose: dict[tuple[bool, bool], Whose] = {
        (True, True): "both", (True, False): "engine", (False, True): "machine", (False, False): "nobody",
    }  # fmt: skip
    return msgspec.structs.replace(
        unexplained(seen, looked_for=True),
        engine=engine,
        engine_se=se,
        machine=machine,
        p_adjusted=min(1.0, p * alpha / level),
        whose=whose[by_engine, by_machine],
        failed=p < level,
    )


def judge_unpaired(seen: Seen, level: float, alpha: float) -> CommonShift:
    """Judge a shift without a reference engine: a FAIL needs a loss beyond the margin, and the cause stays unknown."""
    p = float(special.stdtr(seen.freedom, -(seen.shift - seen.far) / seen.spread))
    shift = unexplained(seen, looked_for=False)
    return msgspec.structs.replace(shift, p_adjusted=min(1.0, p * alpha / level), failed=p < level)
