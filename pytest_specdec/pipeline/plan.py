"""How often each planned cell is measured, and what that will take, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.environment import UNKNOWN
from pytest_specdec.gate.rules import RULES

if TYPE_CHECKING:
    from pytest_specdec.pipeline.invocation import SpecdecSession


def runs_of(session: SpecdecSession) -> tuple[dict[Cell, int], ...]:
    """Runs of each cell, by session: many for a new baseline, a few for a first look at an old one."""
    assert session.plan is not None, "unreachable because the plan is made first"
    settings = session.settings
    first_look = _first_look(session)
    if settings.update is None and not settings.selftest:
        return (first_look,)
    sessions, runs = settings.sessions
    if not session.source(session.subjects).restarts:
        sessions = 1  # a further session of an attached server is a further invocation
    saving = settings.update == "new" and not settings.selftest
    many = {cell: runs for cell in session.plan.cells if not (saving and is_stored(session, cell))}
    return (first_look | many, *[many] * (sessions - 1)) if many else (first_look,)


def _first_look(session: SpecdecSession) -> dict[Cell, int]:
    """Runs of a first look at each cell, by the stored noise; one where nothing is stored."""
    from pytest_specdec.pipeline.judge import screening_runs

    assert session.plan is not None, "unreachable because the plan is made first"
    once = dict.fromkeys(session.plan.cells, 1)
    if not session.wants_baseline:
        return once
    stored = [point for cell in session.plan.cells for point in session.baselines.of_any_environment(cell)]
    return once | screening_runs(stored, session.settings.baselines)


def is_stored(session: SpecdecSession, cell: Cell) -> bool:
    """Whether a cell has a baseline, as far as can be said before its engine was asked."""
    settings, source = session.settings, session.source(session.subjects)
    hardware = settings.hardware or session.hardware.get(cell.engine, "") or UNKNOWN
    if not source.simulated and settings.engine is None:
        return False  # another engine's baseline is none of this one
    return any(
        bool(point.environment.simulated) == source.simulated
        and point.environment.hardware.removeprefix("simulated-") == hardware
        and (source.simulated or settings.engine == point.environment.engine)
        for point in session.baselines.of_any_environment(cell)
    )


def plan_words(session: SpecdecSession) -> str:
    """`4 engines, 20 points, about 6 min, about $1.90`."""
    assert session.plan is not None, "unreachable because the plan is made first"
    source, settings = session.source(session.subjects), session.settings
    # What is asked is asked once, in the first session.
    parts = [
        session.plan.repeated(times, settings.seed, () if number else session.plan.asked)
        for number, times in enumerate(session.times)
    ]
    rounds = 1 if settings.swap is None else 2
    least, most = (
        rounds * sum(part.seconds(window_s=s, settle_s=settings.settle_s, start_s=source.start_s) for part in parts)
        for s in settings.window_s
    )
    return session.plan.words(
        runs=rounds * sum(len(part.cells) for part in parts),
        sessions=len(parts),
        least_s=least,
        most_s=most,
        price=session.price(""),
        simulated=source.simulated,
    )


def confirm_words(session: SpecdecSession) -> str:
    """What confirming a suspect may take; empty where nothing is judged, or nothing more is measured."""
    assert session.plan is not None, "unreachable because the plan is made first"
    settings = session.settings
    confirms = settings.confirm != "never" and RULES[settings.gate].confirms
    if not session.wants_baseline or not confirms or not session.plan.cells:
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
    return sum(sum(times.values()) for times in session.times) * (1 if session.settings.swap is None else 2)
