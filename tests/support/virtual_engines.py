"""Simulated engines on a virtual clock: the simulator's server and the real client's bookkeeping, without waiting.

A virtual server answers its control endpoints through the real adapters, and its streams, byte by byte, through the
real parser. Only the time between two events is left out, so that a test takes the same course on every machine.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from types import SimpleNamespace
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
import pytest
from aiohttp import web

from pytest_specdec.domain.cell import SENTENCES as TO_LENGTH
from pytest_specdec.domain.cell import Cell, EngineSpec, Interview
from pytest_specdec.domain.client_health import ClientHealth
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.facts import Facts
from pytest_specdec.domain.traffic import PlannedRequest, Traffic
from pytest_specdec.engine import endpoint as endpoints
from pytest_specdec.engine.counters import EngineReading
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.engine.provision import Running, Say, SimulatedEngines
from pytest_specdec.errors import EngineError
from pytest_specdec.estimators.window import (
    ProbeReview,
    Review,
    Reviewer,
    is_flat,
    median_gap_s,
    rough_interactivity,
)
from pytest_specdec.load import writers
from pytest_specdec.load.point import LoadResult, Phase, _Point
from pytest_specdec.load.response import Answer
from pytest_specdec.load.target import Target
from pytest_specdec.load.writers import PromptWriter, Writer
from pytest_specdec.measure import http_engine, interview
from pytest_specdec.measure.assemble import Evidence, assemble
from pytest_specdec.measure.crosscheck import Snapshots
from pytest_specdec.measure.http_engine import GpuOptions, HttpEngine, HttpEngines
from pytest_specdec.measure.interview import Answers, ask_through
from pytest_specdec.measure.live_engine import Connect, LiveEngine, OnProgress, OpenEngine, PointOptions
from pytest_specdec.pipeline import engines as pipeline_engines
from pytest_specdec.pipeline.engines import AskHook, Engines, Side
from pytest_specdec.pipeline.settings import Settings
from pytest_specdec.plugin import progress, stages
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.simulator.answer import AnswerForm, Job
from pytest_specdec.simulator.core import Emission, Sequence
from pytest_specdec.simulator.server import SimulatorOptions, _RefusedError, _Shell
from pytest_specdec.simulator.speaking import Ask
from pytest_specdec.simulator.text import TEMPLATE_TOKENS, count_tokens
from pytest_specdec.workload.schedule import requests_of
from pytest_specdec.workload.sentences import FILLER, SENTENCES

START_S = 2.0
"""Time that a virtual server takes to start."""
INTERVIEW_S = 10.0
_FIRST_PORT = 701
"""Nothing listens there: a request that is sent in earnest is refused at once."""
_TURNAROUND_S = 0.001
"""From the last chunk of a request to the next one's arrival: the step after it has begun by then, as over HTTP."""
_WATCH_S = 0.5
_MOST_IN_FLIGHT = 4096
HEALTHY = ClientHealth(
    clock="kernel",
    arrival_lag_p99_ms=0.1,
    arrival_lag_max_ms=0.2,
    send_lag_p99_ms=0.1,
    send_lag_max_ms=0.2,
    lost_load=0.0,
    loop_lag_p99_ms=0.1,
    loop_lag_max_ms=0.2,
    cpu_share=0.1,
    cpu_wait_share=0.0,
)


