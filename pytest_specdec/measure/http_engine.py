"""An engine behind HTTP: identify it, put it under load, read its counters around the load, ask it for answers."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pytest_specdec.domain.cell import Cell, EngineSpec, Interview, Workload
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.facts import Facts, contradictions
from pytest_specdec.domain.traffic import Traffic
from pytest_specdec.engine.endpoint import Endpoint, Served, wait_until_idle
from pytest_specdec.errors import EngineError
from pytest_specdec.estimators.window import ProbeReview, Reviewer, rough_interactivity
from pytest_specdec.load.point import LoadResult, put_under_load
from pytest_specdec.load.target import Target
from pytest_specdec.load.writers import ListWriter, PromptWriter, Writer, supports_continuous_usage
from pytest_specdec.measure.assemble import Evidence, assemble
from pytest_specdec.measure.crosscheck import Snapshots
from pytest_specdec.measure.interview import Answers, ask_all
from pytest_specdec.measure.live_engine import OnProgress, OpenEngine, PointOptions
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.telemetry.sampler import GpuSampler, open_source
from pytest_specdec.telemetry.source import GpuSource, on_this_host
from pytest_specdec.workload.prompt_file import PromptFile
from pytest_specdec.workload.regime import TEXT, Regime

_BUSY_S = 10.0
_DRAIN_S = 60.0
_WATCH_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuOptions:
    """Source of GPU telemetry."""

    dcgm_url: str | None = None
    """Metrics of a DCGM exporter; None for NVML on this host."""
    chosen: tuple[str, ...] | None = None
    """Indices or UUIDs; None for all."""


@dataclass(slots=True, kw_only=True)
class HttpEngines:
    """Connects to engines over HTTP, and keeps what must be the same for all of them: the prompts."""

    prompt_files: Mapping[str, PromptFile]
    """By the workload's name of its prompts."""
    gpu: GpuOptions
    said: Callable[[str], None]
    """Shows a line to the user."""
    _writers: dict[tuple[str, Workload], Writer] = field(default_factory=dict)
    _counted: dict[tuple[str, Workload, str], tuple[EngineSpec, dict[int, int]]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def connect(self, running: OpenEngine, engine: EngineSpec) -> AsyncIterator[HttpEngine]:
        """Ask the endpoint what it is, and refuse what contradicts the cell.

        Raises:
            EngineError: unreachable, or another mode, model or precision than asked for.
        """
        endpoint = running.endpoint
        served = await endpoint.introspect(engine.model, running.alias, running.kind)
        facts = served.facts.declared(running.declared)
        differences = contradictions(engine, facts)
        if differences:
            raise EngineError(f"{endpoint.shown}: {'; '.join(differences)}")
        await endpoint.smoke(served.model)
        target = Target(
            base_url=endpoint.url,
            model=served.model,
            api_key=endpoint.api_key,
            fields=served.adapter.request_fields,
            more_headers=endpoint.headers,
            counts_cut_streams=served.adapter.counts_cut_streams(served.version),
        )
        target = replace(target, continuous_usage=await supports_continuous_usage(target))
        environment = _environment(running, served, facts)
        async with self._gpus(running, served) as gpus:
            yield HttpEngine(
                endpoint=endpoint,
                target=target,
                served=served,
                facts=facts,
                environment=environment,
                gpus=gpus,
                engines=self,
            )

    async def writer(self, cell: Cell, target: Target) -> Writer:
        """Writer of a cell's prompts, calibrated once, so that every mode is sent the same bytes."""
        key = cell.engine.model, cell.workload
        if key not in self._writers:
            prompts: PromptFile | Regime | None = self.prompt_files.get(cell.workload.prompts)
            if prompts is None and cell.workload.prompts.startswith(TEXT):
                prompts = Regime.parse(cell.workload.prompts)
            if prompts is not None:
                self._writers[key] = ListWriter(target=target, workload=cell.workload, prompts=prompts)
            else:
                self._writers[key] = await PromptWriter.calibrate(target, cell.workload)
        return self._writers[key].retargeted(target)

    def refuse_other_counting(self, cell: Cell, traffic: Traffic) -> None:
        """Check that equal prompts are equal tokens on every engine.

        Raises:
            EngineError: a chat template or tokenizer differs between them.
        """
        counted = {s.request.index: s.prompt_tokens for s in traffic.samples if s.prompt_tokens is not None}
        key = cell.engine.model, cell.workload, cell.level
        engine, earlier = self._counted.setdefault(key, (cell.engine, {}))
        for index, tokens in counted.items():
            if earlier.setdefault(index, tokens) != tokens:
                raise EngineError(
                    f"prompt {index} has {tokens} tokens here and {earlier[index]} on {engine}: "
                    "the two servers use different chat templates or tokenizers, so their speeds are not comparable"
                )

    @asynccontextmanager
    async def _gpus(self, running: OpenEngine, served: Served) -> AsyncIterator[GpuSource | None]:
        """Open the sensors of the engine's GPUs, where there are any."""
        if served.simulated or not (self.gpu.dcgm_url or on_this_host(running.endpoint.url)):
            yield None
            return
        source, reason = await open_source(self.gpu.dcgm_url, self.gpu.chosen)
        if reason and reason not in self._told:
            self._told.add(reason)
            self.said(f"no GPU telemetry: {reason}")
        try:
            yield source
        finally:
            if source is not None:
                await source.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpEngine:
    """One engine behind HTTP."""

    endpoint: Endpoint
    target: Target
    served: Served
    facts: Facts
    environment: Environment
    gpus: GpuSource | None
    engines: HttpEngines = field(repr=False)

    async def measure(self, cell: Cell, options: PointOptions, on_progress: OnProgress) -> Measurement:
        """Measure one cell: idle before, load on, idle after."""
        endpoint, adapter = self.endpoint, self.served.adapter
        writer = await self.engines.writer(cell, self.target)
        price = options.price(self.environment.hardware)  # a missing price is an error before the load, not after it
        before = await wait_until_idle(endpoint, adapter, seconds=_BUSY_S)
        if self.facts.prefix_cache is not False:
            # An earlier repeat may have left the same prompts there.
            await endpoint.reset_prefix_cache(adapter)
        measured_at = datetime.now(UTC).isoformat(timespec="seconds")
        queued: list[float] = []
        gauge_lengths: list[float] = []
        async with self._sampled(queued, gauge_lengths), GpuSampler(self.gpus) as gpus:
            load = await put_under_load(
                self.target,
                cell,
                writer,
                limits=options.limits,
                review=Reviewer(options.rule, cell.workload),
                on_progress=on_progress,
            )
        after = await wait_until_idle(endpoint, adapter, seconds=_DRAIN_S)
        evidence = Evidence(
            load=load,
            snapshots=Snapshots(before=before, after=after, waiting=queued, gauge_lengths=gauge_lengths),
            wording=writer.wording,
            counted_on_every_chunk=self.target.continuous_usage,
            measured_at=measured_at,
            gpu=gpus.telemetry(*_window(load)),
        )
        measurement = assemble(
            cell, self.environment, self.facts, evidence, rule=options.rule, price=price, slo=options.slo
        )
        self.engines.refuse_other_counting(cell, load.traffic)
        return measurement

    async def probe(self, cell: Cell, options: PointOptions, *, seconds: float, on_progress: OnProgress) -> float:
        """Put a concurrency under load for a moment, to find where an interactivity level lies."""
        adapter = self.served.adapter
        await wait_until_idle(self.endpoint, adapter, seconds=_BUSY_S)
        load = await put_under_load(
            self.target,
            cell,
            await self.engines.writer(cell, self.target),
            limits=dataclasses.replace(options.limits, settle_s=options.limits.settle_s / 2),
            review=ProbeReview(seconds=seconds),
            on_progress=on_progress,
        )
        await wait_until_idle(self.endpoint, adapter, seconds=_DRAIN_S)
        return rough_interactivity(load.traffic, cell.concurrency)

    async def ask(self, interview: Interview) -> Answers:
        """Collect the answers to the fixed questions."""
        draft_tokens = interview.engine.speculation.draft_tokens
        return await ask_all(self.target, draft_tokens=draft_tokens, thinking=interview.thinking)

    @asynccontextmanager
    async def _sampled(self, queued: list[float], gauge_lengths: list[float]) -> AsyncIterator[None]:
        """Sample the server's gauges into the two lists while the context lasts."""

        async def sample() -> None:
            while True:
                await asyncio.sleep(_WATCH_S)
                try:
                    reading = await self.endpoint.reading(self.served.adapter)
                except EngineError:
                    return  # the point itself fails with the reason
                if reading.waiting is not None:
                    queued.append(reading.waiting)
                if reading.gauge_length is not None:
                    gauge_lengths.append(reading.gauge_length)

        task = asyncio.create_task(sample())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _window(load: LoadResult) -> tuple[float, float]:
    """Start and end of the window by the client's clock, seconds."""
    traffic = load.traffic
    return load.origin_s + traffic.window_start_s, load.origin_s + traffic.window_end_s


def _environment(running: OpenEngine, served: Served, facts: Facts) -> Environment:
    return Environment(
        hardware=f"simulated-{running.hardware}" if served.simulated else running.hardware,
        engine=served.engine,
        version=served.version,
        endpoint=running.endpoint.shown,
        served_model=served.model,
        simulated=served.simulated,
        facts=facts.words(),
        declared=tuple(sorted(running.declared.words().keys() - served.facts.words().keys())),
    )
