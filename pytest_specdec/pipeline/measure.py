"""Stage 2: the demand -> a campaign that is ready to measure, with one opener for both arms."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime

from pytest_specdec.domain.cell import Cell, EngineSpec
from pytest_specdec.domain.price import Price, list_price
from pytest_specdec.errors import EngineError
from pytest_specdec.estimators.window import StopRule
from pytest_specdec.load.point import Limits
from pytest_specdec.measure.budget import Bill
from pytest_specdec.measure.campaign import Campaign
from pytest_specdec.measure.http_engine import GpuOptions
from pytest_specdec.measure.live_engine import OpenEngine, PointOptions
from pytest_specdec.measure.measured import Sink
from pytest_specdec.measure.progress import Listener
from pytest_specdec.pipeline.engines import Engines
from pytest_specdec.pipeline.settings import MeasureSettings
from pytest_specdec.redaction import Secrets
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Arm
from pytest_specdec.suite.demand import Declared, Demand
from pytest_specdec.suite.plan import Plan


def price_of(settings: MeasureSettings, declared: Declared) -> Callable[[str], Price]:
    """Return the price by hardware: the user's, else the list price.

    The returned function raises InvalidInputError where there is neither; the message says how to give one.
    """
    usd, kw = settings.gpu_hour_usd, settings.gpu_kw

    def price(hardware: str) -> Price:
        if usd is not None and kw is not None:
            return Price(usd_per_gpu_hour=usd, kw_per_gpu=kw)
        return list_price(hardware or declared.any_hardware)

    return price


def new_campaign(  # noqa: PLR0913 - a campaign is all of these
    engines: Engines,
    declared: Declared,
    settings: MeasureSettings,
    *,
    listener: Listener,
    secrets: Secrets,
    sink: Sink,
    started_at: datetime,
    bill: Bill | None = None,
) -> Campaign:
    """Make a campaign on both arms; `bill`: the one to go on with, so that two campaigns share one budget."""
    arms = engines.arms
    price = price_of(settings, declared)

    def said(text: str) -> None:
        listener.said(secrets.redact(text))

    def open_arm(arm: Arm, engine: EngineSpec, server_start: str) -> AbstractContextManager[OpenEngine]:
        return arms[arm].open(engine, server_start, declared, said)

    floor_s, ceiling_s = settings.window_s
    return Campaign(
        restarts={arm: side.source.restarts for arm, side in arms.items()},
        open_arm=open_arm,
        connect=engines.connector(
            prompt_files=declared.prompt_files,
            gpu=GpuOptions(dcgm_url=settings.dcgm_url, chosen=settings.gpus),
            said=said,
        ),
        point=PointOptions(
            limits=Limits(
                settle_s=settings.settle_s,
                warm_up_s=settings.warm_up_s,
                no_progress_s=settings.no_progress_s,
                deadline_s=settings.deadline_s,
            ),
            rule=StopRule(floor_s=floor_s, ceiling_s=ceiling_s, precision=settings.precision),
            price=price,
            slo=settings.slo,
        ),
        levels=settings.levels if settings.refine else (),
        bill=bill or Bill(budget=settings.budget, usd_per_gpu_hour=price("").usd_per_gpu_hour, clock=engines.clock),
        listener=listener,
        stamp=started_at.strftime("%Y%m%d-%H%M%S"),
        seed=settings.seed,
        sink=sink,
        secrets=secrets,
    )


def measure_swapped(  # noqa: PLR0913 - a second campaign needs what the first one had
    campaign: Campaign,
    demand: Demand,
    engines: Engines,
    declared: Declared,
    settings: MeasureSettings,
    *,
    started_at: datetime,
) -> Engines:
    """Measure the plan once more with the servers of the two hosts exchanged, on the same budget.

    Returns the engines where they are now.

    Raises:
        EngineError: there are not two endpoints, or they could not be exchanged.
    """
    side = engines.candidate
    model = next(iter(declared.hardware)).model
    exchanged = engines.exchanged(side.settings, settings.swap or "", model, campaign.said)
    cells = demand.plan.cells
    second = new_campaign(
        exchanged,
        declared,
        settings,
        listener=campaign.listener,
        secrets=campaign.secrets,
        sink=lambda found: campaign.swapped({c: runs[0] for c in cells if (runs := found.repeats(c))}),
        started_at=started_at,
        bill=campaign.bill,
    )
    second.repeats(replace(demand.plan, asked=()), [dict.fromkeys(cells, 1)])
    campaign.open_arm = second.open_arm  # no server is where it was
    return exchanged


def measure_apart(  # noqa: PLR0913 - a campaign of one cell
    cell: Cell,
    engines: Engines,
    declared: Declared,
    settings: MeasureSettings,
    *,
    listener: Listener,
    secrets: Secrets,
    started_at: datetime,
) -> Measurement:
    """Measure one cell outside the plan.

    Raises:
        EngineError: there is no such engine, or it could not be measured.
    """
    if reason := engines.candidate.source.refusal(cell.engine):
        raise EngineError(reason)
    campaign = new_campaign(
        engines,
        declared,
        settings,
        listener=listener,
        secrets=secrets,
        sink=lambda _: None,
        started_at=started_at,
    )
    campaign.repeats(Plan(cells=(cell,)), [{cell: 1}])
    if cell in campaign.found.lost:
        raise campaign.found.lost[cell]
    return campaign.found.repeats(cell)[0]
