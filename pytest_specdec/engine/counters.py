"""Prometheus text of an engine -> one canonical reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from pytest_specdec.acceptance import SpecCounters

_PREFIXES = ("vllm:", "lmdeploy:")
"""LMDeploy copied vLLM's names and their meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReading:
    """What `/metrics` said at one moment; None is unknown."""

    speculation: SpecCounters | None
    """None when the engine exports no speculation counters: speculation is off, or the engine is not known."""
    draft_tokens: int | None
    """K by the number of positions; 0 when the engine's other metrics are there and speculation's are not."""
    running: float | None
    waiting: float | None
    generation_tokens: float | None
    prompt_tokens: float | None
    prefix_queries: float | None
    """Prompt tokens that the prefix cache was asked for."""
    prefix_hits: float | None


UNREADABLE = EngineReading(
    speculation=None,
    draft_tokens=None,
    running=None,
    waiting=None,
    generation_tokens=None,
    prompt_tokens=None,
    prefix_queries=None,
    prefix_hits=None,
)
"""Metrics off, or in names that are not known."""


def read_metrics(text: str) -> EngineReading:
    """Parse an exposition; values of several engines (data-parallel ranks) are summed.

    Matching goes by sample name: servers that write `# TYPE x counter` without `_total` come back split into families.
    """
    totals: dict[str, float] = {}
    positions: dict[int, float] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                prefix = next((p for p in _PREFIXES if sample.name.startswith(p)), None)
                if prefix is None:
                    continue
                name = sample.name.removeprefix(prefix)
                if name == "spec_decode_num_accepted_tokens_per_pos_total":
                    position = int(sample.labels["position"])
                    positions[position] = positions.get(position, 0.0) + sample.value
                else:
                    totals[name] = totals.get(name, 0.0) + sample.value
    except (ValueError, KeyError):
        return UNREADABLE
    if not totals:
        return UNREADABLE
    speculation = _speculation(totals, positions)
    return EngineReading(
        speculation=speculation,
        draft_tokens=len(positions) if speculation is not None else 0,
        running=totals.get("num_requests_running"),
        waiting=totals.get("num_requests_waiting"),
        generation_tokens=totals.get("generation_tokens_total"),
        prompt_tokens=totals.get("prompt_tokens_total"),
        prefix_queries=totals.get("prefix_cache_queries_total"),
        prefix_hits=totals.get("prefix_cache_hits_total"),
    )


def _speculation(totals: Mapping[str, float], positions: Mapping[int, float]) -> SpecCounters | None:
    names = ("num_drafts", "num_draft_tokens", "num_accepted_tokens")
    values = [totals.get(f"spec_decode_{name}_total") for name in names]
    if any(value is None for value in values):
        return None
    steps, drafted, accepted = (value or 0.0 for value in values)
    per_position = tuple(positions.get(i, 0.0) for i in range(max(positions, default=-1) + 1))
    return SpecCounters(steps=steps, drafted=drafted, accepted=accepted, per_position=per_position)