class VirtualClock:
    """Seconds since the test began, and the date that they make."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._began = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> float:
        """Return the time, s."""
        return self.now_s

    def now(self, _: tzinfo) -> datetime:
        """Return the date, UTC."""
        return self._began + timedelta(seconds=self.now_s)


@dataclass(slots=True, kw_only=True)
class _Stream:
    """One answer under way."""

    answer: Answer
    on_end: Callable[[Answer], None]
    job: Job
    form: AnswerForm
    sequence: Sequence
    asked: dict[str, Any]
    produced: int = 0
    held: int = 0
    """Tokens that wait for their chunk."""
    steps: int = 0
    """Engine steps since the last chunk."""


class VirtualServer:
    """The simulated engine's server, driven by events in place of a network and a clock."""

    def __init__(self, options: SimulatorOptions, clock: VirtualClock) -> None:
        self.shell = _Shell(options)
        self.clock = clock
        self.scheduled: list[tuple[float, int, Callable[[], None]]] = []
        self.streams: dict[int, _Stream] = {}
        self.others: list[Callable[[], None]] = []
        """What other clients do soon after the next point has begun."""
        self._order = itertools.count()

    @property
    def next_event_s(self) -> float:
        """Time of the next event; infinite when nothing happens any more."""
        event = self.shell.core.next_event
        return min(math.inf if event is None else event, self.scheduled[0][0] if self.scheduled else math.inf)

    def at(self, when_s: float, act: Callable[[], None]) -> None:
        """Schedule an action."""
        heapq.heappush(self.scheduled, (when_s, next(self._order), act))

    def step(self) -> None:
        """Go on to the next event."""
        self.clock.now_s = self.next_event_s
        event = self.shell.core.next_event
        if self.scheduled and self.scheduled[0][0] <= (math.inf if event is None else event):
            heapq.heappop(self.scheduled)[2]()
            return
        for emission in self.shell.core.complete():
            self._emit(emission)

    def send(self, body: bytes, answer: Answer, on_end: Callable[[Answer], None]) -> None:
        """Take a request, as `Transport.send` does."""
        self.at(self.clock.now_s + _TURNAROUND_S, lambda: self._arrive(body, answer, on_end))

    def cut(self) -> None:
        """End all connections, and let the step that runs end."""
        for key in list(self.streams):
            del self.streams[key]
            self.shell.core.abort(key)
        self.scheduled.clear()
        while self.next_event_s < math.inf:
            self.step()

    async def fetch(self, body: bytes) -> Answer:
        """Answer a request that is not streamed, at once or never."""
        try:
            ask = msgspec.json.decode(body, type=Ask)
            self.shell._refuse_unknown(msgspec.json.decode(body))
            job = self.shell._job(ask, chat=True)
        except _RefusedError as error:
            return Answer(error=f"HTTP {error.status}: {error}")
        if job.script.stuck:
            await asyncio.Event().wait()
        return Answer(pieces=[self._form(job, ask).whole()])

    def _arrive(self, body: bytes, answer: Answer, on_end: Callable[[Answer], None]) -> None:
        core, now = self.shell.core, self.clock.now_s
        answer.start_s = now
        try:
            ask = msgspec.json.decode(body, type=Ask)
            asked = msgspec.json.decode(body)
            self.shell._refuse_unknown(asked)
            job = self.shell._job(ask, chat=True)
        except _RefusedError as error:
            answer.error = f"HTTP {error.status}: {error}"
        if core.dead:
            answer.error = f"HTTP 500: {core.dead}"
        if answer.error is not None:
            on_end(answer)
            return
        answer.status = 200
        sequence = Sequence(
            key=job.key, prompt_tokens=job.prompt_tokens, max_tokens=job.max_tokens, prompt=job.script.seed
        )
        form = self._form(job, ask)
        self.streams[job.key] = _Stream(
            answer=answer, on_end=on_end, job=job, form=form, sequence=sequence, asked=asked
        )
        core.submit(sequence, now)

    def _form(self, job: Job, ask: Ask) -> AnswerForm:
        return AnswerForm(
            job,
            model=self.shell.model,
            fingerprint=self.shell.fingerprint,
            chat=True,
            options=ask.stream_options or {},
            top_logprobs=(ask.top_logprobs or 0) if ask.logprobs else None,
        )

    def _emit(self, emission: Emission) -> None:
        one = self.streams.get(emission.key)
        if one is None:
            return  # another client's, or one that was cut
        if emission.failed:
            if one.produced:
                self._write(one, one.form.broken(self.shell.core.dead))
            else:
                one.answer.error = f"HTTP 500: {self.shell.core.dead}"
            self._end(one)
            return
        one.held += emission.tokens
        one.steps += 1
        if one.produced and one.steps < self.shell.stream_interval and not emission.last:
            return
        chunk = (b"" if one.produced else one.form.role()) + one.form.chunk(one.produced, one.held)
        one.produced, one.held, one.steps = one.produced + one.held, 0, 0
        if emission.last:
            options = self.shell.options
            chunk += one.form.end(self.shell.dialect.details(one.asked, one.sequence) if options.details else {})
        self._write(one, chunk)
        if emission.last:
            self._end(one)

    def _write(self, one: _Stream, piece: bytes) -> None:
        if not piece:
            return
        one.answer.read_s.append(self.clock.now_s)
        one.answer.pieces.append(piece)
        if one.answer.on_piece is not None:
            one.answer.on_piece()

    def _end(self, one: _Stream) -> None:
        one.answer.done = one.answer.error is None
        del self.streams[one.job.key]
        one.on_end(one.answer)


