"""State of requests inside the simulated engine, its counters, and a snapshot of both."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from pytest_specdec.domain.acceptance import SpecCounters
from pytest_specdec.simulator.faults.fault import HEALTHY, Telling

_ITERATIONS = 1000


@dataclass(slots=True, kw_only=True)
class Sequence:
    """One request inside the engine."""

    key: int
    prompt_tokens: int
    max_tokens: int
    prompt: int = 0
    """Identity of the prompt."""
    order: int = 0
    """Number of the request in the engine's life, from 1."""
    produced: int = 0
    arrived: float = 0.0
    steps: int = 0
    """Verify steps."""
    drafted: int = 0
    histogram: list[int] = field(default_factory=list)
    """Entry j: verify steps that accepted j drafts."""

    @property
    def context(self) -> int:
        """Its tokens in the KV cache."""
        return self.prompt_tokens + self.produced

    @property
    def speculation(self) -> SpecCounters:
        """Its own counters, as engines report them by request."""
        return SpecCounters(
            steps=self.steps,
            drafted=self.drafted,
            accepted=sum(accepted * count for accepted, count in enumerate(self.histogram)),
            per_position=tuple(float(sum(self.histogram[i + 1 :])) for i in range(len(self.histogram) - 1)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """Tokens that one sequence got from one event."""

    key: int
    tokens: int
    last: bool
    failed: bool = False
    """The engine died: this is the end, and there are no tokens."""


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
    step_s: float = 0.0
    """Time spent in decode steps."""
    sequence_steps: int = 0
    """Sequences summed over decode steps; without preemption every one of them gets tokens."""
    prefill_s: float = 0.0
    prefilled: int = 0
    """Prompt tokens that were computed: not those of the prefix cache, and again those of preempted sequences."""
    prefix_hits: int = 0
    preemptions: int = 0
    first_tokens: int = 0
    ttft_s: float = 0.0
    """Sum over requests, by the engine's clock."""
    ended: Ended = field(default_factory=Ended)
    completed: Ended = field(default_factory=Ended)
    """The same without those that were aborted."""
    last_length: float = 0.0
    """Acceptance length of the last step; 0 while nothing runs."""
    interval_length: float = 0.0
    """Acceptance length of the last full interval of 40 steps."""
    iterations: deque[float] = field(default_factory=lambda: deque(maxlen=_ITERATIONS))
    """Acceptance length of each of the last steps; reading drains them."""

    def told(self, telling: Telling) -> Counts:
        """Counters as the metrics show them, which a fault may falsify."""
        if telling == HEALTHY.telling:
            return self
        accepted = telling.accepted * telling.speculation
        ended, completed = (
            replace(
                of,
                generated=round(of.generated * telling.generated),
                steps=round(of.steps * telling.speculation),
                histogram=[round(n * accepted) for n in of.histogram],
            )
            for of in (self.ended, self.completed)
        )
        return replace(
            self,
            steps=round(self.steps * telling.speculation),
            drafted=round(self.drafted * telling.speculation),
            accepted=round(self.accepted * accepted),
            per_position=[round(n * accepted) for n in self.per_position],
            generated=round(self.generated * telling.generated),
            last_length=self.last_length * telling.gauge,
            interval_length=self.interval_length * telling.gauge,
            ended=ended,
            completed=completed,
        )

    def speculation(self) -> SpecCounters:
        """Counters of speculation."""
        return SpecCounters(
            steps=self.steps,
            drafted=self.drafted,
            accepted=self.accepted,
            per_position=tuple(float(n) for n in self.per_position),
        )
