"""Move baselines: refuse unsound measurements, log the user and the reason, keep the anchor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from pytest_specdec.domain.cell import Cell, EngineSpec, Workload, short_model
from pytest_specdec.domain.metric import METRICS, metrics_as
from pytest_specdec.domain.naming import listed
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.results.baseline import (
    Accepted,
    Anchor,
    BaselineFile,
    BaselinePoint,
    BaselineRun,
    Baselines,
    baseline_run,
    curve_name,
    load_baseline,
    safe_name,
    save_baseline,
    values_of,
    why_not_comparable,
)
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.verdict import Verdict

How = Literal["new", "all", "merge"]
"""`new`: points that have none. `all`: replace. `merge`: further sessions beside the stored ones."""
_LOG_LENGTH = 50
_LUCK = 3
"""Server starts from which a better mean is no longer one lucky start."""
_REASON = "--specdec-reason 'WHY'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptor:
    """User who moves a baseline, with time and reason."""

    when: str
    who: str
    reason: str = ""
    new_anchor: bool = False
    """Replace the anchor too: losses are counted from here."""


def update(store: Baselines, found: Iterable[Measurement], *, how: How, by: Acceptor) -> dict[Path, list[Cell]]:
    """Store measurements, several of one cell as its repeats; files in which nothing changes are not touched.

    Returns the cells written per file.

    Raises:
        BrokenFileError: a file that is to be changed cannot be read.
        InvalidInputError: sessions to be merged are unlike the stored ones, or two curves would share one file.
    """
    groups: dict[Path, list[Measurement]] = {}
    for measurement in found:
        group = groups.setdefault(store.path_of(measurement.cell, measurement.environment), [])
        if group and group[0].curve_key != measurement.curve_key:
            raise InvalidInputError(_shared(measurement.cell))
        group.append(measurement)
    # All files are made before one is written: an error in one of them leaves all as they were.
    new = {path: made for path, group in sorted(groups.items()) if (made := _made(path, group, how, by)) is not None}
    for path, (file, _) in new.items():
        save_baseline(file, path)
        store.forget(path)
    return {path: cells for path, (_, cells) in new.items()}


def refuse_shared_files(cells: Iterable[Cell]) -> None:
    """Refuse two curves that cannot be stored side by side, before anything is measured.

    Raises:
        InvalidInputError: two curves would share one file.
    """
    curves: dict[tuple[str, str], tuple[EngineSpec, Workload]] = {}
    for cell in cells:
        name = short_model(cell.engine.model), safe_name(curve_name(cell))
        if curves.setdefault(name, (cell.engine, cell.workload)) != (cell.engine, cell.workload):
            raise InvalidInputError(_shared(cell))


def _shared(cell: Cell) -> str:
    return (
        f"{cell} of two suites would share one baseline file: they differ only in fields that its name omits (seed, "
        "lengths, thinking ...); store them in separate folders (specdec_baselines)"
    )


def refusal(
    verdicts: Mapping[Cell, Verdict], measured: Mapping[Cell, Sequence[Measurement]], how: How, reason: str
) -> str:
    """Name the reason not to store measurements as baselines; empty where there is none.

    A point that is unsound by itself is never stored; one that failed its gate needs a reason; one that is better than
    its baseline needs fresh pairs that confirm it, or several server starts.
    """
    unusable = {run.cell: run.why_no_baseline for runs in measured.values() for run in runs if run.why_no_baseline}
    if unusable:
        named = listed([f"{cell} ({why})" for cell, why in unusable.items()])
        return f"{len(unusable)} of {len(measured)} points are unusable: {named}"
    if how == "new" or reason:
        return ""
    return _loss_words(verdicts, measured) or (_luck_words(verdicts, measured) if how == "all" else "")


def _loss_words(verdicts: Mapping[Cell, Verdict], measured: Mapping[Cell, Sequence[Measurement]]) -> str:
    """Points that failed their gate, or have an unconfirmed loss."""
    failed = [v for v in verdicts.values() if v.outcome in (Outcome.REGRESSED, Outcome.NOT_COMPARABLE)]
    if failed:
        named = listed([f"{verdict.cell} ({verdict.outcome.value})" for verdict in failed])
        return f"{len(failed)} of {len(measured)} points failed their gate: {named}; accept them with {_REASON}"
    lost = [verdict for verdict in verdicts.values() if _looks_lost(verdict)]
    if lost:
        named = listed([f"{verdict.cell} ({verdict.reason})" for verdict in lost])
        return (
            f"{len(lost)} of {len(measured)} points have an unconfirmed loss: {named}; confirm it with the reference "
            f"engine (--specdec-reference-...), or accept it with {_REASON}"
        )
    return ""


def _luck_words(verdicts: Mapping[Cell, Verdict], measured: Mapping[Cell, Sequence[Measurement]]) -> str:
    """Gains that may come from one lucky server start."""
    lucky = [
        cell
        for cell, verdict in verdicts.items()
        if verdict.outcome is Outcome.IMPROVED
        and not verdict.confirmed
        and len({run.session for run in measured.get(cell, ())}) < _LUCK
    ]
    if not lucky:
        return ""
    return (
        f"{len(lucky)} of {len(measured)} points have a gain on fewer than {_LUCK} server starts, which may be luck: "
        f"{listed(lucky)}; confirm it with the reference engine (--specdec-reference-...), measure more server starts "
        f"(--specdec-sessions), or accept it with {_REASON}"
    )


def _looks_lost(verdict: Verdict) -> bool:
    """Tell if an undecided metric has lost more than its tolerance; a metric that is only noisy may be stored."""
    return any(
        decision.low is not None and decision.low > limits.tolerance and not decision.advisory
        for metric in verdict.metrics
        if metric.outcome is Outcome.INCONCLUSIVE
        and (decision := metric.decision) is not None
        and (limits := METRICS[metric.metric].gate) is not None
    )


def _made(path: Path, group: Sequence[Measurement], how: How, by: Acceptor) -> tuple[BaselineFile, list[Cell]] | None:
    """Return the new file and the cells that are new in it; None when nothing changes."""
    old = load_baseline(path) if path.exists() else None
    unlike = "" if old is None else _unlike(old, group, path)
    if unlike and how == "merge":
        raise InvalidInputError(f"{path} cannot take these sessions: {unlike}")
    if unlike and how == "new":
        return None
    kept = _empty(group[0]) if old is None or unlike else old
    fresh: dict[str, list[Measurement]] = {}
    for measurement in group:
        fresh.setdefault(measurement.cell.level, []).append(measurement)
    points = dict(kept.points)
    written = {}
    for level, runs in fresh.items():
        stored = points.get(level, [])
        if how == "new" and stored:
            continue
        known = {run.session for run in stored} if how == "merge" else set()
        added = [baseline_run(run) for run in runs if not run.session or run.session not in known]
        if added:
            points[level] = [*(stored if how == "merge" else ()), *added]
            written[level] = runs[0].cell
    if not written:
        return None
    anchors = {} if by.new_anchor else kept.anchors
    accepted = Accepted(
        when=by.when,
        who=by.who,
        reason=by.reason,
        points={level: _change(old, level, points[level]) for level in written},
    )
    # A replaced baseline is of the environment that replaces it; sessions beside the stored ones change none.
    head = _empty(group[0]) if how == "all" else kept
    file: BaselineFile = msgspec.structs.replace(
        head,
        points=points,
        anchors={level: anchors.get(level) or _anchor(runs) for level, runs in points.items()},
        accepted=[*kept.accepted, accepted][-_LOG_LENGTH:],
    )
    return file, list(written.values())


def _empty(measurement: Measurement) -> BaselineFile:
    # The address of the server belongs to the run, not to the baseline.
    return BaselineFile(
        engine=measurement.cell.engine,
        workload=measurement.cell.workload,
        environment=msgspec.structs.replace(measurement.environment, endpoint=""),
        price=measurement.price,
        estimator=measurement.estimator,
        points={},
    )


def _unlike(old: BaselineFile, group: Sequence[Measurement], path: Path) -> str:
    cell = Cell(engine=old.engine, workload=old.workload, concurrency=1)
    stored = BaselinePoint(
        cell=cell, environment=old.environment, price=old.price, runs=(), path=path, estimator=old.estimator
    )
    return next((words for measurement in group if (words := why_not_comparable(measurement, stored))), "")


def _anchor(runs: Sequence[BaselineRun]) -> Anchor:
    return Anchor(measured_at=runs[0].measured_at, version=runs[0].version, values=values_of(runs))


def _change(old: BaselineFile | None, level: str, now: Sequence[BaselineRun]) -> str:
    """`total -6.2 %, interactivity -5.9 %`, or `new`."""
    if old is None or not old.points.get(level):
        return "new"
    before, after = values_of(old.points[level]), values_of(now)
    return ", ".join(
        f"{one.title} {after[one.key].value / before[one.key].value - 1:+.1%}"
        for one in metrics_as("headline")
        if one.key in before and one.key in after
    )