@dataclass(slots=True, kw_only=True)
class _VirtualPoint(_Point):
    """A point of the real client whose phases pass on the virtual clock."""

    server: VirtualServer

    def carry_out(self, watch: Callable[[], None]) -> LoadResult:
        """Put the point under load; `watch` samples the server's gauges.

        Raises:
            EngineError: the deadline passed, or requests keep failing.
        """
        server, clock, cell = self.server, self.server.clock, self.cell
        self.planned = requests_of(cell)
        self.transport = server  # type: ignore[assignment]  # all that a point asks of it is `send`
        self.origin = clock.now_s
        self._watch_on(watch)
        while server.others:
            server.at(self.origin + _WATCH_S / 2, server.others.pop())
        if cell.rate:
            self._build()
            self._send_when_due()
        else:
            self.waiting_first = set(range(cell.concurrency))
            for _ in range(cell.concurrency):
                self._send(self.origin)
        try:
            return self._pass_phases()
        finally:
            self.closing = True
            server.cut()

    def _pass_phases(self) -> LoadResult:
        clock = self.server.clock
        self._advance("ramp", math.inf, self._ramped)
        warm = self._warm()
        start = clock.now_s
        while True:
            traffic = self._seen(start)
            review = self.review(traffic)
            self.precision = review.precision
            start = self.origin + review.window_start_s
            if review.done:
                break
            self._advance("window", clock.now_s + review.wait_s)
        self.closing = True
        if not self.target.cuts_streams:
            self._advance("drain", math.inf, lambda: self.in_flight == 0)
        traffic = self._seen_between(traffic.window_start_s, traffic.window_end_s)
        return LoadResult(traffic=traffic, origin_s=self.origin, review=review, warm=warm, client=HEALTHY)

    def _warm(self) -> bool:
        clock = self.server.clock
        earlier, until = None, clock.now_s + self.limits.warm_up_s
        while True:
            begin = clock.now_s
            self._advance("warm-up", begin + self.limits.settle_s / 2)
            gap = median_gap_s(self._seen(begin))
            if is_flat(earlier, gap):
                return True
            if clock.now_s >= until:
                return False
            earlier = gap

    def _advance(self, phase: Phase, until_s: float, done: Callable[[], bool] = lambda: False) -> None:
        """Go on until a time, or until something is done."""
        clock, deadline_s = self.server.clock, self.origin + self.limits.deadline_s
        self._check()
        self._report(phase, until_s - clock.now_s if until_s < math.inf else 0.0)
        while not done():
            if self.server.next_event_s > min(until_s, deadline_s):
                clock.now_s = min(until_s, deadline_s)
                break
            self.server.step()
            if self.broken is not None:
                raise self.broken
        if clock.now_s >= deadline_s:
            raise EngineError(self._too_late())
        self._check()

    def _seen(self, start_s: float) -> Traffic:
        return self._seen_between(start_s - self.origin, self.server.clock.now_s - self.origin)

    def _seen_between(self, start_s: float, end_s: float) -> Traffic:
        for one in self.sent:
            one.answer.parse()
        return self._traffic(start_s, end_s)

    def _watch_on(self, watch: Callable[[], None]) -> None:
        def sample() -> None:
            if not self.closing:
                watch()
                self._watch_on(watch)

        self.server.at(self.server.clock.now_s + _WATCH_S, sample)

    def _send_when_due(self) -> None:
        due_s = self.origin + (self.bodies[0][0].due_s or 0.0)

        def send() -> None:
            if self.closing:
                return
            self._send(due_s)
            if self.in_flight >= _MOST_IN_FLIGHT:
                self.broken = EngineError(f"{_MOST_IN_FLIGHT} requests are in flight")
            self._build()
            self._send_when_due()

        self.server.at(due_s, send)


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualEngine:
    """One engine in virtual time, known and connected like the one behind HTTP that it stands for."""

    live: HttpEngine
    server: VirtualServer

    @property
    def environment(self) -> Environment:
        """Hardware, engine, version and facts, as the adapters found them."""
        return self.live.environment

    @property
    def facts(self) -> Facts:
        """Observed and declared facts."""
        return self.live.facts

    async def measure(self, cell: Cell, options: PointOptions, on_progress: OnProgress) -> Measurement:
        """Measure one cell."""
        writer = await self._writer(cell)
        price = options.price(self.environment.hardware)
        before = await self._reading()
        measured_at = self.server.clock.now(UTC).isoformat(timespec="seconds")
        waiting: list[float] = []
        gauge_lengths: list[float] = []

        def watch() -> None:
            core = self.server.shell.core
            waiting.append(len(core.waiting))
            length = core.shown().counts.interval_length
            if self.server.shell.options.dialect == "sglang" and length:
                gauge_lengths.append(length)

        review = Reviewer(options.rule, cell.workload)
        load = self._point(cell, writer, options, review, on_progress).carry_out(watch)
        after = await self._reading()
        evidence = Evidence(
            load=load,
            snapshots=Snapshots(before=before, after=after, waiting=waiting, gauge_lengths=gauge_lengths),
            wording=writer.wording,
            counted_on_every_chunk=True,
            measured_at=measured_at,
        )
        measurement = assemble(
            cell, self.environment, self.facts, evidence, rule=options.rule, price=price, slo=options.slo
        )
        self.live.engines.refuse_other_counting(cell, load.traffic)
        return measurement

    async def probe(self, cell: Cell, options: PointOptions, *, seconds: float, on_progress: OnProgress) -> float:
        """Estimate the interactivity of a closed loop roughly."""
        review = ProbeReview(seconds=seconds)
        load = self._point(cell, await self._writer(cell), options, review, on_progress).carry_out(lambda: None)
        return rough_interactivity(load.traffic, cell.concurrency)

    async def ask(self, interview: Interview) -> Answers:
        """Collect the engine's answers to the fixed questions."""
        self.server.clock.now_s += INTERVIEW_S
        return await self.live.ask(interview)

    def _point(
        self,
        cell: Cell,
        writer: Writer,
        options: PointOptions,
        review: Callable[[Traffic], Review],
        on_progress: OnProgress,
    ) -> _VirtualPoint:
        return _VirtualPoint(
            target=self.live.target,
            cell=cell,
            writer=writer,
            limits=options.limits,
            review=review,
            on_progress=on_progress,
            server=self.server,
        )

    async def _reading(self) -> EngineReading:
        return await self.live.endpoint.reading(self.live.served.adapter)

    async def _writer(self, cell: Cell) -> Writer:
        """Writer of the cell's prompts; what calibrating would learn of the simulator's tokenizer is known."""
        target, known = self.live.target, self.live.engines
        if cell.workload.prompts == TO_LENGTH:
            costs = {text: count_tokens(text) for text in (*SENTENCES, FILLER)}
            bare = PromptWriter(target=target, workload=cell.workload, frame=0, costs=costs)
            text = bare.text(PlannedRequest(index=0, prompt=0, isl=0, osl=1))
            more = self.server.shell.fault.serving.prompt_tokens
            frame = count_tokens(text) + TEMPLATE_TOKENS + more
            known._writers.setdefault((cell.engine.model, cell.workload), replace(bare, frame=frame))
        return await known.writer(cell, target)


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualEngines:
    """The source of `--specdec-simulate`, with virtual servers in place of processes."""

    simulated_engines: SimulatedEngines
    host: VirtualHost
    simulated: bool = True
    start_s: float = START_S
    restarts: bool = True

    def refusal(self, engine: EngineSpec) -> str:
        """Say that there is no preset for a model; empty when there is."""
        return self.simulated_engines.refusal(engine)

    @contextmanager
    def open(self, engine: EngineSpec, said: Say) -> Iterator[Running]:  # noqa: ARG002 - the interface
        """Start a virtual server; each start draws other random numbers."""
        preset = self.simulated_engines.preset_of(engine.model)
        if preset is None:
            raise EngineError(self.refusal(engine))
        self.host.clock.now_s += START_S
        self.host.starts += 1
        url = self.host.start(
            SimulatorOptions(
                preset=preset,
                model=engine.model,
                mtp=engine.mtp,
                acceptance=engine.speculation.pinned_length,
                fault=self.simulated_engines.fault,
                seed=self.host.starts,
            )
        )
        yield Running(endpoint=Endpoint(url=url))


