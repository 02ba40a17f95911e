"""Stage 1: the selected tests -> the demand: cells, their repeats, and what they will take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.naming import duration
from pytest_specdec.errors import EngineError, InvalidInputError
from pytest_specdec.gate.presets import PRESETS
from pytest_specdec.gate.rules import RULES
from pytest_specdec.gate.terms import PAIRS_PER_BLOCK, Terms
from pytest_specdec.measure.campaign import PAIRS
from pytest_specdec.pipeline.judge import screening_runs
from pytest_specdec.pipeline.settings import Settings
from pytest_specdec.pipeline.setup import Setup
from pytest_specdec.results.baseline_update import refuse_shared_files
from pytest_specdec.suite.demand import Demand
from pytest_specdec.suite.matrix import OutputSubject
from pytest_specdec.suite.plan import Plan
from pytest_specdec.suite.subjects import Subject, cells_of


def plan(subjects: Iterable[Subject], setup: Setup, *, judged: bool) -> Demand:
    """Plan the cells of the selected tests; `judged`: one of them reads a baseline.

    Raises:
        BrokenFileError: a baseline cannot be read.
        InvalidInputError: a selftest of servers that are not restarted, or baselines that would share a file.
    """
    tested = tuple(subjects)
    source, settings = setup.engines.candidate.source, setup.settings
    if settings.baselines.selftest and not source.restarts:
        raise InvalidInputError(
            "--specdec-selftest needs several starts of the server, and an attached one is not restarted: launch "
            "it (--specdec-launch), or gather sessions with --specdec-update=merge"
        )
    cells = {cell for subject in tested for cell in cells_of(subject)}
    asked = dict.fromkeys(one for subject in tested if isinstance(subject, OutputSubject) for one in subject.interviews)
    # The Off side of a comparison may come from a stored baseline.
    unavailable = {cell: EngineError(reason) for cell in cells if (reason := source.refusal(cell.engine))}
    unasked = {one: EngineError(reason) for one in asked if (reason := source.refusal(one.engine))}
    planned = Plan.of(cells - unavailable.keys(), settings.measure.seed, (one for one in asked if one not in unasked))
    if settings.baselines.update is not None:
        refuse_shared_files(planned.cells)
    return Demand(
        subjects=tested,
        plan=planned,
        repeats=_repeats(planned.cells, setup, judged=judged),
        judged=judged,
        unavailable=unavailable,
        unasked=unasked,
    )


def _repeats(cells: Sequence[Cell], setup: Setup, *, judged: bool) -> tuple[dict[Cell, int], ...]:
    """Repeats of each cell, by server start: many for a new baseline, a few beside an old one."""
    baselines, settings = setup.baselines, setup.settings.baselines
    once = dict.fromkeys(cells, 1)
    stored = [point for cell in cells for point in baselines.of_any_environment(cell)] if judged else []
    screen = once | screening_runs(stored, settings.folder)
    if settings.update is None and not settings.selftest:
        return (screen,)
    starts, repeats = settings.sessions
    if not setup.engines.candidate.source.restarts:
        starts = 1  # a further session of an attached server is a further invocation
    saving = settings.update == "new" and not settings.selftest
    many = {cell: repeats for cell in cells if not (saving and setup.is_stored(cell))}
    return (screen | many, *[many] * (starts - 1)) if many else (screen,)


def plan_words(demand: Demand, setup: Setup) -> str:
    """Sum a plan up: `4 engines, 20 points, about 6 min, about $1.90`.

    Raises:
        InvalidInputError: the hardware has no list price and the user gave none.
    """
    source, measure = setup.engines.candidate.source, setup.settings.measure
    # Interviews are held once, on the first server start.
    parts = [
        demand.plan.repeated(repeats, measure.seed, () if number else demand.plan.asked)
        for number, repeats in enumerate(demand.repeats)
    ]
    rounds = 1 if measure.swap is None else 2
    least, most = (
        rounds * sum(part.seconds(window_s=s, settle_s=measure.settle_s, start_s=source.start_s) for part in parts)
        for s in measure.window_s
    )
    return demand.plan.words(
        runs=rounds * sum(len(part.cells) for part in parts),
        sessions=len(parts),
        least_s=least,
        most_s=most,
        price=setup.price(),
        simulated=source.simulated,
    )


def confirm_words(demand: Demand, setup: Setup) -> str:
    """Return the worst case of confirming in words; empty where nothing is judged, or nothing more is measured."""
    gate, measure, engines = setup.settings.gate, setup.settings.measure, setup.engines
    cells, source = demand.plan.cells, engines.candidate.source
    if not demand.judged or gate.confirm == "never" or not RULES[gate.rule].confirms or not cells:
        return ""
    terms, reference = Terms(), engines.reference
    if reference is None:
        rounds, what = terms.session_interims[-1], "more repeats"
    else:
        blocks = terms.pair_interims(len(cells) * len(PRESETS))[-1] // PAIRS_PER_BLOCK
        rounds, what = blocks * len(PAIRS), f"repeats ({blocks} blocks of {', '.join(PAIRS)})"
    one, every = (
        rounds * part.seconds(window_s=measure.window_s[1], settle_s=measure.settle_s, start_s=source.start_s)
        for part in (Plan(cells=cells[:1]), Plan(cells=cells))
    )
    took = f"about {duration(one)} for one suspect"
    took += f", {duration(every)} if all {len(cells)} points are suspects" if len(cells) > 1 else ""
    hint = "" if reference else "; add --specdec-reference-endpoint, -launch or -simulate to detect smaller losses"
    return f"worst case of confirming: {rounds} {what} of every suspect, {took}{hint}"


def planned_repeats(demand: Demand, settings: Settings) -> int:
    """Count the planned repeats, without confirmation."""
    return demand.repeat_count * (1 if settings.measure.swap is None else 2)
