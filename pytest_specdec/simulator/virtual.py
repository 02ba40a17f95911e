"""The core under a closed loop in virtual time: hours of traffic in seconds, for tests and studies."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from pytest_specdec.acceptance import SpecCounters
from pytest_specdec.cell import Workload
from pytest_specdec.sample import PlannedRequest, RequestSample, Traffic
from pytest_specdec.schedule import closed_loop_requests
from pytest_specdec.simulator.core import EngineCore, Sequence
from pytest_specdec.simulator.model import Preset

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
) -> VirtualRun:
    """Keep `concurrency` requests in flight until a window of `window_s` virtual seconds is over."""
    core = EngineCore(preset, mtp=mtp, seed=seed, max_running=max_running)
    planned = closed_loop_requests(workload, concurrency)
    seen: dict[int, _Seen] = {}
    arrivals: list[tuple[float, int]] = []

    def plan(at: float) -> None:
        request = next(planned)
        seen[request.index] = _Seen(request, at)
        heapq.heappush(arrivals, (at, request.index))

    for _ in range(concurrency):
        plan(0.0)
    ramping = set(range(concurrency))
    start = end = float("inf")
    while True:
        arriving = arrivals[0][0] if arrivals else float("inf")
        event = core.next_event if core.next_event is not None else float("inf")
        now = min(arriving, event)
        if now >= end:
            break
        if arriving <= event:
            _, index = heapq.heappop(arrivals)
            request = seen[index].request
            core.submit(Sequence(key=index, prompt_tokens=request.isl, max_tokens=request.osl), now)
            continue
        for emission in core.complete():
            one = seen[emission.key]
            one.times.append(now)
            one.tokens.append(emission.tokens)
            ramping.discard(emission.key)
            if emission.last:
                one.done = True
                plan(now + _TURNAROUND_S)
        if not ramping and start == float("inf"):
            start, end = now + settle_s, now + settle_s + window_s
    traffic = Traffic(
        samples=[_sample(one) for one in seen.values()],
        concurrency=concurrency,
        window_start_s=start,
        window_end_s=end,
    )
    return VirtualRun(traffic=traffic, counters=core.counters())


def _sample(one: _Seen) -> RequestSample:
    return RequestSample(
        request=one.request,
        start_s=one.start_s,
        chunk_s=np.array(one.times, dtype=np.float64),
        chunk_tokens=np.array(one.tokens, dtype=np.int64),
        prompt_tokens=one.request.isl,
        status="ok" if one.done else "cut",
    )
