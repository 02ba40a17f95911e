"""Measure the whole demand once, judge the suite once, and hand every state on to the sink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.errors import SpecdecError
from pytest_specdec.measure.campaign import Campaign
from pytest_specdec.measure.measured import Measured
from pytest_specdec.measure.progress import Listener
from pytest_specdec.measure.sigterm import sigterm_interrupts
from pytest_specdec.pipeline.engines import Engines
from pytest_specdec.pipeline.judge import Again, Judgement, judge
from pytest_specdec.pipeline.measure import measure_swapped, new_campaign
from pytest_specdec.pipeline.record import Invocation, Record, find_stored
from pytest_specdec.pipeline.settings import Settings
from pytest_specdec.results.baseline import Baselines
from pytest_specdec.suite.demand import Declared, Demand


def carry_out(  # noqa: PLR0913 - the demand, and everything that serves it
    demand: Demand,
    declared: Declared,
    engines: Engines,
    settings: Settings,
    baselines: Baselines,
    *,
    invocation: Invocation,
    listener: Listener,
    sink: Callable[[Record], None],
) -> Engines:
    """Measure and judge; the sink gets the record after every point, and at the end, also after Ctrl-C.

    Returns the engines where they are now: --specdec-swap moves their servers.

    Raises:
        KeyboardInterrupt: interrupted; the last record holds what was measured, judged by what there is.
        SpecdecError: nothing can be measured, or a baseline cannot be read.
    """
    empty = Record(invocation=invocation, demand=demand)
    campaign = new_campaign(
        engines,
        declared,
        settings.measure,
        listener=listener,
        secrets=invocation.secrets,
        sink=lambda found: sink(replace(empty, measured=found)),
        started_at=invocation.started_at,
    )
    if settings.measure.resume is not None:
        try:
            campaign.resume(settings.measure.resume)
        except SpecdecError:
            invocation.path.unlink()  # no run was begun
            raise
    sink(empty)  # a run that is killed before its first point is an empty run, not a broken file
    judgement, complete = Judgement(), False
    judged = demand.judged and not settings.baselines.selftest
    try:
        with sigterm_interrupts():
            campaign.repeats(demand.plan, demand.repeats)
            if settings.measure.swap is not None:
                engines = measure_swapped(
                    campaign, demand, engines, declared, settings.measure, started_at=invocation.started_at
                )
            if judged:
                again = _again(campaign, demand, engines)
                judgement = _judge(demand, campaign.found, settings, baselines, again)
        complete = True
    finally:
        # Also after Ctrl-C: whatever was measured is judged and kept.
        measured = campaign.finished(complete=complete)
        if judged and not judgement.verdicts:
            judgement = _judge(demand, measured, settings, baselines, None)
        stored = dict(find_stored(demand, measured, baselines))
        sink(replace(empty, measured=measured, judgement=judgement, stored=stored))
    return engines


def _again(campaign: Campaign, demand: Demand, engines: Engines) -> Again:
    reference = engines.reference

    def can_pair(engine: EngineSpec) -> bool:
        return reference is not None and not reference.source.refusal(engine)

    return Again(campaign=campaign, plan=demand.plan, can_pair=can_pair)


def _judge(
    demand: Demand, measured: Measured, settings: Settings, baselines: Baselines, again: Again | None
) -> Judgement:
    return judge(
        demand.plan.cells,
        measured,
        baselines,
        settings.gate,
        improvements=settings.baselines.update == "all",
        again=again,
    )
