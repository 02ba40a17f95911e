"""The core's counters as Prometheus text, by vLLM's names."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_specdec.simulator.core import EngineCore


def exposition(core: EngineCore, model: str, own: Mapping[str, float]) -> str:
    """Render `/metrics`; `own` holds gauges of the simulator itself. Speculation's families are there only with MTP."""
    counts, labels = core.counts, f'model_name="{model}",engine="0"'
    lines: list[str] = []

    def add(name: str, kind: str, value: float, more: str = "") -> None:
        lines.append(f"# TYPE {name} {kind}")
        lines.append(f"{name}{'_total' if kind == 'counter' else ''}{{{labels}{more}}} {float(value)}")

    add("vllm:num_requests_running", "gauge", core.running_requests)
    add("vllm:num_requests_waiting", "gauge", len(core.waiting))
    add("vllm:prompt_tokens", "counter", counts.prompt)
    add("vllm:generation_tokens", "counter", counts.generated)
    add("vllm:request_success", "counter", counts.finished, ',finished_reason="length"')
    add("vllm:num_preemptions", "counter", 0)
    add("vllm:prefix_cache_queries", "counter", counts.prompt)
    add("vllm:prefix_cache_hits", "counter", 0)
    if core.mtp:
        add("vllm:spec_decode_num_drafts", "counter", counts.steps)
        add("vllm:spec_decode_num_draft_tokens", "counter", counts.drafted)
        add("vllm:spec_decode_num_accepted_tokens", "counter", counts.accepted)
        name = "vllm:spec_decode_num_accepted_tokens_per_pos"
        lines.append(f"# TYPE {name} counter")
        lines += [
            f'{name}_total{{{labels},position="{position}"}} {float(accepted)}'
            for position, accepted in enumerate(counts.per_position)
        ]
    for name, value in own.items():
        add(name, "gauge", value)
    return "\n".join(lines) + "\n"
