"""Stage 2: the demand -> a campaign that is ready to measure, with one opener for both arms."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime

from pytest_specdec.domain.cell import Cell, EngineSpec
from pytest_specdec.errors import EngineError
from pytest_specdec.estimators.window import StopRule
from pytest_specdec.load.point import Limits
from pytest_specdec.measure.budget import Bill
from pytest_specdec.measure.campaign import Campaign
from pytest_specdec.measure.http_engine import GpuOptions
from pytest_specdec.measure.live_engine import OpenEngine, PointOptions
from pytest_specdec.measure.measured import Sink
from pytest_specdec.measure.progress import Listener
from pytest_specdec.pipeline.setup import Setup
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Arm
from pytest_specdec.suite.demand import Demand
from pytest_specdec.suite.plan import Plan


def new_campaign(
    setup: Setup, *, listener: Listener, sink: Sink, started_at: datetime, bill: Bill | None = None
) -> Campaign:
    """Make a campaign on both arms; `bill`: the one to go on with, so that two campaigns share one budget."""
    settings, engines, declared = setup.settings.measure, setup.engines, setup.declared
    arms, secrets = engines.arms, setup.settings.secrets()

    def said(text: str) -> None:
        listener.said(secrets.redact(text))

    def open_arm(arm: Arm, engine: EngineSpec, server_start: str) -> AbstractContextManager[OpenEngine]:
        return arms[arm].open(engine, server_start, declared, said)

    floor_s, ceiling_s = settings.window_s
    gpu = GpuOptions(dcgm_url=settings.dcgm_url, chosen=settings.gpus)
    return Campaign(
        restarts={arm: side.source.restarts for arm, side in arms.items()},
        open_arm=open_arm,
        connect=engines.connector(prompt_files=declared.prompt_files, gpu=gpu, said=said),
        point=PointOptions(
            limits=Limits(
                settle_s=settings.settle_s,
                warm_up_s=settings.warm_up_s,
                no_progress_s=settings.no_progress_s,
                deadline_s=settings.deadline_s,
            ),
            rule=StopRule(floor_s=floor_s, ceiling_s=ceiling_s, precision=settings.precision),
            price=setup.price,
            slo=settings.slo,
        ),
        levels=settings.levels if settings.refine else (),
        bill=bill or Bill(budget=settings.budget, usd_per_gpu_hour=setup.price().usd_per_gpu_hour, clock=engines.clock),
        listener=listener,
        stamp=started_at.strftime("%Y%m%d-%H%M%S"),
        seed=settings.seed,
        sink=sink,
        secrets=secrets,
    )


def measure_swapped(campaign: Campaign, demand: Demand, setup: Setup, started_at: datetime) -> Setup:
    """Measure the plan once more with the servers of the two hosts exchanged, on the same budget.

    Returns the setup with the engines where they are now.

    Raises:
        EngineError: there are not two endpoints, or they could not be exchanged.
    """
    model = next(iter(setup.declared.hardware)).model
    setup = replace(setup, engines=setup.engines.exchanged(setup.settings.measure.swap or "", model, campaign.said))
    cells = demand.plan.cells
    second = new_campaign(
        setup,
        listener=campaign.listener,
        sink=lambda found: campaign.swapped({c: runs[0] for c in cells if (runs := found.repeats(c))}),
        started_at=started_at,
        bill=campaign.bill,
    )
    second.repeats(replace(demand.plan, asked=()), [dict.fromkeys(cells, 1)])
    campaign.open_arm = second.open_arm  # no server is where it was
    return setup


def measure_apart(cell: Cell, setup: Setup, *, listener: Listener, started_at: datetime) -> Measurement:
    """Measure one cell outside the plan.

    Raises:
        EngineError: there is no such engine, or it could not be measured.
    """
    if reason := setup.engines.candidate.source.refusal(cell.engine):
        raise EngineError(reason)
    campaign = new_campaign(setup, listener=listener, sink=lambda _: None, started_at=started_at)
    campaign.repeats(Plan(cells=(cell,)), [{cell: 1}])
    if cell in campaign.found.lost:
        raise campaign.found.lost[cell]
    return campaign.found.repeats(cell)[0]
