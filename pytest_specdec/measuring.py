"""Carry a plan out: engine up, load on, facts in, measurements out; one point at a time.

This is where engine and load meet; it knows no pytest. Results leave through an observer as soon as they exist, so
that an interruption loses the point in flight and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, Self

import uvloop

from pytest_specdec.cell import Cell, EngineSpec, Workload
from pytest_specdec.cost import Price
from pytest_specdec.crosscheck import Looks, account_for
from pytest_specdec.engine.adapter import Adapter
from pytest_specdec.engine.endpoint import Endpoint, Served, wait_until_idle
from pytest_specdec.errors import EngineError, InconclusiveError, SpecdecError
from pytest_specdec.facts import Facts, contradictions
from pytest_specdec.load.closed_loop import Limits, Progress, closed_loop, supports_continuous_usage
from pytest_specdec.load.prompts import PromptWriter
from pytest_specdec.load.target import Target
from pytest_specdec.measurement import Environment, Measurement
from pytest_specdec.plan import Plan
from pytest_specdec.sample import Traffic
from pytest_specdec.summary import summarize

_BUSY_S = 10.0
_DRAIN_S = 60.0
_WATCH_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenEngine:
    """A running engine and what was declared of it."""

    endpoint: Endpoint
    hardware: str
    alias: str | None = None
    """Name under which the endpoint serves the model, when the user said so."""
    kind: str | None = None
    """Name of the adapter, when the user said which engine it is."""
    declared: Facts = field(default_factory=Facts)
    """What the user declared of it."""
    died: Callable[[], str] = str
    """Says how the engine ended; empty while it runs, and for engines that are not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may be spent; None is no limit."""

    seconds: float | None = None
    usd: float | None = None

    def exhausted(self, seconds: float, usd: float) -> str:
        """Name the limit that was reached; empty while there is some left."""
        if self.seconds is not None and seconds >= self.seconds:
            return f"the budget of {self.seconds / 60:g} min is spent"
        if self.usd is not None and usd >= self.usd:
            return f"the budget of ${self.usd:g} is spent"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """How to measure every point."""

    limits: Limits
    price: Callable[[str], Price]
    """Price by hardware."""
    budget: Budget = field(default_factory=Budget)


class Observer(Protocol):
    """Whoever wants to know how the measuring goes."""

    def engine_starting(self, engine: EngineSpec) -> None:
        """Tell that an engine is being started or looked at."""

    def progress(self, cell: Cell, progress: Progress) -> None:
        """Tell how a point comes along, a few times a second."""

    def measured(self, measurement: Measurement) -> None:
        """Take a finished point."""

    def not_measured(self, cells: Sequence[Cell], error: SpecdecError) -> None:
        """Take the cells that will have no measurement, and why; an InconclusiveError when the budget left them out."""


OpenEngineFor = Callable[[EngineSpec], AbstractContextManager[OpenEngine]]


def measure_plan(plan: Plan, open_engine: OpenEngineFor, options: MeasureOptions, observer: Observer) -> None:
    """Measure every cell of a plan, engine by engine; trouble with one engine does not end the others."""
    job = _Job(options=options, observer=observer)
    for engine, cells in plan.by_engine():
        left = list(cells)
        spent = job.spent()
        if spent:
            observer.not_measured(left, InconclusiveError(spent))
            continue
        observer.engine_starting(engine)
        try:
            with (
                open_engine(engine) as running,
                job.on_clock(engine),
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                runner.run(job.measure_engine(running, engine, left))
        except SpecdecError as error:
            observer.not_measured(left, error)


@dataclass(slots=True, kw_only=True)
class _Job:
    """What outlives an engine: spending, the order of points, how the prompts of a workload were counted."""

    options: MeasureOptions
    observer: Observer
    order: int = 0
    usd: float = 0.0
    started: float = field(default_factory=time.monotonic)
    counted: dict[tuple[str, Workload, int], tuple[EngineSpec, dict[int, int]]] = field(default_factory=dict)
    writers: dict[tuple[str, Workload], PromptWriter] = field(default_factory=dict)
    _engine_started: float = 0.0
    _usd_per_s: float = 0.0

    @contextmanager
    def on_clock(self, engine: EngineSpec) -> Iterator[None]:
        """Charge the GPUs while an engine is up."""
        self._engine_started = time.monotonic()
        self._usd_per_s = engine.gpus * self.options.price("").usd_per_gpu_hour / 3600
        try:
            yield
        finally:
            self.usd += (time.monotonic() - self._engine_started) * self._usd_per_s
            self._usd_per_s = 0.0

    def spent(self) -> str:
        """Name the budget that is spent; empty while there is some left."""
        running = (time.monotonic() - self._engine_started) * self._usd_per_s
        return self.options.budget.exhausted(time.monotonic() - self.started, self.usd + running)

    async def measure_engine(self, running: OpenEngine, engine: EngineSpec, left: list[Cell]) -> None:
        """Measure the cells of one engine, removing each from `left` when it is done or lost."""
        endpoint = running.endpoint
        served = await endpoint.look(engine.model, running.alias, running.kind)
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
        )
        target = target.with_continuous_usage(await supports_continuous_usage(target))
        environment = _environment(running, served, facts)
        server = _Server(endpoint=endpoint, served=served, facts=facts, environment=environment)
        for cell in list(left):
            spent = self.spent()
            if spent:
                self.observer.not_measured(left, InconclusiveError(spent))
                left.clear()
                return
            try:
                measurement = await self._measure(cell, target, server)
            except SpecdecError as error:
                death = running.died() if isinstance(error, EngineError) else ""
                lost = list(left) if death else [cell]
                self.observer.not_measured(lost, EngineError(death) if death else error)
                left[:] = [other for other in left if other not in lost]
                if death:
                    return
            else:
                left.remove(cell)
                self.observer.measured(measurement)

    async def _measure(self, cell: Cell, target: Target, server: _Server) -> Measurement:
        endpoint, adapter = server.endpoint, server.served.adapter
        writer = await self._writer(cell, target)
        before = await wait_until_idle(endpoint, adapter, seconds=_BUSY_S)
        if server.facts.prefix_cache is not False:
            # A run before this one may have left the same prompts there.
            await endpoint.reset_prefix_cache(adapter)
        measured_at = datetime.now(UTC).isoformat(timespec="seconds")
        async with _Watch(endpoint, adapter) as watch:
            result = await closed_loop(
                target,
                cell.workload,
                cell.concurrency,
                writer,
                limits=self.options.limits,
                on_progress=lambda progress: self.observer.progress(cell, progress),
            )
        after = await wait_until_idle(endpoint, adapter, seconds=_DRAIN_S)
        looks = Looks(before=before, after=after, waiting=watch.waiting, gauge_lengths=watch.gauge_lengths)
        self._refuse_other_counting(cell, result.traffic)
        account = account_for(cell, server.facts, result, looks)
        price = self.options.price(server.environment.hardware)
        values, counts = summarize(
            result.traffic, cell.workload, gpus=cell.engine.gpus, acceptance=account.acceptance, price=price
        )
        self.order += 1
        return Measurement(
            cell=cell,
            environment=server.environment,
            price=price,
            window_s=result.traffic.window_end_s - result.traffic.window_start_s,
            requests=counts,
            values=values,
            acceptance=account.acceptance,
            tokens=account.tokens,
            server_ttft=account.ttft,
            measured_at=measured_at,
            order=self.order,
            notes=account.notes,
        )

    async def _writer(self, cell: Cell, target: Target) -> PromptWriter:
        """Prompts of a workload are calibrated once, so that every mode is sent the same bytes."""
        key = cell.engine.model, cell.workload
        if key not in self.writers:
            self.writers[key] = await PromptWriter.calibrate(target, cell.workload)
        return self.writers[key].retargeted(target)

    def _refuse_other_counting(self, cell: Cell, traffic: Traffic) -> None:
        """Equal bytes must be equal tokens in both arms, else a template or tokenizer differs between them."""
        counted = {s.request.index: s.prompt_tokens for s in traffic.samples if s.prompt_tokens is not None}
        key = cell.engine.model, cell.workload, cell.concurrency
        engine, earlier = self.counted.setdefault(key, (cell.engine, {}))
        for index, tokens in counted.items():
            if earlier.setdefault(index, tokens) != tokens:
                raise EngineError(
                    f"prompt {index} has {tokens} tokens here and {earlier[index]} on {engine}: "
                    "the two servers use different chat templates or tokenizers, so their speeds are not comparable"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """The engine that is being measured, and all that is known of it."""

    endpoint: Endpoint
    served: Served
    facts: Facts
    """Observed and declared."""
    environment: Environment


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
