"""Cells beside the plan, so that each interactivity level is read between two neighbouring concurrencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pytest_specdec.domain.cell import Cell, Workload
from pytest_specdec.domain.curve import Point
from pytest_specdec.domain.facts import Facts
from pytest_specdec.estimators.neighbours import Wanted, next_wanted, reading_precision
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.merge import merge_runs

_MOST_REFINED = 8
"""Highest probed concurrency, as a multiple of the highest planned one."""

Probed = dict[tuple[Workload, int], float]
"""Rough interactivities of probes by workload and concurrency, tok/s/user."""


def refining(  # noqa: PLR0913 - a refinement is all of these
    found: Sequence[Measurement],
    probed: Mapping[tuple[Workload, int], float],
    levels: Sequence[float],
    *,
    precision: float,
    facts: Facts,
    said: Callable[[str], None],
) -> Iterator[tuple[Cell, Wanted]]:
    """Yield the next cell to measure; `found` and `probed` of one engine grow meanwhile.

    When nothing is left to measure for a level, `said` gets the precision of its reading.
    """
    planned = [m for m in found if not m.cell.rate]
    for workload in dict.fromkeys(m.cell.workload for m in planned):
        engine = next(m.cell.engine for m in planned if m.cell.workload == workload)
        most = _MOST_REFINED * max(m.cell.concurrency for m in planned)
        most = min(most, facts.max_running or most)
        for level in levels:
            tried: set[tuple[int, bool]] = set()
            while True:
                points = _points(m for m in found if m.cell.workload == workload and not m.cell.rate)
                probes = {c: value for (of, c), value in probed.items() if of == workload}
                wanted = next_wanted(points, probes, level, precision=precision, most=most)
                key = None if wanted is None else (wanted.concurrency, wanted.precision is None)
                if wanted is None or key is None or key in tried:
                    break
                tried.add(key)  # one that failed is not tried again
                yield Cell(engine, workload, wanted.concurrency), wanted
            reached = reading_precision(points, probes, level)
            if reached is not None:
                said(f"{engine} {workload.sequence}: read at {level:g} tok/s/user to ±{reached:.1%} of its throughput")


def _points(found: Iterable[Measurement]) -> list[Point]:
    """One point per concurrency, also where the plan has measured it several times."""
    runs: dict[int, list[Measurement]] = {}
    for measurement in found:
        runs.setdefault(measurement.cell.concurrency, []).append(measurement)
    return [merge_runs(several).point() for several in runs.values()]