@dataclass(slots=True, kw_only=True)
class VirtualHost:
    """A host of virtual servers, each known by its port."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    servers: dict[int, VirtualServer] = field(default_factory=dict)
    starts: int = 0
    real: bool = False
    """Leave simulated engines to real processes."""

    def start(self, options: SimulatorOptions) -> str:
        """Start a server; return its URL."""
        port = _FIRST_PORT + len(self.servers)
        self.servers[port] = VirtualServer(options, self.clock)
        return f"http://127.0.0.1:{port}/v1"

    def exchange(self, first: str, second: str) -> None:
        """Exchange the servers of two URLs."""
        one, other = (urlsplit(url).port or 0 for url in (first, second))
        self.servers[one], self.servers[other] = self.servers[other], self.servers[one]

    def other_client(self, url: str, *, prompt_tokens: int, tokens: int) -> None:
        """Let another client use a server while the next point is measured on it."""
        server = self.server(url)
        assert server is not None
        sequence = Sequence(key=-1, prompt_tokens=prompt_tokens, max_tokens=tokens)
        server.others.append(lambda: server.shell.core.submit(sequence, self.clock.now_s))

    def server(self, url: str) -> VirtualServer | None:
        """Return the virtual server behind a URL; None for any other."""
        return self.servers.get(urlsplit(url).port or 0)

    def connector(self, *, prompt_files: Mapping[str, Any], gpu: GpuOptions, said: Say) -> Connect:
        """Connect to virtual servers, and to others over HTTP."""
        http = HttpEngines(prompt_files=prompt_files, gpu=gpu, said=said)

        @asynccontextmanager
        async def connect(running: OpenEngine, engine: EngineSpec) -> AsyncIterator[LiveEngine]:
            server = self.server(running.endpoint.url)
            async with http.connect(running, engine) as live:
                yield live if server is None else VirtualEngine(live=live, server=server)

        return connect

    def virtual(self, engines: Engines) -> Engines:
        """Return the engines with virtual servers in place of simulator processes, and the clock of this host."""
        if self.real:
            return engines

        def side(of: Side) -> Side:
            if not isinstance(of.source, SimulatedEngines):
                return of
            return replace(of, source=VirtualEngines(simulated_engines=of.source, host=self))

        return replace(
            engines,
            candidate=side(engines.candidate),
            reference=None if engines.reference is None else side(engines.reference),
            connector=self.connector,
            clock=self.clock,
        )


def switch_on(patch: pytest.MonkeyPatch) -> VirtualHost:
    """Let every pytest run in this process measure on virtual servers, and return their host."""
    host = VirtualHost()
    make_engines, session, smoke = pipeline_engines.make_engines, Endpoint._session, Endpoint.smoke
    models, supports, ask_all = Endpoint._models, writers.supports_continuous_usage, interview.ask_all

    def virtual_engines(settings: Settings, specs: Any, ask_hook: AskHook) -> Engines:
        return host.virtual(make_engines(settings, specs, ask_hook))

    def virtual_session(self: Endpoint) -> Any:
        server = host.server(self.url)
        return session(self) if server is None else _Session(server)

    async def virtual_models(self: Endpoint) -> Any:
        server = host.server(self.url)
        if server is None:
            return await models(self)
        response: Any = await server.shell._models(SimpleNamespace())  # type: ignore[arg-type]
        (entry,) = msgspec.json.decode(response.body)["data"]
        return {entry["id"]: endpoints._Model(root=entry["root"], owner=entry["owned_by"])}

    async def virtual_smoke(self: Endpoint, served_model: str) -> None:
        if host.server(self.url) is None:
            await smoke(self, served_model)

    async def virtual_answers(target: Target, *, draft_tokens: int, thinking: bool | None) -> Answers:
        server = host.server(target.base_url)
        if server is None:
            return await ask_all(target, draft_tokens=draft_tokens, thinking=thinking)
        return await ask_through(server, target.model, draft_tokens=draft_tokens, thinking=thinking)

    async def virtually_supported(target: Target) -> bool:
        return True if host.server(target.base_url) else await supports(target)

    patch.setattr(pipeline_engines, "make_engines", virtual_engines)
    patch.setattr(Endpoint, "_session", virtual_session)
    patch.setattr(Endpoint, "_models", virtual_models)
    patch.setattr(Endpoint, "smoke", virtual_smoke)
    patch.setattr(http_engine, "supports_continuous_usage", virtually_supported)
    patch.setattr(http_engine, "ask_all", virtual_answers)
    patch.setattr(stages, "datetime", host.clock)
    patch.setattr(progress, "time", SimpleNamespace(monotonic=host.clock))
    return host


class _Session:
    """What the control path asks of an HTTP session."""

    def __init__(self, server: VirtualServer) -> None:
        self.server = server

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to close."""

    def get(self, url: str) -> Any:
        return self._ask("GET", url)

    def post(self, url: str, json: object = None) -> Any:  # noqa: ARG002 - the interface
        return self._ask("POST", url)

    @asynccontextmanager
    async def _ask(self, method: str, url: str) -> AsyncIterator[Any]:
        shell = self.server.shell
        request: Any = SimpleNamespace(method=method, path=urlsplit(url).path, headers={})
        response = await shell._guard(request, shell._control)
        assert isinstance(response, web.Response)
        text = response.text or ""

        async def read() -> bytes:
            return text.encode()

        async def as_text() -> str:
            return text

        yield SimpleNamespace(
            status=response.status,
            headers=response.headers,
            content_type=response.content_type,
            read=read,
            text=as_text,
        )
