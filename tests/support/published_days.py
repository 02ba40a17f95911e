"""The published SGLang days of InferenceX as the gate sees them: repeats of one configuration, then version steps.

`python tests/support/published_days.py` prints the tables of docs/gate.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from at_once import decide_at_once

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.gate.noise import Run, SuiteNoise, fit_noise
from pytest_specdec.gate.presets import oriented_log
from pytest_specdec.importers.inferencex import load_inferencex
from pytest_specdec.results.decision import SuiteDecision

ROWS = Path(__file__).parent.parent / "data" / "inferencex" / "benchmarks.json"
REPEATS = tuple(f"2025-12-{day}" for day in range(10, 16))
"""Six days of one configuration."""
METRICS = ("total_tok_s_gpu", "interactivity_tok_s_user", "e2e_p50_ms", "ttft_p50_ms")

Days = Mapping[str, Mapping[str, Run]]
"""Date -> cell -> its one run."""


def days() -> tuple[Days, dict[str, str]]:
    """Published runs of SGLang without speculation by date, and the version of each date where it is given."""
    found: dict[str, dict[str, Run]] = {}
    versions: dict[str, str] = {}
    for published in load_inferencex(ROWS):
        identity, point = published.identity, published.point
        if (identity.engine, identity.mode) != ("sglang", "off"):
            continue
        values = {"total_tok_s_gpu": point.throughput.value, "interactivity_tok_s_user": point.interactivity.value}
        values |= {key: point.readings[key].value for key in METRICS if key in point.readings}
        cell = f"{identity.sequence}-c{point.concurrency}"
        found.setdefault(identity.date, {})[cell] = {key: oriented_log(key, value) for key, value in values.items()}
        versions[identity.date] = versions.get(identity.date) or identity.version
    return dict(sorted(found.items())), versions


def noise_of(runs: Days, dates: Iterable[str], *, cells: Iterable[str], prior: SuiteNoise | None = None) -> SuiteNoise:
    """Baseline of some dates, each a session of one run."""
    dates = list(dates)
    sessions = {
        cell: {date: [runs[date][cell]] for date in dates if cell in runs[date]}
        for cell in cells
        if any(cell in runs[date] for date in dates)
    }
    return fit_noise(sessions, prior=prior)


def against_the_others(runs: Days, date: str) -> SuiteDecision:
    """One of the repeats against the five others."""
    others = [other for other in REPEATS if other != date]
    return decide_at_once(noise_of(runs, others, cells=runs[date]), _single(runs[date]))


def step(runs: Days, before: Iterable[str], after: str) -> SuiteDecision:
    """A version against its predecessor; what one run cannot tell of noise comes from the six days."""
    before = list(before)
    shared = sorted(set.intersection(*(set(runs[date]) for date in before), set(runs[after])))
    repeats = noise_of(runs, REPEATS, cells=runs[REPEATS[0]])
    noise = noise_of(runs, before, cells=shared, prior=repeats)
    return decide_at_once(noise, _single({cell: runs[after][cell] for cell in shared}))


def steps(runs: Days) -> list[tuple[str, str, SuiteDecision]]:
    """Every step from the six days on."""
    later = [date for date in runs if date > REPEATS[-1]]
    found = [(f"{REPEATS[0]}..15", later[0], step(runs, REPEATS, later[0]))]
    for before, after in pairwise(later):
        found.append((before, after, step(runs, [before], after)))
    return found


def _single(cells: Mapping[str, Run]) -> dict[str, list[Run]]:
    return {cell: [run] for cell, run in cells.items()}


def _said(decision: SuiteDecision, metric: str) -> str:
    rows = [one for one in decision.decisions if one.metric == metric]
    count = Counter(one.outcome.value for one in rows)
    better = sum(one.improvement == "suspected" for one in rows)
    parts = [f"{count[outcome.value]} {outcome.value}" for outcome in Outcome if count[outcome.value]]
    return ", ".join(parts) + (f" ({better} perhaps improved)" if better else "")


def _common(decision: SuiteDecision, metric: str) -> str:
    (shift,) = [one for one in decision.common if one.metric == metric]
    return f"{-100 * shift.seen:+.1f} %" + (" *" if abs(shift.seen) > shift.threshold else "")


def tables() -> str:
    """Both tables in Markdown."""
    runs, versions = days()
    lines = [_line("day against the five others", "common", *METRICS), "|---" * (len(METRICS) + 2) + "|"]
    for date in REPEATS:
        decision = against_the_others(runs, date)
        lines.append(_line(date, _common(decision, METRICS[0]), *(_said(decision, metric) for metric in METRICS)))
    lines += ["", _line("from", "to", "version", "common", *METRICS), "|---" * (len(METRICS) + 4) + "|"]
    for before, after, decision in steps(runs):
        said = (_said(decision, metric) for metric in METRICS)
        lines.append(_line(before, after, versions[after] or "-", _common(decision, METRICS[0]), *said))
    return "\n".join(lines) + "\n"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(tables())
