"""Measure one point of a running engine: idle before, load on, idle after, and all that is known of it joined."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.client_health import client_limited
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.facts import Facts
from pytest_specdec.domain.price import Price
from pytest_specdec.domain.traffic import Traffic
from pytest_specdec.engine.adapter import Adapter
from pytest_specdec.engine.endpoint import Endpoint, Served, wait_until_idle
from pytest_specdec.errors import EngineError
from pytest_specdec.estimators.batches import batch_seconds
from pytest_specdec.estimators.goodput import goodput
from pytest_specdec.estimators.slo import Slo
from pytest_specdec.estimators.summary import summarize
from pytest_specdec.estimators.window import Reviewer, StopRule
from pytest_specdec.load.point import Limits, LoadResult, Progress, put_under_load
from pytest_specdec.load.target import Target
from pytest_specdec.load.writers import Writer
from pytest_specdec.measure.crosscheck import Looks, account_for
from pytest_specdec.results.measurement import Certainty, Measurement
from pytest_specdec.speculation.prompt_acceptance import acceptance_by_prompt
from pytest_specdec.telemetry.readings import GpuTelemetry, cautions, measured_j_tok
from pytest_specdec.telemetry.sampler import GpuSampler
from pytest_specdec.telemetry.source import GpuSource

_BUSY_S = 10.0
_DRAIN_S = 60.0
_WATCH_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The engine that is being measured, and all that is known of it."""

    endpoint: Endpoint
    target: Target
    served: Served
    facts: Facts
    """Observed and declared."""
    environment: Environment
    gpus: GpuSource | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PointOptions:
    """How to measure every point."""

    limits: Limits
    rule: StopRule
    price: Callable[[str], Price]
    """Price by hardware."""
    slo: Slo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPoint:
    """A measurement, and the traffic that it rests on."""

    measurement: Measurement
    traffic: Traffic


async def measure_point(
    server: Server, cell: Cell, writer: Writer, options: PointOptions, on_progress: Callable[[Progress], None]
) -> MeasuredPoint:
    """Measure one cell.

    Raises:
        EngineError: somebody else uses the server, requests keep failing, or its counters fell.
        NotMeasuredError: the window saw too little of every stream.
    """
    endpoint, adapter = server.endpoint, server.served.adapter
    price = options.price(server.environment.hardware)  # one that is missing is told before the load, not after it
    before = await wait_until_idle(endpoint, adapter, seconds=_BUSY_S)
    if server.facts.prefix_cache is not False:
        # A run before this one may have left the same prompts there.
        await endpoint.reset_prefix_cache(adapter)
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    async with _Watch(endpoint, adapter) as watch, GpuSampler(server.gpus) as gpus:
        result = await put_under_load(
            server.target,
            cell,
            writer,
            limits=options.limits,
            review=Reviewer(options.rule, cell.workload),
            on_progress=on_progress,
        )
    after = await wait_until_idle(endpoint, adapter, seconds=_DRAIN_S)
    looks = Looks(before=before, after=after, waiting=watch.waiting, gauge_lengths=watch.gauge_lengths)
    account = account_for(cell, server.facts, result, looks)
    traffic = result.traffic
    values, counts = summarize(
        traffic, cell.workload, gpus=cell.engine.gpus, acceptance=account.acceptance, price=price
    )
    telemetry = gpus.telemetry(result.origin_s + traffic.window_start_s, result.origin_s + traffic.window_end_s)
    window_s = traffic.window_end_s - traffic.window_start_s
    certainty = _certainty(options.rule, result)
    limited = client_limited(result.client)
    notes = [*account.notes, *certainty.notes(window_s), *([f"client-limited: {limited}"] if limited else [])]
    notes += cautions(telemetry, cell.engine.gpus) if telemetry else ()
    measurement = Measurement(
        cell=cell,
        environment=server.environment,
        price=price,
        window_s=window_s,
        requests=counts,
        values=values | _energy(cell, telemetry, values["total_tok_s_gpu"]) | _within(options.slo, traffic),
        batches_s=batch_seconds(traffic),
        acceptance=account.acceptance,
        by_prompt=acceptance_by_prompt(traffic.samples, wording=writer.wording, counted=server.target.continuous_usage),
        tokens=account.tokens,
        server_ttft=account.ttft,
        signs=account.signs,
        findings=account.findings,
        client=result.client,
        certainty=certainty,
        gpu=telemetry,
        slo=None if options.slo is None else str(options.slo),
        measured_at=measured_at,
        notes=tuple(notes),
    )
    return MeasuredPoint(measurement=measurement, traffic=traffic)


def _energy(cell: Cell, telemetry: GpuTelemetry | None, throughput: Estimate) -> dict[str, Estimate]:
    joules = measured_j_tok(telemetry, throughput, cell.engine.gpus) if telemetry else None
    return {} if joules is None else {"measured_j_tok": joules}


def _within(slo: Slo | None, traffic: Traffic) -> dict[str, Estimate]:
    good = goodput(traffic, slo) if slo else None
    return {} if good is None else {"goodput_req_s": good.requests_s, "goodput_share": good.share}


def _certainty(rule: StopRule, result: LoadResult) -> Certainty:
    reached = result.review.precision
    return Certainty(
        # Where the point is for something else, just that precision was asked which made the other sure.
        asked=reached if result.review.aimed and reached is not None else rule.precision,
        reached=reached,
        fixed=rule.floor_s == rule.ceiling_s,
        drift=result.review.drift,
        warm=result.warm,
    )


class _Watch:
    """Looks at the server's queue while a point runs."""

    def __init__(self, endpoint: Endpoint, adapter: Adapter) -> None:
        self.endpoint = endpoint
        self.adapter = adapter
        self.waiting: list[float] = []
        self.gauge_lengths: list[float] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None, "unreachable because the watch was entered"
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                reading = await self.endpoint.reading(self.adapter)
            except EngineError:
                return  # the point itself will tell
            if reading.waiting is not None:
                self.waiting.append(reading.waiting)
            if reading.gauge_length is not None:
                self.gauge_lengths.append(reading.gauge_length)
