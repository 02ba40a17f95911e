"""The core under a closed loop in virtual time: hours of traffic in seconds, for tests and studies."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pytest_specdec.acceptance import SpecCounters
from pytest_specdec.cell import Workload
from pytest_specdec.sample import PlannedRequest, RequestSample, Traffic
from pytest_specdec.schedule import closed_loop_requests
from pytest_specdec.simulator.core import Emission, EngineCore, Sequence
from pytest_specdec.simulator.model import Preset
from pytest_specdec.window import Review

_TURNAROUND_S = 0.001
"""From the last chunk of a request to the next one's arrival: the step after it has begun by then, as over HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualRun:
    """What a real client would have seen, and what the engine counted."""

    traffic: Traffic
    counters: SpecCounters | None


@dataclass(slots=True)
class _Seen:
    request: PlannedRequest
    start_s: float
    times: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    done: bool = False


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
) -> VirtualRun:
    """Keep `concurrency` requests in flight until a window of `window_s` virtual seconds is over.

    With a `review`, that is when the first look is taken, and the review says when the window is over.
    """
    core = EngineCore(preset, mtp=mtp, seed=seed, max_running=max_running)
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
    return VirtualRun(traffic=loop.traffic(start, end), counters=core.counters())


class _Loop:
    """A closed loop around the core, which can be run on and on."""

    def __init__(self, *, core: EngineCore, workload: Workload, concurrency: int) -> None:
        self.core = core
        self._planned = closed_loop_requests(workload, concurrency)
        self._seen: dict[int, _Seen] = {}
        self._arrivals: list[tuple[float, int]] = []
        self._ramping = set(range(concurrency))
        for _ in range(concurrency):
            self._plan(0.0)

    def run(self, end_s: float, *, until_ramped: bool = False) -> float:
        """Go on until the end, or until every request of the first wave has a token; return the time."""
        while True:
            arriving = self._arrivals[0][0] if self._arrivals else math.inf
            event = self.core.next_event if self.core.next_event is not None else math.inf
            now = min(arriving, event)
            if now >= end_s:
                return end_s
            if arriving <= event:
                _, index = heapq.heappop(self._arrivals)
                request = self._seen[index].request
                self.core.submit(Sequence(key=index, prompt_tokens=request.isl, max_tokens=request.osl), now)
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
        self._seen[request.index] = _Seen(request, at)
        heapq.heappush(self._arrivals, (at, request.index))

    def _take(self, emission: Emission, now: float) -> None:
        one = self._seen[emission.key]
        one.times.append(now)
        one.tokens.append(emission.tokens)
        self._ramping.discard(emission.key)
        if emission.last:
            one.done = True
            self._plan(now + _TURNAROUND_S)


def _sample(one: _Seen) -> RequestSample:
    return RequestSample(
        request=one.request,
        start_s=one.start_s,
        chunk_s=np.array(one.times, dtype=np.float64),
        chunk_tokens=np.array(one.tokens, dtype=np.int64),
        prompt_tokens=one.request.isl,
        status="ok" if one.done else "cut",
    )
