"""Measure the whole demand once, judge the suite once, and hand every state on to the sink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.measure.campaign import Campaign
from pytest_specdec.measure.measured import Measured
from pytest_specdec.measure.progress import Listener
from pytest_specdec.measure.sigterm import sigterm_interrupts
from pytest_specdec.pipeline.judge import Again, Judgement, judge
from pytest_specdec.pipeline.measure import measure_swapped, new_campaign
from pytest_specdec.pipeline.record import Invocation, Record, find_stored
from pytest_specdec.pipeline.setup import Setup
from pytest_specdec.suite.demand import Demand


def carry_out(
    demand: Demand, setup: Setup, *, invocation: Invocation, listener: Listener, sink: Callable[[Record], None]
) -> Setup:
    """Measure and judge; the sink gets the record after every point, and at the end, also after Ctrl-C.

    Returns the setup with the engines where they are now: --specdec-swap moves their servers.

    Raises:
        KeyboardInterrupt: interrupted; the last record holds what was measured, judged by what there is.
        SpecdecError: nothing can be measured, or a baseline cannot be read.
    """
    empty = Record(invocation=invocation, demand=demand, measured=Measured(raw=invocation.begun))
    sink(empty)  # a run that is killed before its first point is an empty run, not a broken file
    campaign = new_campaign(
        setup,
        listener=listener,
        sink=lambda found: sink(replace(empty, measured=found)),
        started_at=invocation.started_at,
    )
    campaign.found = empty.measured
    settings = setup.settings
    judgement, complete = Judgement(), False
    judged = demand.judged and not settings.baselines.selftest
    try:
        with sigterm_interrupts():
            campaign.repeats(demand.plan, demand.repeats)
            if settings.measure.swap is not None:
                setup = measure_swapped(campaign, demand, setup, invocation.started_at)
            if judged:
                judgement = judge(
                    demand.plan.cells, campaign.found, setup.baselines, settings, _again(campaign, demand, setup)
                )
        complete = True
    finally:
        # Also after Ctrl-C: whatever was measured is judged and kept.
        measured = campaign.finished(complete=complete)
        if judged and not judgement.verdicts:
            judgement = judge(demand.plan.cells, measured, setup.baselines, settings)
        stored = dict(find_stored(demand, measured, setup.baselines))
        sink(replace(empty, measured=measured, judgement=judgement, stored=stored))
    return setup


def _again(campaign: Campaign, demand: Demand, setup: Setup) -> Again:
    reference = setup.engines.reference

    def can_pair(engine: EngineSpec) -> bool:
        return reference is not None and not reference.source.refusal(engine)

    return Again(campaign=campaign, plan=demand.plan, can_pair=can_pair)
