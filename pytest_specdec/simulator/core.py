"""The engine as a state machine over events: continuous batching, blocking prefill, speculative decode steps.

It never reads a clock and never sleeps. Its driver waits until `next_event` and calls `complete`; virtual time and real
time run the same code.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pytest_specdec.domain.acceptance import SpecCounters
from pytest_specdec.simulator.counts import Counts, Emission, Ended, Sequence
from pytest_specdec.simulator.faults.fault import HEALTHY, Fault
from pytest_specdec.simulator.model import Preset

__all__ = ["Emission", "EngineCore", "Sequence"]

_LOG_INTERVAL = 40
_PAUSE_S = 1.0
"""An engine that was idle for less is still under the same load."""


class EngineCore:
    """Serves sequences on the time line that its driver keeps."""

    def __init__(
        self, preset: Preset, *, mtp: int, seed: int = 0, max_running: int | None = None, fault: Fault = HEALTHY
    ) -> None:
        self.expected_length = preset.acceptance.length(mtp)  # refuses a K that the preset does not know
        self.preset = preset
        self.mtp = mtp
        self.fault = fault.acting(mtp)
        self.fault.failing.refuse_start(seed)
        limits = (max_running or preset.max_running, self.fault.serving.max_running)
        self.max_running = min(limit for limit in limits if limit is not None)
        ended, completed = (Ended(histogram=[0] * (mtp + 1)) for _ in range(2))
        self.counts = Counts(per_position=[0] * mtp, ended=ended, completed=completed)
        self.waiting: deque[Sequence] = deque()
        self.running: dict[int, Sequence] = {}
        self.next_event: float | None = None
        """Time at which the current prefill or step ends, seconds; None when the engine is idle."""
        self.dead = ""
        """Cause of its death; empty while it lives."""
        self._prefilling: Sequence | None = None
        self._batch: list[Sequence] = []
        self._drafts = 0
        """Of each sequence in the step that runs."""
        self._interval: list[float] = []
        self._rng = np.random.default_rng(seed)
        self._orders = 0
        self._began_s = 0.0
        self._loaded_since_s = 0.0
        self._idle_since_s = -math.inf
        self._stalls_at_s = 0.0
        self._preempting = 0.0
        self._hanging = False
        self._recent: deque[float] = deque(maxlen=self.fault.drafting.off_window)
        self._off_for_good = False
        self._keeps = self.fault.drafting != HEALTHY.drafting

    def submit(self, sequence: Sequence, now: float) -> None:
        """Take a request; an idle engine starts on it at once."""
        self._orders += 1
        sequence.order = self._orders
        sequence.arrived = now
        sequence.histogram = [0] * (self.mtp + 1)
        self.waiting.append(sequence)
        if self.next_event is None:
            if now - self._idle_since_s > _PAUSE_S:
                self._loaded_since_s = now
                self._stalls_at_s = now + self.fault.timing.stall_every_s
            self._begin(now)

    def abort(self, key: int) -> None:
        """Drop a request in any state; the step in flight still takes its time."""
        running = self.running.pop(key, None)
        if running is not None:
            self.counts.ended.add(running)
        self.waiting = deque(sequence for sequence in self.waiting if sequence.key != key)
        if self._prefilling is not None and self._prefilling.key == key:
            self._prefilling.max_tokens = 0

    def complete(self) -> list[Emission]:
        """End the current prefill or step, begin the next one at once, and return the tokens of each sequence."""
        assert self.next_event is not None, "unreachable because the driver waits for an event"
        now = self.next_event
        if self._hanging:
            return self._die("the watchdog killed the engine: a step took too long")
        prefilled, self._prefilling = self._prefilling, None
        emissions = self._end_step(now) if prefilled is None else self._end_prefill(prefilled, now)
        if self._crashes():
            return [*emissions, *self._die("CUDA error: an illegal memory access was encountered")]
        self._begin(now)
        return emissions

    def counters(self) -> SpecCounters | None:
        """Counters of speculation as the metrics show them; None when speculation is off."""
        return self._told.speculation() if self.mtp else None

    def shown(self) -> EngineCore:
        """The engine as its metrics show it: a copy with falsified counters where a fault falsifies them."""
        told = self._told
        if told is self.counts:
            return self
        other = copy.copy(self)
        other.counts = told
        return other

    @property
    def running_requests(self) -> int:
        """Requests that hold a slot."""
        return len(self.running) + (self._prefilling is not None and self._prefilling.max_tokens > 0)

    @property
    def _told(self) -> Counts:
        return self.counts.told(self.fault.telling)

    def _crashes(self) -> bool:
        failing = self.fault.failing
        if not self.running or (failing.crash_batch is None and failing.crash_context is None):
            return False
        return failing.crashes([sequence.context for sequence in self.running.values()])

    def _begin(self, now: float) -> None:
        """Prefill goes first and blocks decoding, one prompt at a time."""
        self._batch = []
        self._began_s = now
        timing = self.fault.timing
        if self.waiting and len(self.running) < self.max_running:
            self._prefilling = self.waiting.popleft()
            seconds = self._prefill_s(self._prefilling) + self._stall_s(now, timing.stall_in == "prefill")
        elif self.running:
            self._preempt()
            self._batch = list(self.running.values())
            self._drafts = 0 if self._off_for_good else self.fault.drafting.drafts(self.mtp, len(self._batch))
            seconds = timing.step_s(
                self.preset.steps,
                sequences=len(self._batch),
                drafts=self._drafts,
                context=sum(sequence.context for sequence in self._batch),
                length=self.expected_length,
            ) + self._stall_s(now, timing.stall_in == "step")
            seconds = self._hang_s(now, seconds)
        else:
            self.next_event, self._idle_since_s = None, now
            self.counts.last_length = 0.0
            return
        self.next_event = now + seconds

    def _prefill_s(self, sequence: Sequence) -> float:
        # A preempted sequence is computed anew with what it has produced.
        hits = round(self.fault.serving.prefix_hits * sequence.prompt_tokens)
        computed = sequence.context - hits
        self.counts.prefilled += computed
        self.counts.prefix_hits += 0 if sequence.produced else hits
        return self.preset.steps.prefill_s(computed) * self.fault.timing.prefill

    def _stall_s(self, now: float, here: bool) -> float:  # noqa: FBT001 - the caller's own condition
        if not here or now < self._stalls_at_s:
            return 0.0
        self._stalls_at_s = now + self.fault.timing.stall_every_s
        return self.fault.timing.stall_s

    def _hang_s(self, now: float, seconds: float) -> float:
        after_s = self.fault.failing.hang_after_s
        self._hanging = after_s is not None and now - self._loaded_since_s >= after_s
        return self.fault.failing.hang_s if self._hanging else seconds

    def _preempt(self) -> None:
        """Send the youngest sequence back to the head of the queue, as engines do when the cache is full."""
        self._preempting += self.fault.serving.preemptions
        if self._preempting >= 1 and len(self.running) > 1:
            self._preempting -= 1
            self.counts.preemptions += 1
            self.waiting.appendleft(self.running.popitem()[1])

    def _die(self, why: str) -> list[Emission]:
        """Fail every request; none is served from now on."""
        self.dead = why
        prefilling = [self._prefilling] if self._prefilling is not None else []
        gone = [*self.running.values(), *prefilling, *self.waiting]
        self.running.clear()
        self.waiting.clear()
        self._prefilling, self.next_event = None, None
        return [Emission(key=sequence.key, tokens=0, last=True, failed=True) for sequence in gone]

    def _end_prefill(self, sequence: Sequence, now: float) -> list[Emission]:
        self.counts.prefill_s += now - self._began_s
        if sequence.max_tokens < 1:
            return []  # aborted while it was prefilled
        if not sequence.produced:
            self.counts.prompt += sequence.prompt_tokens
            self.counts.first_tokens += 1
            self.counts.ttft_s += now - sequence.arrived
        self.running[sequence.key] = sequence
        return [self._give(sequence, 1)]

    def _end_step(self, now: float) -> list[Emission]:
        self.counts.engine_steps += 1
        self.counts.step_s += now - self._began_s
        self.counts.sequence_steps += len(self._batch)
        batch = [sequence for sequence in self._batch if sequence.key in self.running]
        accepted = self._accepted(batch, now)
        return [self._give(sequence, 1 + extra) for sequence, extra in zip(batch, accepted, strict=True)]

    def _accepted(self, batch: list[Sequence], now: float) -> Iterable[int]:
        sequences, drafts = len(batch), self._drafts
        if not drafts or not sequences:
            return [0] * sequences
        accepted = self.preset.acceptance.draw(self._rng, sequences, drafts, self._chances(batch, drafts, now))
        for sequence, extra in zip(batch, accepted, strict=True):
            sequence.steps += 1
            sequence.drafted += drafts
            sequence.histogram[extra] += 1
        self._gauge(1 + float(accepted.mean()))
        self.counts.steps += sequences
        self.counts.drafted += sequences * drafts
        self.counts.accepted += int(accepted.sum())
        for position in range(drafts):
            self.counts.per_position[position] += int((accepted > position).sum())
        return (int(extra) for extra in accepted)

    def _chances(self, batch: list[Sequence], drafts: int, now: float) -> NDArray[np.float64] | None:
        """Chance of each draft, given that all before it were accepted; None when all sequences have the common one."""
        if not self._keeps and not self.preset.acceptance.prompt_spread:
            return None
        chances = self.preset.acceptance.of_prompts(drafts, [sequence.prompt for sequence in batch])
        contexts, orders = np.array([(s.context, s.order) for s in batch]).T
        return chances * self.fault.drafting.kept(drafts, contexts, orders, now - self._loaded_since_s)

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
            self.counts.completed.add(sequence)
            self._watch(sequence)
            del self.running[sequence.key]
        return Emission(key=sequence.key, tokens=tokens, last=last)

    def _watch(self, sequence: Sequence) -> None:
        """Switch speculation off for good when the last requests accepted too little."""
        if sequence.steps:
            self._recent.append(sequence.speculation.accepted / sequence.steps)
        full = len(self._recent) == self._recent.maxlen
        least = self.fault.drafting.off_below * self.expected_length
        if full and 1 + sum(self._recent) / len(self._recent) < least:
            self._off_for_good = True
