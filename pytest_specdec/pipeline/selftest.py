"""An A/A run on the user's own machine: fit its noise, and predict the losses that the gate can find there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.domain.naming import listed, unique_names
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.gate.dialogue import Observed, Request, ScreenRuns, drive
from pytest_specdec.gate.noise import Run, SuiteNoise, fit_noise
from pytest_specdec.gate.noise_file import noise_file, save_noise
from pytest_specdec.gate.prediction import Reach, reach, seconds_on_a_fresh_start
from pytest_specdec.gate.presets import PRESETS, oriented_log
from pytest_specdec.gate.rule import decide
from pytest_specdec.pipeline.record import Record
from pytest_specdec.results.decision import SuiteDecision
from pytest_specdec.results.merge import usable

if TYPE_CHECKING:
    from pytest_specdec.results.measurement import Measurement
    from pytest_specdec.results.run import RawRun

_LEAST_SESSIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """Result of an A/A run."""

    noise: SuiteNoise
    found: tuple[Reach, ...]
    last_session: SuiteDecision | None
    """The last server start judged against the ones before it, as a candidate engine; None for fewer than three."""
    path: Path
    """File of the noise."""
    run_s: float
    """Duration of one repeat on a server start of its own, as in a pair."""


def selftest(record: Record, baselines: Path) -> SelfTest:
    """Fit and store the noise of several starts of the same engines.

    Raises:
        InvalidInputError: fewer than two server starts, points that were not measured, or an interrupted run.
    """
    measured, cells = record.measured, sorted(record.demand.plan.cells)
    missing = [cell for cell in cells if cell not in measured.means]
    if missing:
        raise InvalidInputError(f"no noise was fitted: not measured: {listed(missing)}")
    if measured.cost is None or not measured.complete:
        raise InvalidInputError("no noise was fitted: the run was interrupted")
    runs = {name: usable(measured.repeats(cell)) for cell, name in unique_names(cells).items()}
    sessions = {name: _by_session(found) for name, found in runs.items()}
    counts = {len(found) for found in sessions.values()}
    if min(counts) < _LEAST_SESSIONS:
        raise InvalidInputError("no noise was fitted: it needs 2 server starts or more (--specdec-sessions 5x2)")
    requests = {name: min(run.requests.finished for run in found) for name, found in runs.items()}
    noise = fit_noise(sessions, requests=requests, source="selftest")
    path = noise_file(baselines, measured.means[cells[0]].environment)
    save_noise(noise, path)
    last = _judge_last(sessions) if min(counts) > _LEAST_SESSIONS else None
    run_s = seconds_on_a_fresh_start(measured.cost, _begun_s(measured.raw))
    return SelfTest(noise=noise, found=tuple(reach(noise)), last_session=last, path=path, run_s=run_s)


def _begun_s(raw: Sequence[RawRun]) -> list[list[float]]:
    """Start times of the repeats of each server start."""
    found: dict[tuple[str, EngineSpec], list[float]] = {}
    for one in raw:
        measurement = one.measurement
        begun = datetime.fromisoformat(measurement.measured_at).timestamp()
        found.setdefault((measurement.session, measurement.cell.engine), []).append(begun)
    return list(found.values())


def _by_session(runs: Sequence[Measurement]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        values = {key: value.value for key, value in run.values.items() if key in PRESETS and value.value > 0}
        found.setdefault(run.session, []).append({key: oriented_log(key, value) for key, value in values.items()})
    return found


def _number(session: str) -> tuple[str, int]:
    """Sort key: the tenth server start comes after the ninth."""
    stamp, _, number = session.rpartition(".")
    return stamp, int(number)


def _judge_last(sessions: Mapping[str, Mapping[str, Sequence[Run]]]) -> SuiteDecision:
    """Judge the last server start: nothing was changed, so nothing may FAIL."""
    newest = max((name for found in sessions.values() for name in found), key=_number)
    before = {cell: {n: runs for n, runs in found.items() if n != newest} for cell, found in sessions.items()}
    last = {cell: found.get(newest, []) for cell, found in sessions.items()}

    def answer(request: Request) -> Observed:
        if isinstance(request, ScreenRuns):
            return Observed(runs=last)
        return Observed(exhausted="a selftest judges what it has")

    return drive(decide(fit_noise(before), paired=frozenset()), answer)
