"""Carry a plan out: engine up, load on, facts in, measurements out; one point at a time.

This is where engine and load meet; it knows no pytest. Results leave through an observer as soon as they exist, so
that an interruption loses the point in flight and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec
import uvloop

from pytest_specdec.domain.cell import Cell, EngineSpec, Interview, Workload
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.facts import Facts, contradictions
from pytest_specdec.domain.traffic import Traffic
from pytest_specdec.engine.endpoint import Endpoint, Served
from pytest_specdec.errors import EngineError, InconclusiveError, SpecdecError
from pytest_specdec.estimators.neighbours import look_s
from pytest_specdec.estimators.window import StopRule
from pytest_specdec.load.point import Progress
from pytest_specdec.load.target import Target
from pytest_specdec.load.writers import FileWriter, PromptWriter, TextWriter, Writer, supports_continuous_usage
from pytest_specdec.measure.budget import Bill
from pytest_specdec.measure.interview import Answers, ask_all
from pytest_specdec.measure.point import PointOptions, Server, measure_point
from pytest_specdec.measure.probe import look_at
from pytest_specdec.measure.refine import Looked, refining
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.suite.plan import Plan
from pytest_specdec.telemetry.sampler import open_source
from pytest_specdec.telemetry.source import GpuSource, on_this_host
from pytest_specdec.workload.prompt_file import PromptFile
from pytest_specdec.workload.regime import TEXT, Regime


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
    session: str = ""
    """Name of this start of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuOptions:
    """Where to look at the GPUs."""

    dcgm_url: str | None = None
    """Metrics of a DCGM exporter; None for NVML on this host."""
    chosen: tuple[str, ...] | None = None
    """Indices or UUIDs; None for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """How to carry a plan out."""

    point: PointOptions
    prompt_files: Mapping[str, PromptFile] = field(default_factory=dict)
    """By the workload's name of its prompts."""
    gpu: GpuOptions = field(default_factory=GpuOptions)
    refine: tuple[float, ...] = ()
    """Interactivity levels whose neighbouring concurrencies are measured besides the plan, tok/s/user."""


class Observer(Protocol):
    """Whoever wants to know how the measuring goes."""

    def engine_starting(self, engine: EngineSpec) -> None:
        """Tell that an engine is being started or looked at."""

    def engine_known(self, engine: EngineSpec, environment: Environment) -> None:
        """Tell what an engine says of itself, before its first point; may refuse it by raising a SpecdecError."""

    def said(self, text: str) -> None:
        """Tell something that is not about a point."""

    def progress(self, cell: Cell, progress: Progress) -> None:
        """Tell how a point comes along, a few times a second."""

    def measured(self, measurement: Measurement) -> None:
        """Take a finished point."""

    def answered(self, interview: Interview, answers: Answers) -> None:
        """Take what an engine said."""

    def not_answered(self, interview: Interview, error: SpecdecError) -> None:
        """Take why an engine said nothing."""

    def not_measured(self, cells: Sequence[Cell], error: SpecdecError) -> None:
        """Take the cells that will have no measurement, and why; an InconclusiveError when the budget left them out."""


OpenEngineFor = Callable[[EngineSpec], AbstractContextManager[OpenEngine]]


