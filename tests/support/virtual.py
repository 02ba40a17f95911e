"""The core under a closed loop in virtual time: hours of traffic in seconds, for tests and studies."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pytest_specdec.domain.acceptance import SpecCounters
from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.traffic import PlannedRequest, RequestSample, Traffic
from pytest_specdec.estimators.window import Review
from pytest_specdec.simulator.core import Emission, EngineCore, Sequence
from pytest_specdec.simulator.faults.fault import HEALTHY, Fault
from pytest_specdec.simulator.model import Preset
from pytest_specdec.workload.schedule import closed_loop_requests

_TURNAROUND_S = 0.001
"""From the last chunk of a request to the next one's arrival: the step after it has begun by then, as over HTTP."""
_LOOK_S = 0.5
"""Between two looks at the engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Snapshot of the engine, under the names that readings of real engines have.

    Counters grow from the start of the engine. Those of speculation and of generated tokens are as the metrics show
    them, which a fault may falsify; no real engine reports the last four as exactly as this one.
    """

    at_s: float
    speculation: SpecCounters | None
    running: int
    waiting: int
    requests: int
    """Finished requests."""
    generation_tokens: float
    prompt_tokens: int
    prefix_queries: int
    prefix_hits: int
    preemptions: int
    ttft_s: tuple[float, int]
    """Sum and count."""
    gauge_length: float | None
    """Acceptance length of the last interval by the engine's gauge; None while there is none."""
    engine_steps: int
    step_s: float
    """Time spent in decode steps."""
    sequence_steps: int
    """Sequences summed over decode steps."""
    prefill_s: float
    prefill_tokens: int
    """Prompt tokens that were computed, those of preempted sequences again."""

    @classmethod
    def of(cls, core: EngineCore, now: float) -> Snapshot:
        """Take a snapshot of counters and gauges."""
        counts, told = core.counts, core.shown().counts
        return cls(
            at_s=now,
            speculation=core.counters(),
            running=core.running_requests,
            waiting=len(core.waiting),
            requests=counts.finished,
            generation_tokens=told.generated,
            prompt_tokens=counts.prompt,
            prefix_queries=counts.prompt,
            prefix_hits=counts.prefix_hits,
            preemptions=counts.preemptions,
            ttft_s=(counts.ttft_s, counts.first_tokens),
            gauge_length=told.interval_length or None,
            engine_steps=counts.engine_steps,
            step_s=counts.step_s,
            sequence_steps=counts.sequence_steps,
            prefill_s=counts.prefill_s,
            prefill_tokens=counts.prefilled,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualRun:
    """What a real client would have seen, and what the engine counted."""

    traffic: Traffic
    counters: SpecCounters | None
    """Of the whole run, as the engine tells them."""
    looks: tuple[Snapshot, ...] = ()
    """The engine from its start to the end of the window, every half second or, where that is longer, every event."""
    dead: str = ""
    """What killed the engine; empty while it lives."""

    def around(self, start_s: float, end_s: float) -> tuple[Snapshot, Snapshot]:
        """The last look before each of two times; their difference is what happened in between."""
        before, after = (max((k for k in self.looks if k.at_s <= at), key=lambda k: k.at_s) for at in (start_s, end_s))
        return before, after


@dataclass(slots=True)
class _Seen:
    request: PlannedRequest
    start_s: float
    sequence: Sequence
    times: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    told: int = 0
    """Tokens by `usage` so far."""
    held: int = 0
    """Engine steps since the last chunk."""
    done: bool = False
    error: str | None = None


def run_closed_loop(  # noqa: PLR0913 - a point is all of these
    preset: Preset,
    *,
    mtp: int,
    workload: Workload,
    concurrency: int,
    window_s: float,
    settle_s: float = 1.0,
    seed: int = 0,
    max_running: int | None = None,
    review: Callable[[Traffic], Review] | None = None,
    fault: Fault = HEALTHY,
) -> VirtualRun:
    """Keep `concurrency` requests in flight until a window of `window_s` virtual seconds is over.

    With a `review`, that is when the first look is taken, and the review says when the window is over. When the engine
    dies, the requests of that moment fail and no more are sent.

    Raises:
        EngineError: the engine does not start.
    """
    core = EngineCore(preset, mtp=mtp, seed=seed, max_running=max_running, fault=fault)
    loop = _Loop(core=core, workload=workload, concurrency=concurrency)
    start = loop.run(math.inf, until_ramped=True) + settle_s
    end = start + window_s
    loop.run(end)
    while review is not None:
        found = review(loop.traffic(start, end))
        start = found.window_start_s
        if found.done:
            break
        end += found.wait_s
        loop.run(end)
    return VirtualRun(
        traffic=loop.traffic(start, end),
        counters=core.counters(),
        looks=(*loop.looks, Snapshot.of(core, end)),
        dead=core.dead,
    )


class _Loop:
    """A closed loop around the core, which can be run on and on."""

    def __init__(self, *, core: EngineCore, workload: Workload, concurrency: int) -> None:
        self.core = core
        self._planned = closed_loop_requests(workload, concurrency)
        self._seen: dict[int, _Seen] = {}
        self._arrivals: list[tuple[float, int]] = []
        self._ramping = set(range(concurrency))
        self.looks = [Snapshot.of(core, 0.0)]
        for _ in range(concurrency):
            self._plan(0.0)

    def run(self, end_s: float, *, until_ramped: bool = False) -> float:
        """Go on until the end, or until every request of the first wave has a token; return the time."""
        while True:
            arriving = self._arrivals[0][0] if self._arrivals else math.inf
            event = self.core.next_event if self.core.next_event is not None else math.inf
            now = min(arriving, event)
            if now >= end_s:
                return end_s if end_s < math.inf else self.looks[-1].at_s
            if now - self.looks[-1].at_s >= _LOOK_S:
                self.looks.append(Snapshot.of(self.core, now))
            if arriving <= event:
                _, index = heapq.heappop(self._arrivals)
                self._submit(self._seen[index], now)
                continue
            for emission in self.core.complete():
                self._take(emission, now)
            if until_ramped and not self._ramping:
                return now

    def traffic(self, start_s: float, end_s: float) -> Traffic:
        """Everything so far, with a window."""
        return Traffic(samples=[_sample(s) for s in self._seen.values()], window_start_s=start_s, window_end_s=end_s)

    def _plan(self, at: float) -> None:
        request = next(self._planned)
        serving = self.core.fault.serving
        sequence = Sequence(
            key=request.index,
            prompt_tokens=request.isl + serving.prompt_tokens,
            max_tokens=serving.length(request.osl),
            prompt=request.prompt,
        )
        self._seen[request.index] = _Seen(request, at, sequence)
        heapq.heappush(self._arrivals, (at, request.index))

    def _submit(self, one: _Seen, now: float) -> None:
        if self.core.dead:
            one.error = self.core.dead
            self._ramping.discard(one.sequence.key)
        else:
            self.core.submit(one.sequence, now)

    def _take(self, emission: Emission, now: float) -> None:
        one = self._seen[emission.key]
        self._ramping.discard(emission.key)
        if emission.failed:
            one.error = self.core.dead
            return
        self._show(one, now, last=emission.last)
        if emission.last:
            one.done = True
            self._plan(now + _TURNAROUND_S)

    def _show(self, one: _Seen, now: float, *, last: bool) -> None:
        """Send what there is as a chunk, unless the engine holds it back or it is lost."""
        serving = self.core.fault.serving
        one.held += 1
        if one.times and one.held < serving.stream_interval and not last:
            return
        told = serving.counted(one.sequence.produced)
        if told > one.told:
            one.times.append(now)
            one.tokens.append(told - one.told)
            one.told, one.held = told, 0


def _sample(one: _Seen) -> RequestSample:
    return RequestSample(
        request=one.request,
        start_s=one.start_s,
        chunk_s=np.array(one.times, dtype=np.float64),
        chunk_tokens=np.array(one.tokens, dtype=np.int64),
        # A client learns it with the first chunk.
        prompt_tokens=one.sequence.prompt_tokens if one.times else None,
        status="failed" if one.error else "ok" if one.done else "cut",
        error=one.error,
        speculation=one.sequence.speculation if one.done and one.sequence.steps else None,
    )
