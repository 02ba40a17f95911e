"""Saved runs -> one series per cell: a metric over dates and engine versions, never across unlike things.

A series joins what one cell measured at different times. Another workload, hardware, engine, simulated preset or
engine setting starts a series of its own; so does another price where the metric depends on it. Another engine
version does not: a history shows its effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.likeness import likeness
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import BrokenFileError, InvalidInputError
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Run, load_run


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedRun:
    """A run and its file."""

    path: Path
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """One measurement in a series."""

    measured_at: str
    """ISO 8601 with time zone."""
    version: str
    """Engine version; `unknown` where the endpoint does not report it."""
    value: Estimate
    """In the metric's unit, with its 95 % interval."""
    change: Estimate | None
    """Relative to the point before it, with the uncertainty of both: 0.05 is 5 % more. None for the first point."""
    outcome: Outcome | None
    """Verdict of the cell in that run; None where it was not judged."""
    run: str
    """Name of the file."""
    doubt: str
    """Reason to doubt the value, such as a client-limited point or broken speculation; empty when it is sound."""

    @property
    def changed(self) -> bool:
        """True where the interval of the change excludes zero; never with an unknown uncertainty."""
        return bool(self.change and self.change.half_width is not None and not self.change.low <= 0 <= self.change.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A metric of one cell over time, oldest first."""

    cell: Cell
    metric: str
    """Key of `metric.METRICS`."""
    hardware: str
    engine: str
    simulated: str
    """Name of the simulated preset; empty for a real engine."""
    condition: str
    """Price or bounds that the metric was made with; empty where it has none."""
    points: tuple[HistoryPoint, ...]

    @property
    def versions(self) -> tuple[str, ...]:
        """Engine versions in the order in which they came."""
        return tuple(dict.fromkeys(point.version for point in self.points))


def read_runs(folder: Path) -> tuple[list[SavedRun], list[str]]:
    """Read every saved run of a folder, oldest first; the second list names the unreadable files.

    Raises:
        InvalidInputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder {folder}: no run was saved there yet, or --runs names another one")
    runs, skipped = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            runs.append(SavedRun(path=path, run=load_run(path)))
        except BrokenFileError as error:
            skipped.append(str(error))
    return sorted(runs, key=lambda saved: (saved.run.started_at, saved.path.name)), skipped


def selected(cell: Cell, filters: Iterable[str]) -> bool:
    """Tell if a cell's name contains every filter as whole parts: `...-c16` matches `c16` and not `c1`."""
    name = f"-{cell}-"
    return all(f"-{text.strip('-')}-" in name for text in filters)


def history_series(
    runs: Iterable[SavedRun], metric: str = "total_tok_s_gpu", filters: Sequence[str] = ()
) -> list[Series]:
    """Return one series per cell and unlike environment, in the order of the cells.

    A measurement that several files hold (a resumed run keeps those of the run before it) counts once, as in its newest
    file. A run without the metric adds no point.

    Raises:
        InvalidInputError: there is no such metric.
    """
    if metric not in METRICS:
        raise InvalidInputError(f"no metric {metric!r}; there are: {', '.join(METRICS)}")
    drafts: dict[tuple[Cell, str, str, str, str], list[_Draft]] = {}
    for item in sorted(_once(runs, metric, filters), key=lambda i: (i.measurement.cell, i.measurement.measured_at)):
        measurement, environment = item.measurement, item.measurement.environment
        place = environment.hardware, environment.engine, environment.simulated
        found = drafts.setdefault((measurement.cell, _condition(measurement, metric), *place), [])
        draft = next((d for d in found if not likeness(environment, d.environment).refused), None)
        if draft is None:
            draft = _Draft(environment=environment)
            found.append(draft)
        draft.add(item)
    return [_series(cell, metric, condition, d) for (cell, condition, *_), found in drafts.items() for d in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    measurement: Measurement
    outcome: Outcome | None
    run: str


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A series while it grows; the joined facts of its points decide on further ones."""

    environment: Environment
    items: list[_Item] = field(default_factory=list)

    def add(self, item: _Item) -> None:
        facts = {**item.measurement.environment.facts, **self.environment.facts}
        self.environment = msgspec.structs.replace(self.environment, facts=facts)
        self.items.append(item)


def _once(runs: Iterable[SavedRun], metric: str, filters: Sequence[str]) -> Iterable[_Item]:
    newest: dict[tuple[object, ...], _Item] = {}
    for saved in runs:
        outcomes = {verdict.cell: verdict.outcome for verdict in saved.run.verdicts}
        for m in saved.run.measurements:
            if metric in m.values and selected(m.cell, filters):
                item = _Item(measurement=m, outcome=outcomes.get(m.cell), run=saved.path.name)
                place = m.environment.endpoint, m.environment.hardware, m.environment.engine, m.environment.simulated
                newest[m.cell, m.measured_at, m.values[metric].value, *place] = item
    return newest.values()


def _condition(measurement: Measurement, metric: str) -> str:
    if METRICS[metric].needs == "price":
        price = measurement.price
        return f"${price.usd_per_gpu_hour:g}/GPU-hour, {price.kw_per_gpu:g} kW/GPU"
    return (measurement.slo or "") if METRICS[metric].needs == "SLO" else ""


def _series(cell: Cell, metric: str, condition: str, draft: _Draft) -> Series:
    points: list[HistoryPoint] = []
    for item in draft.items:
        value = item.measurement.values[metric]
        points.append(
            HistoryPoint(
                measured_at=item.measurement.measured_at,
                version=item.measurement.environment.version,
                value=value,
                change=_change(value, points[-1].value) if points else None,
                outcome=item.outcome,
                run=item.run,
                doubt=item.measurement.why_no_baseline,
            )
        )
    environment = draft.environment
    return Series(
        cell=cell,
        metric=metric,
        hardware=environment.hardware,
        engine=environment.engine,
        simulated=environment.simulated,
        condition=condition,
        points=tuple(points),
    )


def _change(now: Estimate, before: Estimate) -> Estimate | None:
    if before.value == 0:
        return None
    ratio = now / before
    # One side of unknown uncertainty leaves the change's unknown: half an interval is none.
    half = ratio.half_width if None not in (now.half_width, before.half_width) else None
    return Estimate(ratio.value - 1, half)
