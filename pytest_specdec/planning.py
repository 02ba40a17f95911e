"""How often each planned cell is measured, and what that will take, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_specdec.cell import Cell

if TYPE_CHECKING:
    from pytest_specdec.session import SpecdecSession


def runs_of(session: SpecdecSession) -> tuple[dict[Cell, int], int]:
    """Runs of each cell in a session, and sessions: many for a new baseline, a few for a first look at an old."""
    assert session.plan is not None, "unreachable because the plan is made first"
    settings = session.settings
    if settings.update is None and not settings.selftest:
        return {cell: _screening_runs(session, cell) for cell in session.plan.cells}, 1
    sessions, runs = settings.sessions
    if not session.source(session.subjects).restarts:
        sessions = 1  # a further session of an attached server is a further invocation
    return dict.fromkeys(session.plan.cells, runs), sessions


def _screening_runs(session: SpecdecSession, cell: Cell) -> int:
    """Runs of a first look, by the stored noise; one where nothing is stored."""
    from pytest_specdec.gating import screening_runs

    return screening_runs(session.baselines.of_any_environment(cell)) if session.wants_baseline else 1


def plan_words(session: SpecdecSession) -> str:
    """`4 engines, 20 points, about 6 min, about $1.90`."""
    assert session.plan is not None, "unreachable because the plan is made first"
    source = session.source(session.subjects)
    times, sessions = session.times, session.sessions
    whole = session.plan.repeated(times, session.settings.seed, session.plan.asked)
    rounds = sessions * (1 if session.settings.swap is None else 2)
    least, most = (
        rounds * whole.seconds(window_s=window_s, settle_s=session.settings.settle_s, start_s=source.start_s)
        for window_s in session.settings.window_s
    )
    return whole.words(
        least_s=least, most_s=most, price=session.price(""), simulated=source.simulated, sessions=sessions
    )


def confirm_words(session: SpecdecSession) -> str:
    """What confirming a suspect may take; empty where nothing is judged, or nothing more is measured."""
    assert session.plan is not None, "unreachable because the plan is made first"
    settings = session.settings
    if not session.wants_baseline or settings.confirm == "never" or settings.gate == "fixed" or not session.plan.cells:
        return ""
    reference, source = session.reference_source(), session.source(session.subjects)
    point_s = settings.window_s[0] + settings.settle_s + source.start_s
    if reference is None:
        more = "of further runs" if not source.restarts else "of a fresh start and a run"
        return (
            f"suspects, if any, are measured up to 8 times more, each about {point_s:.0f} s {more}; the old engine "
            "beside it (--specdec-reference-...) would prove smaller losses"
        )
    return (
        f"suspects, if any, are confirmed by 2 to 12 blocks of old, new, new, old: 4 starts and about "
        f"{4 * point_s / 60:.1f} min for the first suspect of an engine in each block"
    )


def planned_runs(session: SpecdecSession) -> int:
    """Runs that are planned before anything is confirmed."""
    times, sessions = session.times, session.sessions
    return sum(times.values()) * sessions * (1 if session.settings.swap is None else 2)
