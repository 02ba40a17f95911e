"""The engine as a state machine over events: continuous batching, blocking prefill, speculative decode steps.

It never reads a clock and never sleeps. Whoever drives it asks for `next_event`, waits as it likes, and calls
`complete` when that time has come; virtual time and real time run the same code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from pytest_specdec.acceptance import SpecCounters
from pytest_specdec.simulator.model import Preset

_LOG_INTERVAL = 40
_ITERATIONS = 1000


@dataclass(slots=True, kw_only=True)
class Sequence:
    """One request inside the engine."""

    key: int
    prompt_tokens: int
    max_tokens: int
    produced: int = 0
    arrived: float = 0.0
    steps: int = 0
    """Verify steps."""
    histogram: list[int] = field(default_factory=list)
    """Entry j: verify steps that accepted j drafts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """Tokens that one sequence got from one event."""

    key: int
    tokens: int
    last: bool


@dataclass(slots=True, kw_only=True)
class Ended:
    """Counters of engines that count a request when it ends, by itself or aborted."""

    requests: int = 0
    prompt: int = 0
    generated: int = 0
    steps: int = 0
    histogram: list[int] = field(default_factory=list)

    def add(self, sequence: Sequence) -> None:
        """Count a request."""
        self.requests += 1
        self.prompt += sequence.prompt_tokens
        self.generated += sequence.produced
        self.steps += sequence.steps
        for accepted, count in enumerate(sequence.histogram):
            self.histogram[accepted] += count


@dataclass(slots=True, kw_only=True)
class Counts:
    """Monotonic counters, with vLLM's meaning."""

    steps: int = 0
    drafted: int = 0
    accepted: int = 0
    """Before truncation by max_tokens."""
    per_position: list[int] = field(default_factory=list)
    generated: int = 0
    prompt: int = 0
    finished: int = 0
    engine_steps: int = 0
    first_tokens: int = 0
    ttft_s: float = 0.0
    """Sum over requests, by the engine's clock."""
    ended: Ended = field(default_factory=Ended)
    last_length: float = 0.0
    """Acceptance length of the last step; 0 while nothing runs."""
    interval_length: float = 0.0
    """Acceptance length of the last full interval of 40 steps."""
    iterations: deque[float] = field(default_factory=lambda: deque(maxlen=_ITERATIONS))
    """Acceptance length of each of the last steps, until somebody reads them."""


class EngineCore:
    """Serves sequences on the time line that its driver keeps."""

    def __init__(self, preset: Preset, *, mtp: int, seed: int = 0, max_running: int | None = None) -> None:
        preset.acceptance.length(mtp)  # refuses a K that the preset does not know
        self.preset = preset
        self.mtp = mtp
        self.max_running = max_running or preset.max_running
        self.counts = Counts(per_position=[0] * mtp, ended=Ended(histogram=[0] * (mtp + 1)))
        self.waiting: deque[Sequence] = deque()
        self.running: dict[int, Sequence] = {}
        self.next_event: float | None = None
        """End of what the engine is doing, seconds; None when it is idle."""
        self._prefilling: Sequence | None = None
        self._batch: list[Sequence] = []
        self._interval: list[float] = []
        self._rng = np.random.default_rng(seed)

    def submit(self, sequence: Sequence, now: float) -> None:
        """Take a request; an idle engine starts on it at once."""
        sequence.arrived = now
        sequence.histogram = [0] * (self.mtp + 1)
        self.waiting.append(sequence)
        if self.next_event is None:
            self._begin(now)

    def abort(self, key: int) -> None:
        """Drop a request wherever it is; the step in flight still takes its time."""
        running = self.running.pop(key, None)
        if running is not None:
            self.counts.ended.add(running)
        self.waiting = deque(sequence for sequence in self.waiting if sequence.key != key)
        if self._prefilling is not None and self._prefilling.key == key:
            self._prefilling.max_tokens = 0

    def complete(self) -> list[Emission]:
        """End the current prefill or step, begin the next one at that very time, and return who got what."""
        assert self.next_event is not None, "unreachable because the driver waits for an event"
        now = self.next_event
        emissions = self._end_prefill(now) if self._prefilling is not None else self._end_step()
        self._begin(now)
        return emissions

    def counters(self) -> SpecCounters | None:
        """Speculation counters; None when speculation is off."""
        if not self.mtp:
            return None
        return SpecCounters(
            steps=self.counts.steps,
            drafted=self.counts.drafted,
            accepted=self.counts.accepted,
            per_position=tuple(float(n) for n in self.counts.per_position),
        )

    @property
    def running_requests(self) -> int:
        """Requests that hold a slot."""
        return len(self.running) + (self._prefilling is not None and self._prefilling.max_tokens > 0)

    def _begin(self, now: float) -> None:
        """Prefill goes first and blocks decoding, one prompt at a time."""
        steps = self.preset.steps
        self._batch = []
        if self.waiting and len(self.running) < self.max_running:
            self._prefilling = self.waiting.popleft()
            self.next_event = now + steps.prefill_s(self._prefilling.prompt_tokens)
        elif self.running:
            self._batch = list(self.running.values())
            context = sum(s.prompt_tokens + s.produced for s in self._batch)
            self.next_event = now + steps.decode_s(len(self._batch), self.mtp, context)
        else:
            self.next_event = None
            self.counts.last_length = 0.0

    def _end_prefill(self, now: float) -> list[Emission]:
        sequence, self._prefilling = self._prefilling, None
        assert sequence is not None, "unreachable because the caller looked"
        if sequence.max_tokens < 1:
            return []  # aborted while it was prefilled
        self.counts.prompt += sequence.prompt_tokens
        self.counts.first_tokens += 1
        self.counts.ttft_s += now - sequence.arrived
        self.running[sequence.key] = sequence
        return [self._give(sequence, 1)]

    def _end_step(self) -> list[Emission]:
        self.counts.engine_steps += 1
        batch = [sequence for sequence in self._batch if sequence.key in self.running]
        accepted = self._accepted(batch)
        return [self._give(sequence, 1 + extra) for sequence, extra in zip(batch, accepted, strict=True)]

    def _accepted(self, batch: list[Sequence]) -> Iterable[int]:
        sequences = len(batch)
        if not self.mtp or not sequences:
            return [0] * sequences
        accepted = self.preset.acceptance.draw(self._rng, sequences, self.mtp)
        for sequence, extra in zip(batch, accepted, strict=True):
            sequence.steps += 1
            sequence.histogram[extra] += 1
        self._gauge(1 + float(accepted.mean()))
        self.counts.steps += sequences
        self.counts.drafted += sequences * self.mtp
        self.counts.accepted += int(accepted.sum())
        for position in range(self.mtp):
            self.counts.per_position[position] += int((accepted > position).sum())
        return (int(extra) for extra in accepted)

    def _gauge(self, length: float) -> None:
        self.counts.last_length = length
        self.counts.iterations.append(length)
        self._interval.append(length)
        if len(self._interval) == _LOG_INTERVAL:
            self.counts.interval_length = sum(self._interval) / _LOG_INTERVAL
            self._interval.clear()

    def _give(self, sequence: Sequence, tokens: int) -> Emission:
        tokens = min(tokens, sequence.max_tokens - sequence.produced)
        sequence.produced += tokens
        self.counts.generated += tokens
        last = sequence.produced >= sequence.max_tokens
        if last:
            self.counts.finished += 1
            self.counts.ended.add(sequence)
            del self.running[sequence.key]
        return Emission(key=sequence.key, tokens=tokens, last=last)
