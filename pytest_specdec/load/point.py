"""Put one point under load: a closed loop of C requests in flight, or requests that come by the clock.

It produces traffic without statistics: a `review` of the traffic decides when the window opens anew or ends.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from pytest_specdec.domain.cell import Cell, Workload
from pytest_specdec.domain.client_health import ClientHealth
from pytest_specdec.domain.traffic import PlannedRequest, RequestSample, Status, Traffic
from pytest_specdec.errors import EngineError
from pytest_specdec.estimators.window import Review, is_flat, median_gap_s
from pytest_specdec.load.response import Answer
from pytest_specdec.load.sse import spread_tokens
from pytest_specdec.load.target import Target
from pytest_specdec.load.transport import Transport
from pytest_specdec.load.vitals import Vitals
from pytest_specdec.load.writers import Writer
from pytest_specdec.workload.schedule import requests_of

_PROGRESS_S = 0.25
_TICK_S = 0.05
_MOST_FAILURES = 20
_MOST_IN_FLIGHT = 4096
_ENDS = frozenset({"stop", "length", "tool_calls", "function_call"})
"""Finish reasons of complete answers; others, such as `abort`, are failures."""
_PIECES_AT_ONCE = 100
"""Parsing during the run goes on for about half a millisecond at a time, between two turns of the event loop."""
_SPIN_S = 0.002
"""The event loop's timers are good to a millisecond; the rest until a request is due is spent in turns of the loop."""

