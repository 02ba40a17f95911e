"""Keep exactly C requests in flight, and say which part of the stream was steady."""

from __future__ import annotations

import asyncio
import functools
import resource
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import aiohttp
import numpy as np

from pytest_specdec.cell import Workload
from pytest_specdec.errors import EngineError
from pytest_specdec.load.prompts import PromptWriter, supports_continuous_usage
from pytest_specdec.load.sse import Read, parse_stream, spread_tokens
from pytest_specdec.load.target import Target
from pytest_specdec.load.transport import RawAnswer, open_session, stream
from pytest_specdec.sample import PlannedRequest, RequestSample, Status, Traffic
from pytest_specdec.schedule import closed_loop_requests

__all__ = ["ClientHealth", "Limits", "LoadResult", "Progress", "closed_loop", "supports_continuous_usage"]

_PROGRESS_S = 0.25
_TICK_S = 0.05
_MOST_FAILURES = 20

Phase = Literal["ramp", "settle", "window", "drain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long the parts of a point may take, seconds."""

    window_s: float
    settle_s: float
    no_progress_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a point comes along."""

    phase: Phase
    seconds_left: float
    """Of the phase; 0 where it is not known."""
    finished: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHealth:
    """Whether the client itself kept up during the window."""

    lag_p99_s: float
    """How late a 50 ms ticker of the event loop was, 99th percentile."""
    lag_max_s: float
    cpu_share: float
    """Own CPU seconds per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """The traffic of one point and the client's own health."""

    traffic: Traffic
    client: ClientHealth


async def closed_loop(  # noqa: PLR0913 - a point is all of these
    target: Target,
    workload: Workload,
    concurrency: int,
    writer: PromptWriter,
    *,
    limits: Limits,
    on_progress: Callable[[Progress], None] | None = None,
) -> LoadResult:
    """Run one point.

    The ramp lasts until every request of the first wave has its first token. After the settling time the window opens.
    When it closes, streams that are counted on every chunk are cut; others are left to finish, since only the final
    usage tells their tokens.

    Raises:
        EngineError: the deadline passed, or requests keep failing.
    """
    loop = _Loop(target=target, concurrency=concurrency, writer=writer, limits=limits, on_progress=on_progress)
    async with open_session(target) as session:
        return await loop.run(session, workload)


@dataclass(slots=True, kw_only=True)
class _Loop:
    target: Target
    concurrency: int
    writer: PromptWriter
    limits: Limits
    on_progress: Callable[[Progress], None] | None
    answers: list[tuple[PlannedRequest, RawAnswer]] = field(default_factory=list)
    finished: int = 0
    failures: list[str] = field(default_factory=list)
    ramped: int = 0
    closing: bool = False
    lags: list[float] = field(default_factory=list)

    async def run(self, session: aiohttp.ClientSession, workload: Workload) -> LoadResult:
        planned = closed_loop_requests(workload, self.concurrency)
        bodies: deque[tuple[PlannedRequest, bytes]] = deque()

        def build() -> None:
            request = next(planned)
            bodies.append((request, self.writer.body(request)))

        # A wave more than can start at once, so that a send never waits for its body.
        for _ in range(2 * self.concurrency):
            build()

        async def slot() -> None:
            first = True
            while not self.closing:
                request, body = bodies.popleft()
                asyncio.get_running_loop().call_soon(build)
                answer = RawAnswer()
                self.answers.append((request, answer))
                started = asyncio.Event()
                await stream(
                    session,
                    self.target.chat_url,
                    body,
                    answer,
                    no_progress_s=self.limits.no_progress_s,
                    on_first_tokens=functools.partial(self._ramp, started) if first else None,
                )
                if answer.error:
                    self.failures.append(answer.error)
                else:
                    self.finished += 1
                if first and not started.is_set():
                    self._ramp(started)  # it failed, and the ramp must not wait for it
                first = False

        origin = time.perf_counter()
        slots = [asyncio.create_task(slot()) for _ in range(self.concurrency)]
        try:
            async with asyncio.timeout(self.limits.deadline_s):
                start, end, health = await self._phases(slots)
        except TimeoutError as error:
            raise EngineError(
                f"the point was not done within its deadline of {self.limits.deadline_s:g} s: {self.finished} requests "
                f"had finished and {self.ramped} of {self.concurrency} first ones had a token"
            ) from error
        finally:
            for task in slots:
                task.cancel()
            await asyncio.gather(*slots, return_exceptions=True)
        traffic = Traffic(
            samples=[_sample(request, answer, origin, workload) for request, answer in self.answers],
            concurrency=self.concurrency,
            window_start_s=start - origin,
            window_end_s=end - origin,
        )
        return LoadResult(traffic=traffic, client=health)

    async def _phases(self, slots: list[asyncio.Task[None]]) -> tuple[float, float, ClientHealth]:
        await self._until("ramp", lambda: self.ramped >= self.concurrency, slots)
        await self._pass("settle", self.limits.settle_s, slots)
        start, cpu = time.perf_counter(), _cpu_s()
        ticker = asyncio.create_task(self._tick())
        try:
            await self._pass("window", self.limits.window_s, slots)
        finally:
            ticker.cancel()
        end = time.perf_counter()
        lags = np.array(self.lags or [0.0])
        health = ClientHealth(
            lag_p99_s=float(np.percentile(lags, 99)),
            lag_max_s=float(lags.max()),
            cpu_share=(_cpu_s() - cpu) / (end - start),
        )
        self.closing = True
        if not self.target.continuous_usage:
            await self._until("drain", lambda: all(task.done() for task in slots), slots)
        return start, end, health

    async def _pass(self, phase: Phase, seconds: float, slots: list[asyncio.Task[None]]) -> None:
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            self._check(slots)
            self._tell(phase, left)
            await asyncio.sleep(min(left, _PROGRESS_S))
        self._check(slots)

    async def _until(self, phase: Phase, done: Callable[[], bool], slots: list[asyncio.Task[None]]) -> None:
        while not done():
            self._check(slots)
            self._tell(phase, 0.0)
            await asyncio.sleep(_TICK_S)

    async def _tick(self) -> None:
        due = time.perf_counter() + _TICK_S
        while True:
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            self.lags.append(max(time.perf_counter() - due, 0.0))
            due = time.perf_counter() + _TICK_S

    def _ramp(self, started: asyncio.Event) -> None:
        started.set()
        self.ramped += 1

    def _check(self, slots: list[asyncio.Task[None]]) -> None:
        """Stop at once where failures are the rule, and where this code itself broke."""
        for task in slots:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        failed, total = len(self.failures), len(self.failures) + self.finished
        if failed >= min(_MOST_FAILURES, 2 * self.concurrency) and failed > total / 2:
            raise EngineError(f"{failed} of {total} requests failed; the last one: {self.failures[-1]}")

    def _tell(self, phase: Phase, left: float) -> None:
        if self.on_progress is not None:
            self.on_progress(
                Progress(phase=phase, seconds_left=left, finished=self.finished, failed=len(self.failures))
            )


def _sample(request: PlannedRequest, answer: RawAnswer, origin: float, workload: Workload) -> RequestSample:
    reads: list[Read] = [(arrival - origin, data) for arrival, data in answer.reads]
    parsed = parse_stream(reads)
    status: Status = "ok" if answer.done else "cut"
    error = answer.error or parsed.error
    if error is None and answer.done:
        error = _incomplete(request, parsed.completion_tokens, parsed.finish_reason, workload)
    tokens = parsed.chunk_tokens
    if error is None and status == "ok" and tokens.sum() != parsed.completion_tokens:
        tokens = spread_tokens(parsed.completion_tokens or 0, len(tokens))
    return RequestSample(
        request=request,
        start_s=answer.start_s - origin,
        chunk_s=parsed.chunk_s,
        chunk_tokens=tokens,
        prompt_tokens=parsed.prompt_tokens,
        status="failed" if error else status,
        error=error,
        speculation=parsed.speculation,
    )


def _incomplete(
    request: PlannedRequest, completion_tokens: int | None, finish_reason: str | None, workload: Workload
) -> str | None:
    if completion_tokens is None:
        return "no usage in the stream: tokens are only ever counted by the server"
    if workload.ignore_eos and completion_tokens < request.osl:
        return f"ended early: {completion_tokens} of {request.osl} tokens (finish_reason {finish_reason})"
    return None


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