@dataclass(slots=True, kw_only=True)
class Measuring:
    """Carries plans out, and keeps what outlives an engine: the bill, the order of points, the prompts' counts."""

    options: MeasureOptions
    observer: Observer
    bill: Bill
    asked: list[Interview] = field(default_factory=list)
    """Whose answers are still wanted."""
    refine: bool = True
    """Whether levels are looked for besides the plan."""
    order: int = 0
    counted: dict[tuple[str, Workload, str], tuple[EngineSpec, dict[int, int]]] = field(default_factory=dict)
    writers: dict[tuple[str, Workload], Writer] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    """What the observer was told once and need not hear for every engine."""

    def measure(self, plan: Plan, open_engine: OpenEngineFor, *, starts: bool, refine: bool = True) -> None:
        """Measure every cell of a plan, engine by engine; trouble with one engine does not end the others.

        A cell that stands in the plan several times is measured as often. `starts`: opening an engine starts a server.
        `refine`: also measure the neighbours of the levels that the options name.
        """
        self.asked, self.refine = list(plan.asked), refine
        for engine, cells in plan.by_engine():
            left = list(cells)
            spent = self.bill.spent()
            if spent:
                self.observer.not_measured(left, InconclusiveError(spent))
                self._give_up_asking(engine, InconclusiveError(spent))
                continue
            self.observer.engine_starting(engine)
            try:
                with (
                    self.bill.on_clock(engine, starts=starts),
                    open_engine(engine) as running,
                    asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
                ):
                    runner.run(self._measure_engine(running, engine, left))
            except SpecdecError as error:
                if left:
                    self.observer.not_measured(left, error)
                self._give_up_asking(engine, error)

    async def _measure_engine(self, running: OpenEngine, engine: EngineSpec, left: list[Cell]) -> None:
        """Measure the cells of one engine, removing each from `left` when it is done or lost."""
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
        target = target.with_continuous_usage(await supports_continuous_usage(target))
        environment = _environment(running, served, facts)
        self.observer.engine_known(engine, environment)
        async with self._gpus(running, served) as gpus:
            server = Server(
                endpoint=endpoint, target=target, served=served, facts=facts, environment=environment, gpus=gpus
            )
            found = [await self._try(server, running, cell, left) for cell in list(left) if cell in left]
            await self._refine(server, running, [m for m in found if m is not None])
            await self._ask(engine, target)

    async def _ask(self, engine: EngineSpec, target: Target) -> None:
        """Ask after the load, when whatever wears off has worn off."""
        for interview in self._asked_of(engine):
            self.observer.said(f"{interview}: asking for its answers")
            answers = await ask_all(target, draft_tokens=engine.mtp, thinking=interview.thinking)
            self.asked.remove(interview)
            self.observer.answered(interview, answers)

    def _give_up_asking(self, engine: EngineSpec, error: SpecdecError) -> None:
        """Tell that an engine's answers will not come, where they were wanted."""
        for interview in self._asked_of(engine):
            self.asked.remove(interview)
            self.observer.not_answered(interview, error)

    def _asked_of(self, engine: EngineSpec) -> list[Interview]:
        return [interview for interview in self.asked if interview.engine == engine]

    async def _refine(self, server: Server, running: OpenEngine, found: list[Measurement]) -> None:
        """Measure, besides the plan, the neighbours between which each level lies."""
        rule, looked = self.options.point.rule, Looked()
        for cell, wanted in refining(
            found,
            looked,
            self.options.refine if self.refine else (),
            precision=rule.precision,
            facts=server.facts,
            said=self.observer.said,
        ):
            if wanted.precision is None:
                await self._look(server, cell, looked)
                continue
            measurement = await self._try(server, running, cell, [cell], wanted.rule(rule))
            if measurement is not None:
                found.append(measurement)

    async def _look(self, server: Server, cell: Cell, looked: Looked) -> None:
        """Find out roughly where a concurrency lies; one that cannot be looked at is missing from `looked`."""
        if self.bill.spent():
            return
        point = self.options.point
        try:
            looked[cell.workload, cell.concurrency] = await look_at(
                server,
                cell,
                await self._writer(cell, server.target),
                point,
                seconds=look_s(point.rule),
                on_progress=lambda progress: self.observer.progress(cell, progress),
            )
        except SpecdecError as error:
            self.observer.said(f"{cell}: {error}")

    async def _try(
        self, server: Server, running: OpenEngine, cell: Cell, left: list[Cell], rule: StopRule | None = None
    ) -> Measurement | None:
        """Measure one cell and take it from `left`, together with all others when they cannot be measured any more."""
        spent = self.bill.spent()
        if spent:
            self.observer.not_measured(list(left), InconclusiveError(spent))
            left.clear()
            return None
        try:
            measurement = await self._measure(server, running.session, cell, rule)
        except SpecdecError as error:
            death = running.died() if isinstance(error, EngineError) else ""
            lost = list(left) if death else [cell]
            self.observer.not_measured(lost, EngineError(death) if death else error)
            left[:] = [other for other in left if other not in lost]
            return None
        left.remove(cell)
        self.observer.measured(measurement)
        return measurement

    @asynccontextmanager
    async def _gpus(self, running: OpenEngine, served: Served) -> AsyncIterator[GpuSource | None]:
        """The engine's GPUs, where they can be looked at."""
        options = self.options.gpu
        if served.simulated or not (options.dcgm_url or on_this_host(running.endpoint.url)):
            yield None
            return
        source, reason = await open_source(options.dcgm_url, options.chosen)
        if reason and reason not in self.told:
            self.told.add(reason)
            self.observer.said(f"no GPU telemetry: {reason}")
        try:
            yield source
        finally:
            if source is not None:
                await source.close()

    async def _measure(self, server: Server, session: str, cell: Cell, rule: StopRule | None) -> Measurement:
        writer = await self._writer(cell, server.target)
        options = replace(self.options.point, rule=rule or self.options.point.rule)
        found = await measure_point(
            server, cell, writer, options, lambda progress: self.observer.progress(cell, progress)
        )
        self._refuse_other_counting(cell, found.traffic)
        self.order += 1
        return msgspec.structs.replace(found.measurement, order=self.order, session=session)

    async def _writer(self, cell: Cell, target: Target) -> Writer:
        """Prompts of a workload are calibrated once, so that every mode is sent the same bytes."""
        key = cell.engine.model, cell.workload
        if key not in self.writers:
            file = self.options.prompt_files.get(cell.workload.prompts)
            if file is not None:
                self.writers[key] = FileWriter(target=target, workload=cell.workload, file=file)
            elif cell.workload.prompts.startswith(TEXT):
                regime = Regime.parse(cell.workload.prompts)
                self.writers[key] = TextWriter(target=target, workload=cell.workload, regime=regime)
            else:
                self.writers[key] = await PromptWriter.calibrate(target, cell.workload)
        return self.writers[key].retargeted(target)

    def _refuse_other_counting(self, cell: Cell, traffic: Traffic) -> None:
        """Equal bytes must be equal tokens in both arms, else a template or tokenizer differs between them."""
        counted = {s.request.index: s.prompt_tokens for s in traffic.samples if s.prompt_tokens is not None}
        key = cell.engine.model, cell.workload, cell.level
        engine, earlier = self.counted.setdefault(key, (cell.engine, {}))
        for index, tokens in counted.items():
            if earlier.setdefault(index, tokens) != tokens:
                raise EngineError(
                    f"prompt {index} has {tokens} tokens here and {earlier[index]} on {engine}: "
                    "the two servers use different chat templates or tokenizers, so their speeds are not comparable"
                )


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