Phase = Literal["ramp", "warm-up", "window", "drain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Time limits of the parts of a point, seconds."""

    settle_s: float
    """Least time between the ramp and the window."""
    warm_up_s: float
    """Most time for the step time to become flat."""
    no_progress_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a point."""

    phase: Phase
    seconds_left: float
    """Of the phase, or until the next interim analysis; 0 where it is unknown."""
    finished: int
    failed: int
    precision: float | None = None
    """Relative half-width reached so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """The traffic of one point, and the health of the client."""

    traffic: Traffic
    origin_s: float
    """Start of the run by `time.perf_counter`."""
    review: Review
    warm: bool
    """The step time was flat before the window opened."""
    client: ClientHealth


async def put_under_load(  # noqa: PLR0913 - a point is all of these
    target: Target,
    cell: Cell,
    writer: Writer,
    *,
    limits: Limits,
    review: Callable[[Traffic], Review],
    on_progress: Callable[[Progress], None] | None = None,
) -> LoadResult:
    """Run one point.

    A closed loop is ramped up when every request of the first wave has its first token; an open one when all requests
    that were in flight as the first one finished have finished too. After the warm-up the window opens. When it closes,
    streams that are counted on every chunk, by the server too, are cut; others are left to finish, since only then both
    sides know their tokens.

    Raises:
        EngineError: the server cannot be reached, the deadline passed, or requests keep failing.
    """
    point = _Point(target=target, cell=cell, writer=writer, limits=limits, review=review, on_progress=on_progress)
    with _collector_at_rest():
        return await point.run()


@dataclass(slots=True, kw_only=True)
class _Sent:
    request: PlannedRequest
    answer: Answer
    sample: RequestSample | None = None
    """Once it has ended."""


@dataclass(slots=True, kw_only=True)
class _Point:
    target: Target
    cell: Cell
    writer: Writer
    limits: Limits
    review: Callable[[Traffic], Review]
    on_progress: Callable[[Progress], None] | None
    transport: Transport = field(init=False)
    sent: list[_Sent] = field(default_factory=list)
    bodies: deque[tuple[PlannedRequest, bytes]] = field(default_factory=deque)
    planned: Iterator[PlannedRequest] = field(init=False)
    origin: float = 0.0
    in_flight: int = 0
    finished: int = 0
    failures: list[str] = field(default_factory=list)
    waiting_first: set[int] = field(default_factory=set)
    """Requests of a closed loop's first wave that have no token yet."""
    closing: bool = False
    broken: BaseException | None = None
    """An error of this code in a callback, raised by the next check."""
    arrival_lags: list[float] = field(default_factory=list)
    precision: float | None = None

    async def run(self) -> LoadResult:
        self.planned = requests_of(self.cell)
        self.transport = Transport(self.target, no_progress_s=self.limits.no_progress_s)
        for _ in range(2 * max(self.cell.concurrency, 8)):
            self._build()
        async with self.transport:
            try:
                await self.transport.open(min(self.cell.concurrency, _MOST_IN_FLIGHT))
            except OSError as error:
                raise EngineError(f"{self.target.shown} cannot be reached: {error}") from error
            background = [asyncio.create_task(self._build_ahead())]
            self.origin = time.perf_counter()
            if self.cell.rate:
                background.append(asyncio.create_task(self._send_by_the_clock()))
            else:
                self.waiting_first = set(range(self.cell.concurrency))
                for _ in range(self.cell.concurrency):
                    self._send(self.origin)
            try:
                async with asyncio.timeout(self.limits.deadline_s):
                    return await self._phases()
            except TimeoutError as error:
                raise EngineError(self._too_late()) from error
            finally:
                self.closing = True
                for task in background:
                    task.cancel()
                await asyncio.gather(*background, return_exceptions=True)

    # ---- sending

    def _build(self) -> None:
        request = next(self.planned)
        self.bodies.append((request, self.writer.body(request)))

    async def _build_ahead(self) -> None:
        """Keep more bodies than can be sent at once, so that a send never waits for its body."""
        enough = len(self.bodies)
        while True:
            if len(self.bodies) < enough:
                self._build()
            await asyncio.sleep(0.001)

    def _send(self, due_s: float) -> None:
        if not self.bodies:
            self._build()
        request, body = self.bodies.popleft()
        answer = Answer(due_s=due_s, lag_s=self.arrival_lags)
        one = _Sent(request=request, answer=answer)
        self.sent.append(one)
        if request.index in self.waiting_first:
            answer.on_piece = lambda: self._first_tokens(one)
        self.in_flight += 1
        self.transport.send(body, answer, lambda _: self._ended(one))

    def _first_tokens(self, one: _Sent) -> None:
        if one.answer.has_tokens:
            one.answer.on_piece = None
            self.waiting_first.discard(one.request.index)

    def _ended(self, one: _Sent) -> None:
        self.in_flight -= 1
        one.answer.on_piece = None
        self.waiting_first.discard(one.request.index)  # a failed one too: the ramp must not wait for it
        if one.answer.error:
            self.failures.append(one.answer.error)
        else:
            self.finished += 1
        if not self.closing and not self.cell.rate:
            try:
                self._check()
                # The client is late from the end of the answer on; that of a failed one is unknown.
                self._send(one.answer.read_s[-1] if one.answer.done and one.answer.read_s else time.perf_counter())
            except BaseException as error:  # noqa: BLE001 - raised by the next check
                self.broken = error

    async def _send_by_the_clock(self) -> None:
        try:
            while True:
                due = self.origin + (self.bodies[0][0].due_s or 0.0)
                await asyncio.sleep(max(due - time.perf_counter() - _SPIN_S, 0.0))
                while time.perf_counter() < due:  # noqa: ASYNC110 - only the clock decides
                    await asyncio.sleep(0)
                if self.closing:
                    return
                self._send(due)
                if not self.bodies:
                    self._build()
                if self.in_flight >= _MOST_IN_FLIGHT:
                    raise EngineError(  # noqa: TRY301 - one way out for every error
                        f"{_MOST_IN_FLIGHT} requests are in flight: the server cannot keep up with {self.cell.level}"
                    )
        except Exception as error:  # noqa: BLE001 - raised by the next check
            self.broken = error

    # ---- phases

    async def _phases(self) -> LoadResult:
        await self._until("ramp", self._ramped)
        warm = await self._warm_up()
        async with Vitals() as vitals:
            self.arrival_lags.clear()
            first = len(self.sent)
            opened = start = time.perf_counter()
            while True:
                traffic = await self._snapshot(start)
                review = self.review(traffic)
                self.precision = review.precision
                start = self.origin + review.window_start_s
                if review.done:
                    break
                await self._pass("window", review.wait_s)
            self.closing = True
            client = self._health(vitals, self.sent[first:], traffic.window_end_s + self.origin - opened)
        if not self.target.cuts_streams:
            await self._until("drain", lambda: self.in_flight == 0)
        await self._parse()
        # Once more, with every request that was sent: the server counted those that began while the window was judged.
        traffic = self._traffic(traffic.window_start_s, traffic.window_end_s)
        if not self.target.continuous_usage:
            review = replace(review, precision=self.review(traffic).precision)
        return LoadResult(traffic=traffic, origin_s=self.origin, review=review, warm=warm, client=client)

    def _ramped(self) -> bool:
        if not self.cell.rate:
            return not self.waiting_first
        ends = [s.answer.read_s[-1] for s in self.sent if s.answer.done and s.answer.read_s]
        return bool(ends) and all(s.answer.done or s.answer.error for s in self.sent if s.answer.start_s < min(ends))

    async def _warm_up(self) -> bool:
        """Wait until two slices in a row have the same step time: graphs captured, kernels compiled."""
        earlier, until = None, time.perf_counter() + self.limits.warm_up_s
        while True:
            begin = time.perf_counter()
            await self._pass("warm-up", self.limits.settle_s / 2)
            gap = median_gap_s(await self._snapshot(begin))
            if is_flat(earlier, gap):
                return True
            if time.perf_counter() >= until:
                return False
            earlier = gap

    async def _snapshot(self, start: float) -> Traffic:
        end = time.perf_counter()
        await self._parse()
        return self._traffic(start - self.origin, end - self.origin)

    async def _parse(self) -> None:
        """Parse new pieces, a few at a time."""
        for one in self.sent:
            while one.sample is None and one.answer.parse(_PIECES_AT_ONCE):  # noqa: ASYNC110 - a turn for others
                await asyncio.sleep(0)

    def _traffic(self, start_s: float, end_s: float) -> Traffic:
        for one in self.sent:
            if one.sample is None and (one.answer.done or one.answer.error):
                one.sample = _sample(one.request, one.answer, self.origin, self.cell.workload)
                if one.sample.error is not None and one.answer.error is None:
                    # A failure that came with HTTP 200 is only seen in the answer's text.
                    self.finished -= 1
                    self.failures.append(one.sample.error)
        samples = [one.sample or _sample(one.request, one.answer, self.origin, self.cell.workload) for one in self.sent]
        if not self.target.continuous_usage:
            samples = _provisional(samples)
        return Traffic(samples=samples, window_start_s=start_s, window_end_s=end_s)

    def _health(self, vitals: Vitals, sent: list[_Sent], seconds: float) -> ClientHealth:
        lags = [max(s.answer.start_s - s.answer.due_s, 0.0) for s in sent if s.answer.start_s]
        # By the clock no load is lost: what is late comes all the same.
        lost = sum(lags) / (self.cell.concurrency * seconds) if self.cell.concurrency and seconds else 0.0
        return vitals.health(arrival_lags=self.arrival_lags, send_lags=lags, lost_load=lost)

    async def _pass(self, phase: Phase, seconds: float) -> None:
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            self._report(phase, left)
            await asyncio.sleep(min(left, _PROGRESS_S))
        self._check()

    async def _until(self, phase: Phase, done: Callable[[], bool]) -> None:
        while not done():
            self._report(phase)
            await asyncio.sleep(_TICK_S)

    def _check(self) -> None:
        """Raise where failures are the rule, or where this code itself failed."""
        if self.broken is not None:
            raise self.broken
        failed, total = len(self.failures), len(self.failures) + self.finished
        if failed >= min(_MOST_FAILURES, 2 * max(self.cell.concurrency, 4)) and failed > total / 2:
            raise EngineError(f"{failed} of {total} requests failed; the last one: {self.failures[-1]}")

    def _report(self, phase: Phase, left: float = 0.0) -> None:
        self._check()
        if self.on_progress is not None:
            done, failed = self.finished, len(self.failures)
            self.on_progress(
                Progress(phase=phase, seconds_left=left, finished=done, failed=failed, precision=self.precision)
            )

    def _too_late(self) -> str:
        late = f"the point exceeded its deadline of {self.limits.deadline_s:g} s: {self.finished} requests had finished"
        if self.cell.rate:
            return f"{late} and {self.in_flight} were in flight"
        had = self.cell.concurrency - len(self.waiting_first)
        return f"{late} and {had} of {self.cell.concurrency} first ones had a token"


def _sample(request: PlannedRequest, answer: Answer, origin: float, workload: Workload) -> RequestSample:
    parsed = answer.stream()
    status: Status = "ok" if answer.done else "cut"
    error = answer.error or parsed.error
    if error is None and answer.done:
        error = _incomplete(request, parsed.completion_tokens, parsed.finish_reason, workload)
    tokens = parsed.chunk_tokens
    if error is None and status == "ok" and tokens.sum() != parsed.completion_tokens:
        tokens = spread_tokens(parsed.completion_tokens or 0, len(tokens))
    return RequestSample(
        request=request,
        start_s=(answer.start_s or answer.due_s) - origin,
        chunk_s=parsed.chunk_s - origin,
        chunk_tokens=tokens,
        prompt_tokens=parsed.prompt_tokens,
        status="failed" if error else status,
        error=error,
        speculation=parsed.speculation,
    )


def _provisional(samples: list[RequestSample]) -> list[RequestSample]:
    """Give streams in flight that are only counted at their end as many tokens per chunk as the ended ones had."""
    ended = [sample for sample in samples if sample.status == "ok"]
    chunks = sum(len(sample.chunk_s) for sample in ended)
    a_chunk = sum(sample.output_tokens for sample in ended) / chunks if chunks else 1.0
    return [
        replace(sample, chunk_tokens=spread_tokens(round(a_chunk * len(sample.chunk_s)), len(sample.chunk_s)))
        if sample.status == "cut"
        else sample
        for sample in samples
    ]


def _incomplete(
    request: PlannedRequest, completion_tokens: int | None, finish_reason: str | None, workload: Workload
) -> str | None:
    if completion_tokens is None:
        return "no usage in the stream: only the server's token counts are used"
    if workload.ignore_eos and completion_tokens < request.osl:
        return f"ended early: {completion_tokens} of {request.osl} tokens (finish_reason {finish_reason})"
    if not workload.ignore_eos and finish_reason not in _ENDS:
        return f"the answer broke off after {completion_tokens} tokens (finish_reason {finish_reason})"
    return None


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Keep the garbage collector from walking through all of pytest's objects while arrivals are waiting."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
