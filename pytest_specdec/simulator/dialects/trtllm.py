"""TensorRT-LLM: `/metrics` is JSON that reading drains, unknown fields are refused, aborted requests are not counted.

When idle, the gauge of acceptance reads 0.0 and that of running requests keeps its last value.
"""

from __future__ import annotations

from typing import Any

from pytest_specdec.simulator.dialects.dialect import Dialect, Reply, View
from pytest_specdec.simulator.dialects.exposition import Exposition

_FIELDS = frozenset(
    {
        "model", "messages", "prompt", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "seed",
        "stream", "stream_options", "ignore_eos", "min_tokens", "stop", "n", "chat_template_kwargs",
    }
)  # fmt: skip


class TrtllmDialect(Dialect):
    """As of the main branch of 2026 (1.3)."""

    owner = "tensorrt_llm"
    known_fields = _FIELDS

    def reply(self, method: str, path: str, view: View) -> Reply | None:
        """Prometheus text only with `return_perf_metrics: true`; no endpoint empties the prefix cache."""
        if method != "GET":
            return None
        if path == "/version":
            return Reply({"version": view.version})
        if path == "/metrics":
            return Reply(_drained(view))
        if path == "/server_info":
            return Reply({"disaggregated_params": None, "max_batch_size": view.core.max_running})
        if path == "/prometheus/metrics" and view.metrics:
            return Reply(_exposition(view))
        return None


def _drained(view: View) -> list[dict[str, Any]]:
    """One entry per iteration since the last reading."""
    lengths = list(view.core.counts.iterations)
    view.core.counts.iterations.clear()
    return [{"specDecodingStats": {"acceptanceLength": length}} for length in lengths]


def _exposition(view: View) -> str:
    core, counts = view.core, view.core.counts
    out = Exposition({"model_name": view.model, "engine_type": "pytorch"})
    out.add("trtllm_model_config_info", "gauge", 1, model=view.model, dtype="auto", quantization="none")
    out.add("trtllm_kv_cache_config_info", "gauge", 1, enable_block_reuse="False", cache_dtype="auto")
    # Of the last iteration that ran a batch: nothing lowers it once the engine is idle.
    out.add("trtllm_num_requests_running", "gauge", core.running_requests or bool(counts.first_tokens))
    out.add("trtllm_num_requests_waiting", "gauge", len(core.waiting))
    out.add("trtllm_prompt_tokens", "counter", counts.completed.prompt)
    out.add("trtllm_generation_tokens", "counter", counts.completed.generated)
    out.add("trtllm_request_success", "counter", counts.completed.requests, finished_reason="length")
    out.histogram("trtllm_time_to_first_token_seconds", counts.ttft_s, counts.first_tokens)
    if core.mtp:
        config = {"spec_enabled": "true", "spec_method": "MTP", "spec_num_tokens": str(core.mtp)}
        out.add("trtllm_speculative_config_info", "gauge", 1, **config)
        out.add("trtllm_spec_decode_num_draft_tokens", "counter", counts.drafted)
        out.add("trtllm_spec_decode_num_accepted_tokens", "counter", counts.accepted)
        out.add("trtllm_spec_decode_acceptance_length", "gauge", counts.last_length)
        positions = range(core.mtp)
        drafted = {i: float(counts.completed.steps) for i in positions}
        out.by_position("trtllm_spec_decode_drafted_tokens", "token_position", drafted)
        accepted = {i: float(sum(counts.completed.histogram[i + 1 :])) for i in positions}
        out.by_position("trtllm_spec_decode_accepted_tokens", "token_position", accepted)
    return out.text()
