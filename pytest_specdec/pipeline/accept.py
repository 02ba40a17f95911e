"""Store a session's measurements as baselines, when the user asked for it and nothing speaks against it."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.environment import UNKNOWN
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.gate.evidence import CellEvidence, build
from pytest_specdec.gate.prediction import reach, reach_sentences
from pytest_specdec.pipeline.plan import is_stored
from pytest_specdec.results.baseline import Baselines
from pytest_specdec.results.baseline_update import Acceptor, refusal, update
from pytest_specdec.results.merge import usable

if TYPE_CHECKING:
    from pytest_specdec.pipeline.invocation import SpecdecSession

_CI_USERS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILDKITE_BUILD_CREATOR")
_ASK_S = 5.0
_NOT = "baselines were not updated: "


def accept(session: SpecdecSession) -> Mapping[Path, Sequence[Cell]]:
    """Store the runs of a session as the settings say.

    Returns what was written: nothing when nobody asked, and when every point has a baseline already.

    Raises:
        SpecdecError: what was measured must not become one, a stored file cannot be read, or the sessions do not go
            together.
    """
    settings, plan, campaign = session.settings, session.plan, session.campaign
    how = settings.baselines.update
    if how is None or plan is None or campaign is None:
        return {}
    # Where only new points are stored, what became of the others has no say.
    cells = [cell for cell in sorted(plan.cells) if how != "new" or not _has_one(session, cell)]
    missing = [cell for cell in cells if cell not in session.measured or cell in session.unmeasured]
    if missing:
        raise InvalidInputError(f"{_NOT}{len(missing)} planned points were not measured, or not each time")
    if not session.done:
        raise InvalidInputError(f"{_NOT}the run was interrupted (--specdec-resume goes on with it)")
    runs = {cell: usable(campaign.runs(cell)) for cell in cells}
    if refused := refusal(session.verdicts, runs, how, settings.baselines.reason):
        raise InvalidInputError(f"{_NOT}{refused}")
    by = Acceptor(
        when=session.started_at.isoformat(timespec="seconds"),
        who=who(),
        reason=settings.baselines.reason,
        new_anchor=settings.baselines.new_anchor,
    )
    return update(session.baselines, [run for found in runs.values() for run in found], how=how, by=by)


def _has_one(session: SpecdecSession, cell: Cell) -> bool:
    measured = session.measured.get(cell)
    if measured is None:
        return is_stored(session, cell)
    return session.baselines.find(cell, measured.environment) is not None


def stored_reach(store: Baselines, written: Mapping[Path, Sequence[Cell]]) -> list[str]:
    """What the gate will find with the baselines that were written: which of their metrics can be gated at all."""
    points = [point for cells in written.values() for cell in cells for point in store.of_any_environment(cell)]
    evidence = [CellEvidence(measured=p.measurement(), runs=(), baseline=p) for p in points if p.path in written]
    noise = build(evidence).noise
    sentences = reach_sentences(reach(noise))
    if noise.source == "assumed":
        sentences.append(
            "the noise is assumed, in part at least: a baseline knows its own from five sessions (--specdec-sessions)"
        )
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
    """A container may run as a number that no user has."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return UNKNOWN
