"""SGLang: tokens are counted when a request finishes, acceptance is a gauge, speculation caps the batch at 48."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_specdec.simulator.dialects.dialect import Dialect, Reply, View
from pytest_specdec.simulator.dialects.exposition import Exposition

if TYPE_CHECKING:
    from pytest_specdec.simulator.core import Sequence

_SILENT_CAP = 48


class SglangDialect(Dialect):
    """As of 0.5.23."""

    owner = "sglang"

    def max_running(self, mtp: int) -> int | None:
        """Speculation lowers the limit silently."""
        return _SILENT_CAP if mtp else None

    def reply(self, method: str, path: str, view: View) -> Reply | None:
        """All settings are open; there is no `/version`, and no `/metrics` without `--enable-metrics`."""
        if method == "GET" and path in ("/server_info", "/get_server_info"):
            return Reply(_server_info(view))
        if (method, path) == ("GET", "/metrics") and view.metrics:
            return Reply(_exposition(view))
        if method in ("GET", "POST") and path == "/flush_cache":
            if view.core.running_requests:
                return Reply("Flush cache failed.\n", status=400)
            return Reply("Cache flushed.\nPlease check backend logs for more details.\n")
        return None

    def details(self, asked: Mapping[str, Any], sequence: Sequence) -> dict[str, Any]:
        """`sglext` with the request's own speculation, where the request asks for it."""
        if not asked.get("return_spec_tokens_details") or not sequence.steps:
            return {}
        correct = sum(accepted * count for accepted, count in enumerate(sequence.histogram))
        details = {
            "spec_accept_length": sequence.produced / sequence.steps,
            "spec_num_correct_drafts": correct,
            "spec_num_proposed_drafts": sequence.drafted,
            "spec_verify_ct": sequence.steps,
            # The real one grows to the longest acceptance that occurred.
            "spec_correct_drafts_histogram": _without_last_zeros(sequence.histogram),
        }
        return {"sglext": {"spec_tokens_details": details}}


def _server_info(view: View) -> dict[str, Any]:
    core = view.core
    return {
        "model_path": view.model,
        "speculative_algorithm": "EAGLE" if core.mtp else None,
        "speculative_num_steps": core.mtp or None,
        "speculative_eagle_topk": 1 if core.mtp else None,
        "speculative_num_draft_tokens": core.mtp + 1 if core.mtp else None,
        "speculative_draft_model_path": view.model if core.mtp else None,
        "speculative_accept_threshold_single": 1.0,
        "speculative_accept_threshold_acc": 1.0,
        "disable_radix_cache": True,
        "dtype": "auto",
        "stream_interval": view.stream_interval,
        "max_running_requests": None,
        "internal_states": [{"effective_max_running_requests_per_dp": core.max_running}],
        "version": view.version,
    }


def _exposition(view: View) -> str:
    core, counts = view.core, view.core.counts
    out = Exposition({"model_name": view.model, "engine_type": "unified"})
    out.add("sglang:num_running_reqs", "gauge", core.running_requests)
    out.add("sglang:num_queue_reqs", "gauge", len(core.waiting))
    out.add("sglang:prompt_tokens", "counter", counts.ended.prompt, is_streaming="true")
    out.add("sglang:generation_tokens", "counter", counts.ended.generated, is_streaming="true")
    out.add("sglang:num_requests", "counter", counts.ended.requests, is_streaming="true")
    out.add("sglang:cached_tokens", "counter", counts.prefix_hits, cache_source="device")
    out.add("sglang:num_retracted_requests", "counter", counts.preemptions)
    out.histogram("sglang:time_to_first_token_seconds", counts.ttft_s, counts.first_tokens)
    if core.mtp:
        out.add("sglang:spec_verify_calls", "counter", counts.ended.steps)
        out.add("sglang:spec_accept_length", "gauge", counts.interval_length)
        out.add("sglang:spec_accept_rate", "gauge", max(counts.interval_length - 1, 0) / core.mtp)
    return out.text()


def _without_last_zeros(histogram: list[int]) -> list[int]:
    end = max((i + 1 for i, count in enumerate(histogram) if count), default=0)
    return histogram[:end]
