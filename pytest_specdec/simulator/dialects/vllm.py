"""vLLM: counters move with every step; settings are shown in development mode only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_specdec.simulator.dialects.dialect import Dialect, Reply, View
from pytest_specdec.simulator.dialects.exposition import Exposition

if TYPE_CHECKING:
    from pytest_specdec.simulator.core import Sequence


class VllmDialect(Dialect):
    """As of 0.33."""

    owner = "vllm"

    def reply(self, method: str, path: str, view: View) -> Reply | None:
        """`/server_info` and `/reset_prefix_cache` are there with `VLLM_SERVER_DEV_MODE=1`."""
        if (method, path) == ("GET", "/version"):
            return Reply({"version": view.version, "simulated": True})
        if (method, path) == ("GET", "/metrics") and view.metrics:
            return Reply(_exposition(view))
        if (method, path) == ("GET", "/server_info") and view.control:
            return Reply({"vllm_config": _config(view), "vllm_env": {}, "system_env": {}})
        if (method, path) == ("POST", "/reset_prefix_cache") and view.control:
            return Reply({"success": not view.core.running_requests})
        return None

    def details(self, asked: Mapping[str, Any], sequence: Sequence) -> dict[str, Any]:  # noqa: ARG002 - the interface
        """As with `--per-request-spec-decode-metrics summary`; no field of a request turns it on."""
        if not sequence.steps:
            return {}
        accepted = sum(length * count for length, count in enumerate(sequence.histogram))
        details = {
            "mean_acceptance_length": 1 + accepted / sequence.steps,
            "draft_acceptance_rate": accepted / sequence.drafted,
            "acceptance_histogram": sequence.histogram,
            "num_spec_steps": sequence.steps,
            "num_accepted_draft_tokens": accepted,
            "num_draft_tokens": sequence.drafted,
            "num_spec_tokens": len(sequence.histogram) - 1,
        }
        return {"metrics": {"speculative_decoding": details}}


def _config(view: View) -> dict[str, Any]:
    """Part of the real `vllm_config` that a client can use; quantization and parallelism have no meaning here."""
    core = view.core
    speculative = {
        "method": "mtp",
        "num_speculative_tokens": core.mtp,
        "rejection_sample_method": "synthetic" if view.pinned else "standard",
        "synthetic_acceptance_rates": core.preset.acceptance.first(core.mtp) if view.pinned else None,
        "synthetic_acceptance_length": None,
    }
    return {
        "model_config": {"dtype": "simulated"},
        "cache_config": {"enable_prefix_caching": False},
        "parallel_config": {},
        "scheduler_config": {"max_num_seqs": core.max_running, "stream_interval": view.stream_interval},
        "speculative_config": speculative if core.mtp else None,
    }


def _exposition(view: View) -> str:
    core, counts = view.core, view.core.counts
    out = Exposition({"model_name": view.model, "engine": "0"})
    out.add("vllm:num_requests_running", "gauge", core.running_requests)
    out.add("vllm:num_requests_waiting", "gauge", len(core.waiting))
    out.add("vllm:prompt_tokens", "counter", counts.prompt)
    out.add("vllm:generation_tokens", "counter", counts.generated)
    out.add("vllm:request_success", "counter", counts.finished, finished_reason="length")
    out.add("vllm:num_preemptions", "counter", counts.preemptions)
    out.add("vllm:prefix_cache_queries", "counter", counts.prompt)
    out.add("vllm:prefix_cache_hits", "counter", counts.prefix_hits)
    out.histogram("vllm:time_to_first_token_seconds", counts.ttft_s, counts.first_tokens)
    if core.mtp:
        # Families of speculation are there at 0 before the first request, and absent when it is off.
        out.add("vllm:spec_decode_num_drafts", "counter", counts.steps)
        out.add("vllm:spec_decode_num_draft_tokens", "counter", counts.drafted)
        out.add("vllm:spec_decode_num_accepted_tokens", "counter", counts.accepted)
        positions = dict(enumerate(counts.per_position))
        out.by_position("vllm:spec_decode_num_accepted_tokens_per_pos", "position", positions)
    for name, value in view.own.items():
        out.add(name, "gauge", value)
    return out.text()
