"""What the known-timing server really did: vLLM's counters, and the truth that clients are held against."""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_POSITIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One stream that was sent to its end; times of the monotonic clock, in seconds."""

    arrival_s: float
    """When the kernel had the request, however late this process looked."""
    first_s: float
    last_s: float
    tokens: int
    chunks: int
    late_s: float
    """The most that a chunk left later than it was due."""


@dataclass(slots=True, kw_only=True)
class Totals:
    """Counters that never go back, as Prometheus has them."""

    prompt_tokens: int = 0
    generation_tokens: int = 0
    drafts: int = 0
    draft_tokens: int = 0
    accepted_tokens: int = 0
    accepted_at: list[int] = field(default_factory=lambda: [0] * MOST_POSITIONS)


@dataclass(slots=True, kw_only=True)
class SinceReset:
    """Counters of one benchmark run."""

    requests: int = 0
    connections: int = 0
    """That carried a stream."""
    lost: int = 0
    """Streams that the client closed before their end."""
    blocked: int = 0
    """Sends that the client's socket did not take at once: the client read too slowly."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """Keeps count of everything that was served."""

    model: str
    tokens_per_chunk: float
    draft_length: int
    totals: Totals = field(default_factory=Totals)
    run: SinceReset = field(default_factory=SinceReset)
    served: list[Served] = field(default_factory=list)

    def close(self, served: Served, sizes: Sequence[int]) -> None:
        """Book a stream that was sent to its end."""
        self.served.append(served)
        totals = self.totals
        totals.generation_tokens += served.tokens
        if self.tokens_per_chunk > 1:
            steps = len(sizes) - 1
            totals.drafts += steps
            totals.draft_tokens += steps * self.draft_length
            totals.accepted_tokens += served.tokens - len(sizes)
            for size in sizes[1:]:
                for position in range(min(size - 1, MOST_POSITIONS)):
                    totals.accepted_at[position] += 1

    def metrics(self, running: int) -> str:
        """Prometheus text under vLLM's names; the speculative ones only where there is speculation, as vLLM has it."""
        label = f'model_name="{self.model}",engine="0"'
        totals = self.totals
        lines: list[str] = []

        def add(name: str, kind: str, value: float) -> None:
            sample = f"{name}_total" if kind == "counter" else name
            lines.extend((f"# TYPE {name} {kind}", f"{sample}{{{label}}} {value:.1f}"))

        add("vllm:num_requests_running", "gauge", running)
        add("vllm:num_requests_waiting", "gauge", 0)
        add("vllm:prompt_tokens", "counter", totals.prompt_tokens)
        add("vllm:generation_tokens", "counter", totals.generation_tokens)
        if self.tokens_per_chunk > 1:
            add("vllm:spec_decode_num_drafts", "counter", totals.drafts)
            add("vllm:spec_decode_num_draft_tokens", "counter", totals.draft_tokens)
            add("vllm:spec_decode_num_accepted_tokens", "counter", totals.accepted_tokens)
            lines.append("# TYPE vllm:spec_decode_num_accepted_tokens_per_pos counter")
            lines += [
                f'vllm:spec_decode_num_accepted_tokens_per_pos_total{{{label},position="{position}"}} {count:.1f}'
                for position, count in enumerate(totals.accepted_at[: self.draft_length])
            ]
        return "\n".join(lines) + "\n"

    def truth(self, *, last: int | None, reset: bool) -> dict[str, Any]:
        """What was sent since the last reset.

        Args:
            last: judge only so many streams, those that arrived last: a tool's warm-up and ready checks come first.
            reset: begin anew afterwards.
        """
        streams = heapq.nlargest(last, self.served, key=lambda s: s.arrival_s) if last else self.served
        run = self.run
        result: dict[str, Any] = {
            "requests": run.requests,
            "completed": len(self.served),
            "lost": run.lost,
            "connections": run.connections,
            "blocked": run.blocked,
            "chunks": sum(s.chunks for s in self.served),
            "tokens": sum(s.tokens for s in self.served),
            "cpu_s": time.process_time(),
            "judged": _judge(streams) if streams else None,
        }
        if reset:
            self.run = SinceReset()
            self.served = []
        return result


def _judge(streams: Sequence[Served]) -> dict[str, float]:
    duration = max(s.last_s for s in streams) - min(s.arrival_s for s in streams)
    tokens = sum(s.tokens for s in streams)
    ttft = [s.first_s - s.arrival_s for s in streams]
    tpot = [(s.last_s - s.first_s) / (s.tokens - 1) for s in streams if s.tokens > 1] or [0.0]
    step = [(s.last_s - s.first_s) / (s.chunks - 1) for s in streams if s.chunks > 1] or [0.0]
    return {
        "streams": len(streams),
        "duration_s": duration,
        "output_tok_s": tokens / duration,
        "ttft_mean_ms": 1e3 * mean(ttft),
        "ttft_p50_ms": 1e3 * percentile(ttft, 0.5),
        "ttft_p99_ms": 1e3 * percentile(ttft, 0.99),
        "tpot_mean_ms": 1e3 * mean(tpot),
        "tpot_p50_ms": 1e3 * percentile(tpot, 0.5),
        "step_mean_ms": 1e3 * mean(step),
        "late_mean_ms": 1e3 * mean([s.late_s for s in streams]),
        "late_max_ms": 1e3 * max(s.late_s for s in streams),
    }


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean."""
    return sum(values) / len(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all values lie; one of the values themselves."""
    ordered = sorted(values)
    return ordered[round(share * (len(ordered) - 1))]
