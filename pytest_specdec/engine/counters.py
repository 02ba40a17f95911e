"""Prometheus text of any engine -> samples by name, and the reading that every adapter makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_specdec.domain.acceptance import SpecCounters

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of one exposition by name; empty when there was none."""

    by_name: Mapping[str, list[tuple[Labels, float]]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Samples:
        """Parse an exposition; text that cannot be parsed gives no samples.

        Samples are matched by name, not by family: the parser splits the families of servers that write
        `# TYPE x counter` without `_total`.
        """
        from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - only a run needs it

        found: dict[str, list[tuple[Labels, float]]] = {}
        try:
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    found.setdefault(sample.name, []).append((sample.labels, sample.value))
        except (ValueError, KeyError):
            return cls()
        return cls(found)

    def has(self, prefix: str) -> bool:
        """True when a name begins with this prefix."""
        return any(name.startswith(prefix) for name in self.by_name)

    def total(self, name: str) -> float | None:
        """Sum over all label sets (data-parallel ranks, streaming or not); None without such a sample."""
        found = self.by_name.get(name)
        return None if not found else sum(value for _, value in found)

    def mean(self, name: str) -> float | None:
        """Mean over the ranks above 0; None when all are 0, which is how engines show that they are idle."""
        values = [value for _, value in self.by_name.get(name, ()) if value > 0]
        return sum(values) / len(values) if values else None

    def positions(self, name: str, label: str) -> tuple[float, ...]:
        """Sum per draft position, from position 0."""
        sums: dict[int, float] = {}
        for labels, value in self.by_name.get(name, ()):
            if labels.get(label, "").isdecimal():
                position = int(labels[label])
                sums[position] = sums.get(position, 0.0) + value
        return tuple(sums.get(i, 0.0) for i in range(max(sums, default=-1) + 1))

    def label(self, name: str, label: str) -> str | None:
        """Value of a label of an info metric; None without it, and when ranks disagree."""
        values = {labels[label] for labels, _ in self.by_name.get(name, ()) if label in labels}
        return values.pop() if len(values) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReading:
    """Counters and gauges of an engine at one moment; None is unknown."""

    speculation: SpecCounters | None = None
    """None when the engine exports no such counters: speculation is off, or not counted."""
    verify_steps: float | None = None
    """Verify steps, for an engine that does not count accepted drafts."""
    gauge_length: float | None = None
    """Acceptance length of the last interval; None when the engine is idle or has no such gauge."""
    running: float | None = None
    waiting: float | None = None
    requests: float | None = None
    """Finished requests."""
    generation_tokens: float | None = None
    prompt_tokens: float | None = None
    preemptions: float | None = None
    """Requests that were evicted and recomputed."""
    prefix_queries: float | None = None
    """Prompt tokens looked up in the prefix cache."""
    prefix_hits: float | None = None
    ttft_s: tuple[float, float] | None = None
    """Sum and count of the engine's own TTFT histogram."""


UNREADABLE = EngineReading()
"""Metrics are off, or have names that are not known."""


def histogram(samples: Samples, name: str) -> tuple[float, float] | None:
    """Sum and count of a histogram over all ranks."""
    total, count = samples.total(f"{name}_sum"), samples.total(f"{name}_count")
    return None if total is None or count is None else (total, count)
