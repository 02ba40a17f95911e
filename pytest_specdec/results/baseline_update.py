"""Move baselines: what may become one, who said so, and what is kept of the one before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from pytest_specdec.domain.cell import Cell, EngineSpec, Workload, short_model
from pytest_specdec.domain.metric import METRICS, metrics_as
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
"""Sessions from which a better mean is no longer one lucky start of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptor:
    """Who moves a baseline, when, and why."""

    when: str
    who: str
    reason: str = ""
    new_anchor: bool = False
    """Forget where the points came from: their losses are counted from here."""


def update(store: Baselines, found: Iterable[Measurement], *, how: How, by: Acceptor) -> dict[Path, list[Cell]]:
    """Store measurements, several of one cell as its runs; files in which nothing changes are not touched.

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
    # Everything is made before anything is written: an error in one file leaves all of them as they were.
    new = {path: made for path, group in sorted(groups.items()) if (made := _made(path, group, how, by)) is not None}
    for path, (file, _) in new.items():
        save_baseline(file, path)
        store.forget(path)
    return {path: cells for path, (_, cells) in new.items()}


def refuse_shared_files(cells: Iterable[Cell]) -> None:
    """Tell before anything is measured that two curves could not be stored side by side.

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
        f"{cell} of two suites would share one baseline, for they differ only in what its name does not say (seed, "
        "lengths, thinking ...): store them in folders of their own (specdec_baselines)"
    )


def refusal(
    verdicts: Mapping[Cell, Verdict], measured: Mapping[Cell, Sequence[Measurement]], how: How, reason: str
) -> str:
    """Say why measurements must not become baselines; empty when they may.

    A point that is wrong by itself never may; one that failed its gate may with a reason; one that is better than its
    baseline may when fresh pairs confirmed it, or when it comes from several starts of the server.
    """
    bad = [run for runs in measured.values() for run in runs if run.why_no_baseline]
    if bad:
        return (
            f"{len({run.cell for run in bad})} of {len(measured)} points must not become one, such as "
            f"{bad[0].cell}: {bad[0].why_no_baseline}"
        )
    if how == "new" or reason:
        return ""
    return _loss_words(verdicts, measured) or (_luck_words(verdicts, measured) if how == "all" else "")


def _loss_words(verdicts: Mapping[Cell, Verdict], measured: Mapping[Cell, Sequence[Measurement]]) -> str:
    """What failed its own gate, or looks as if it should."""
    failed = [v for v in verdicts.values() if v.outcome in (Outcome.REGRESSED, Outcome.NOT_COMPARABLE)]
    if failed:
        return (
            f"{len(failed)} of {len(measured)} points failed their gate, such as {failed[0].cell}: "
            f"{failed[0].outcome.value}; accept the loss with --specdec-reason 'WHY'"
        )
    lost = [verdict for verdict in verdicts.values() if _looks_lost(verdict)]
    if lost:
        return (
            f"{len(lost)} of {len(measured)} points look like a loss that nobody has confirmed, such as "
            f"{lost[0].cell}: {lost[0].reason}; confirm it against the old engine (--specdec-reference-...), or accept "
            "the loss with --specdec-reason 'WHY'"
        )
    return ""


def _luck_words(verdicts: Mapping[Cell, Verdict], measured: Mapping[Cell, Sequence[Measurement]]) -> str:
    """What may be better by one lucky start of the server only."""
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
        f"{lucky[0]} is better than its baseline in {_sessions(measured[lucky[0]])}, which may be luck: "
        f"confirm it against the old engine (--specdec-reference-...), measure {_LUCK} sessions or more "
        "(--specdec-sessions), or say --specdec-reason 'WHY'"
    )


def _looks_lost(verdict: Verdict) -> bool:
    """Whether an undecided metric has lost more than its tolerance: noise alone may be stored, and says nothing."""
    return any(
        decision.low is not None and decision.low > limits.tolerance and not decision.advisory
        for metric in verdict.metrics
        if metric.outcome is Outcome.INCONCLUSIVE
        and (decision := metric.decision) is not None
        and (limits := METRICS[metric.metric].gate) is not None
    )


def _made(path: Path, group: Sequence[Measurement], how: How, by: Acceptor) -> tuple[BaselineFile, list[Cell]] | None:
    """The file as it will be and the cells that are new in it; None when nothing changes."""
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
    # Where the server answers is a fact of the run, not of the baseline.
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


def _sessions(runs: Sequence[Measurement]) -> str:
    count = len({run.session for run in runs})
    return f"{count} session{'s' * (count != 1)}"
