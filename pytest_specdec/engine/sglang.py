"""SGLang: all settings in `/server_info`; counters that move when a request finishes; acceptance in gauges.

Sources of acceptance, the best first: `sglext.spec_tokens_details` of each answer (requested by a field), verify steps
against generated tokens, and a gauge of the last log interval. `/metrics` needs `--enable-metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.domain.environment import UNKNOWN
from pytest_specdec.domain.facts import Facts
from pytest_specdec.domain.speculation_mode import LOSSLESS
from pytest_specdec.engine.adapter import Adapter, RequestDetails, switch, text, whole
from pytest_specdec.engine.counters import UNREADABLE, EngineReading, Samples, histogram
from pytest_specdec.engine.template import Launch, Recipe, Start, degree_flags, release

if TYPE_CHECKING:
    from pytest_specdec.engine.control import Control

_THRESHOLDS = ("speculative_accept_threshold_single", "speculative_accept_threshold_acc")
_COUNTS_CUT_STREAMS = (0, 5, 20)


def _values(engine: EngineSpec, start: Start) -> dict[str, str]:  # noqa: ARG001 - the interface
    speculation = (
        f"--speculative-algorithm NEXTN --speculative-num-steps {engine.mtp} --speculative-eagle-topk 1 "
        f"--speculative-num-draft-tokens {engine.mtp + 1}"
    )
    # Real draft tokens: a fixed one sends all of them to the same experts, and the timing is wrong.
    pinned = (
        f"SGLANG_SIMULATE_ACC_LEN={engine.acceptance} SGLANG_SIMULATE_ACC_METHOD=match-expected "
        "SGLANG_SIMULATE_ACC_TOKEN_MODE=real-draft-token"
    )
    return {
        "sglang_parallel": degree_flags(engine, pp="--pp-size", dp="--dp-size", ep="--ep-size"),
        "sglang_speculation": speculation if engine.mtp else "",
        "sglang_pinned": "" if engine.speculation.pinned_length is None else pinned,
    }


# With the radix cache MTP does not start on hybrid models (Qwen3.5) of releases before `extra_buffer` was the default,
# and Off would run with other settings than MTP.
_SERVE = (
    "{sglang_pinned} {python} -m sglang.launch_server --model-path {model} --served-model-name {model} --host {host} "
    "--port {port} --enable-metrics --disable-radix-cache --tp-size {tp} {sglang_parallel} {sglang_speculation} "
    "{arguments}"
)


class Sglang(Adapter):
    """SGLang's HTTP server."""

    name = "sglang"
    owner = "sglang"
    metrics_prefix = "sglang:"
    # Older releases ignore it.
    request_fields: Mapping[str, object] = {"return_spec_tokens_details": True}
    request_details = RequestDetails(
        extension="sglext",
        table="spec_tokens_details",
        histogram="spec_correct_drafts_histogram",
        drafted="spec_num_proposed_drafts",
        steps="spec_verify_ct",
    )
    launch = Launch(
        distributions=("sglang",),
        recipes=(
            Recipe(since=(0, 5, 14), start=_SERVE),
            # 0.5.14 complains of the variable; without it, older ones do not overlap speculation with scheduling.
            Recipe(since=(0, 4), start=f"SGLANG_ENABLE_SPEC_V2=1 {_SERVE}"),
        ),
        values=_values,
    )
    # An idle scheduler publishes its gauges only some 30 s after it did so last.
    gauges_lag_s = 35.0

    async def recognises(self, control: Control) -> bool:
        """By its arguments, which are open with metrics off too."""
        return "tp_size" in await control.json("/server_info")

    def counts_cut_streams(self, version: str) -> bool:
        """From 0.5.20 on; where the release is not known, streams that finish are counted in any case."""
        return release(version) >= _COUNTS_CUT_STREAMS

    async def facts(self, control: Control, samples: Samples) -> tuple[str, Facts]:  # noqa: ARG002 - the interface
        """From `/server_info`, in older releases `/get_server_info`."""
        info = await control.json("/server_info") or await control.json("/get_server_info")
        return str(info.get("version") or UNKNOWN), configured(info)

    def reading(self, samples: Samples) -> EngineReading:
        """Tokens and verify steps are those of finished requests; gauges are 0.0 while the engine is idle."""
        if not samples.has(self.metrics_prefix):
            return UNREADABLE
        return EngineReading(
            verify_steps=samples.total("sglang:spec_verify_calls_total"),
            gauge_length=samples.mean("sglang:spec_accept_length"),
            running=samples.total("sglang:num_running_reqs"),
            waiting=samples.total("sglang:num_queue_reqs"),
            requests=samples.total("sglang:num_requests_total"),
            generation_tokens=samples.total("sglang:generation_tokens_total"),
            prompt_tokens=samples.total("sglang:prompt_tokens_total"),
            preemptions=samples.total("sglang:num_retracted_requests_total"),
            prefix_queries=samples.total("sglang:prompt_tokens_total"),
            prefix_hits=samples.total("sglang:cached_tokens_total"),
            ttft_s=histogram(samples, "sglang:time_to_first_token_seconds"),
        )

    async def reset_prefix_cache(self, control: Control) -> bool:
        """Refused with HTTP 400 while requests run."""
        return await control.post("/flush_cache") is not None


