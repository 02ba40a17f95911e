"""Stage 4: measured repeats -> stored baselines, when the user asked for it and nothing speaks against it."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.environment import UNKNOWN
from pytest_specdec.domain.naming import listed, plural
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.gate.evidence import CellEvidence, build
from pytest_specdec.gate.prediction import reach, reach_sentences
from pytest_specdec.pipeline.record import Record
from pytest_specdec.pipeline.setup import Setup
from pytest_specdec.results.baseline import Baselines
from pytest_specdec.results.baseline_update import Acceptor, refusal, update
from pytest_specdec.results.merge import usable

_CI_USERS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILDKITE_BUILD_CREATOR")
_ASK_S = 5.0
_NOT = "no baseline stored: "


def accept(record: Record, setup: Setup) -> Mapping[Path, Sequence[Cell]]:
    """Store the repeats of a record as the settings ask for.

    Returns the written files with their cells: none where no update was asked for, and where every point has a
    baseline already.

    Raises:
        SpecdecError: a measurement is unusable as a baseline, a stored file cannot be read, or it cannot take these
            server starts.
    """
    settings, baselines, measured = setup.settings.baselines, setup.baselines, record.measured
    how = settings.update
    if how is None:
        return {}

    def has_one(cell: Cell) -> bool:
        mean = measured.means.get(cell)
        if mean is None:
            return setup.is_stored(cell)
        return baselines.find(cell, mean.environment) is not None

    # Where only new points are stored, the outcome of the others has no say.
    cells = [cell for cell in sorted(record.demand.plan.cells) if how != "new" or not has_one(cell)]
    missing = [cell for cell in cells if cell not in measured.means or cell in record.missing]
    if missing:
        raise InvalidInputError(f"{_NOT}{plural(len(missing), 'point')} lack planned repeats: {listed(missing)}")
    if not measured.complete:
        raise InvalidInputError(f"{_NOT}the run was interrupted; continue it with --specdec-resume")
    runs = {cell: usable(measured.repeats(cell)) for cell in cells}
    if refused := refusal(record.judgement.verdicts, runs, how, settings.reason):
        raise InvalidInputError(f"{_NOT}{refused}")
    by = Acceptor(
        when=record.invocation.started_at.isoformat(timespec="seconds"),
        who=who(),
        reason=settings.reason,
        new_anchor=settings.new_anchor,
    )
    return update(baselines, [run for found in runs.values() for run in found], how=how, by=by)


def stored_reach(store: Baselines, written: Mapping[Path, Sequence[Cell]]) -> list[str]:
    """Predict the losses that the gate detects with the new baselines, and the metrics that are too noisy."""
    points = [point for cells in written.values() for cell in cells for point in store.of_any_environment(cell)]
    evidence = [CellEvidence(measured=p.measurement(), runs=(), baseline=p) for p in points if p.path in written]
    noise = build(evidence).noise
    sentences = reach_sentences(reach(noise))
    if noise.source == "assumed":
        sentences.append("the noise is partly assumed: 5 server starts would measure it (--specdec-sessions)")
    return sentences


def now() -> str:
    """The time as it is stored, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def who() -> str:
    """Name of the user: of the CI job's, else git's, else the system's."""
    for variable in _CI_USERS:
        if os.environ.get(variable):
            return os.environ[variable]
    try:
        done = subprocess.run(
            ["git", "config", "user.name"],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            check=False,
            timeout=_ASK_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return _system_user()
    return done.stdout.strip() or _system_user()


def _system_user() -> str:
    """Name of the system user; unknown in a container that runs as a bare number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return UNKNOWN
