"""Settings and a session's plan -> a campaign that is ready to measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.domain.facts import facts_for
from pytest_specdec.engine.provision import EngineSource
from pytest_specdec.estimators.window import StopRule
from pytest_specdec.load.point import Limits
from pytest_specdec.measure.budget import Bill
from pytest_specdec.measure.campaign import Campaign, Listener
from pytest_specdec.measure.point import PointOptions
from pytest_specdec.measure.runner import GpuOptions, MeasureOptions, OpenEngine
from pytest_specdec.results.run import Arm

if TYPE_CHECKING:
    from pytest_specdec.pipeline.invocation import SpecdecSession
    from pytest_specdec.pipeline.settings import EngineSettings


def new_campaign(
    session: SpecdecSession,
    listener: Listener,
    *,
    keep: Callable[[], None],
    source: EngineSource | None = None,
    bill: Bill | None = None,
) -> Campaign:
    """A campaign on the session's engines, or on those of `source`; `keep` is called after every run.

    `bill`: the one to go on with, so that two campaigns share one budget.
    """
    settings = session.settings
    sources: dict[Arm, EngineSource] = {"candidate": source or session.source(session.subjects)}
    if (reference := session.reference_source()) is not None:
        sources["reference"] = reference

    def opener(source: EngineSource, start: str) -> Callable[[EngineSpec], AbstractContextManager[OpenEngine]]:
        reference = settings.reference if source is sources.get("reference") else None
        return _opener(session, reference or settings.candidate, source, start)

    return Campaign(
        sources=sources,
        opener=opener,
        options=_options(session),
        bill=bill
        or Bill(
            budget=settings.measure.budget,
            usd_per_gpu_hour=session.price("").usd_per_gpu_hour,
        ),
        listener=listener,
        stamp=session.started_at.strftime("%Y%m%d-%H%M%S"),
        seed=settings.measure.seed,
        keep=keep,
        secrets=session.secrets,
    )


def _options(session: SpecdecSession) -> MeasureOptions:
    settings = session.settings
    floor_s, ceiling_s = settings.measure.window_s
    point = PointOptions(
        limits=Limits(
            settle_s=settings.measure.settle_s,
            warm_up_s=settings.measure.warm_up_s,
            no_progress_s=settings.measure.no_progress_s,
            deadline_s=settings.measure.deadline_s,
        ),
        rule=StopRule(floor_s=floor_s, ceiling_s=ceiling_s, precision=settings.measure.precision),
        price=session.price,
        slo=settings.measure.slo,
    )
    return MeasureOptions(
        point=point,
        prompt_files=session.prompt_files,
        gpu=GpuOptions(dcgm_url=settings.measure.dcgm_url, chosen=settings.measure.gpus),
        refine=settings.measure.levels if settings.measure.refine else (),
    )


def _opener(
    session: SpecdecSession, settings: EngineSettings, source: EngineSource, start: str
) -> Callable[[EngineSpec], AbstractContextManager[OpenEngine]]:
    """Open engines of `source`; `settings` are those of the reference engine where it is one of its sources."""

    @contextmanager
    def open_engine(engine: EngineSpec) -> Iterator[OpenEngine]:
        with source.open(engine) as running:
            yield OpenEngine(
                endpoint=running.endpoint,
                died=running.died,
                kind=settings.engine,
                declared=facts_for(settings.facts, engine),
                hardware=settings.hardware or session.hardware.get(engine, "") or "unknown",
                alias=settings.served_models.get(engine.model),
                session=start,
            )

    return open_engine