def configured(info: Mapping[str, Any]) -> Facts:
    """Facts from the resolved server arguments; an absent argument is unknown, `null` is switched off."""
    draft_tokens, method = _speculation(info)
    radix_off = switch(info.get("disable_radix_cache"))
    return Facts(
        draft_tokens=draft_tokens,
        method=method,
        verification=_verification(info) if draft_tokens else None,
        # Pinned acceptance is an environment variable (SGLANG_SIMULATE_ACC_LEN) that no endpoint shows.
        acceptance=None,
        tensor_parallel=whole(info.get("tp_size")),
        pipeline_parallel=whole(info.get("pp_size")),
        data_parallel=whole(info.get("dp_size")),
        expert_parallel=whole(info.get("ep_size")),
        quantization=(text(info["quantization"]) or "none") if "quantization" in info else None,
        dtype=_unless_auto(text(info.get("dtype"))),
        kv_cache_dtype=text(info.get("kv_cache_dtype")),
        max_running=_max_running(info),
        prefix_cache=None if radix_off is None else not radix_off,
        stream_interval=whole(info.get("stream_interval")),
    )


def _speculation(info: Mapping[str, Any]) -> tuple[int | None, str | None]:
    if "speculative_algorithm" not in info:
        return None, None
    algorithm = text(info["speculative_algorithm"])
    if algorithm is None:
        return 0, None
    # A tree verifies more tokens than it has steps; K is the depth of the draft.
    steps = whole(info.get("speculative_num_steps"))
    draft = text(info.get("speculative_draft_model_path"))
    own_head = draft is None or draft == text(info.get("model_path"))
    # NEXTN is resolved to EAGLE; EAGLE with the model's own weights is its MTP head.
    return steps, "mtp" if algorithm.upper() in ("NEXTN", "EAGLE") and own_head else algorithm.lower()


def _verification(info: Mapping[str, Any]) -> str | None:
    thresholds = [info.get(name) for name in _THRESHOLDS]
    if not all(isinstance(value, int | float) for value in thresholds):
        return None
    return LOSSLESS if all(value >= 1.0 for value in thresholds if value is not None) else "threshold"


def _max_running(info: Mapping[str, Any]) -> int | None:
    """Effective limit of the scheduler over all ranks: 48 with speculation on and no limit configured.

    `effective_max_running_requests_per_dp` is per data-parallel rank, one entry of `internal_states` each.
    """
    states = info.get("internal_states")
    effective = [
        whole(state.get("effective_max_running_requests_per_dp"))
        for state in (states if isinstance(states, list) else [])
        if isinstance(state, dict)
    ]
    known = [value for value in effective if value is not None]
    if known and len(known) == len(effective):
        return sum(known)
    return whole(info.get("max_running_requests"))


def _unless_auto(name: str | None) -> str | None:
    return None if name == "auto" else name
