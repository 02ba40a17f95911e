"""TensorRT-LLM: settings as labels of info gauges; `/metrics` is JSON, and reading drains it.

Prometheus text is at `/prometheus/metrics`, and only with `return_perf_metrics: true`. There is no counter of verify
steps: with counters per position it is the drafts of position 0, else draft tokens / K. The acceptance gauge is of the
last iteration and reads 0.0 when nothing drafts; it is not used. Those of running and waiting requests are of the last
iteration that ran a batch: of an idle engine they still show the last work. No endpoint empties the prefix cache.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec.domain.acceptance import SpecCounters
from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.domain.environment import UNKNOWN
from pytest_specdec.domain.facts import Facts
from pytest_specdec.engine.adapter import Adapter, switch, text, whole
from pytest_specdec.engine.counters import UNREADABLE, EngineReading, Samples, histogram
from pytest_specdec.engine.template import Launch, Recipe, Start, degree_flags

if TYPE_CHECKING:
    from pytest_specdec.engine.control import Control

_SPEC = "trtllm_spec_decode_"


def _values(engine: EngineSpec, start: Start) -> dict[str, str]:
    # JSON is YAML. Metrics are at /prometheus/metrics only with performance metrics on.
    common: dict[str, object] = {
        "return_perf_metrics": True,
        "enable_iter_perf_stats": True,
        "kv_cache_config": {"enable_block_reuse": False},
    }
    new, old = (
        {**common, "speculative_config": {"decoding_type": "MTP", name: engine.mtp}} if engine.mtp else common
        for name in ("max_draft_len", "num_nextn_predict_layers")
    )
    # The forced number is without the bonus token.
    pinned = "" if engine.speculation.pinned_length is None else f"{engine.speculation.pinned_length - 1:g}"
    return {
        "trtllm_config": shlex.quote(json.dumps(new)),
        "trtllm_config_1_0": shlex.quote(json.dumps(old)),
        "trtllm_parallel": degree_flags(engine, pp="--pp_size", ep="--ep_size"),
        "trtllm_pinned": f"TLLM_SPEC_DECODE_FORCE_NUM_ACCEPTED_TOKENS={pinned}" if pinned else "",
        "trtllm_serve": shlex.quote(str(Path(start.python).parent / "trtllm-serve")),
    }


_SERVE = (
    "> {scratch}.yaml && {trtllm_pinned} {trtllm_serve} {model} --backend pytorch --host {host} --port {port} "
    "--tp_size {tp} {trtllm_parallel}"
)


class Trtllm(Adapter):
    """`trtllm-serve`; fields of a request that it does not know are refused with HTTP 400, so none is added."""

    name = "trtllm"
    owner = "tensorrt_llm"
    metrics_path = "/prometheus/metrics"
    metrics_prefix = "trtllm_"
    launch = Launch(
        distributions=("tensorrt_llm", "tensorrt-llm"),
        recipes=(
            Recipe(
                since=(1, 3),
                start=f"printf %s {{trtllm_config}} {_SERVE} "
                "--served_model_name {model} --config {scratch}.yaml {arguments}",
            ),
            # 1.2 does not read `max_draft_len` for MTP, and would draft one token.
            Recipe(
                since=(1, 2),
                start=f"printf %s {{trtllm_config_1_0}} {_SERVE} "
                "--served_model_name {model} --config {scratch}.yaml {arguments}",
            ),
            Recipe(
                since=(1,),
                start=f"printf %s {{trtllm_config_1_0}} {_SERVE} "
                "--extra_llm_api_options {scratch}.yaml {arguments}",
            ),
        ),
        values=_values,
    )

    async def recognises(self, control: Control) -> bool:
        """By the names at its own path: its `/metrics` is JSON, and drained by reading."""
        return (await control.samples(self.metrics_path)).has(self.metrics_prefix)

    def counts_cut_streams(self, version: str) -> bool:  # noqa: ARG002 - the interface
        """A request is counted after its last token has been sent."""
        return False

    async def facts(self, control: Control, samples: Samples) -> tuple[str, Facts]:
        """From the info gauges; without `return_perf_metrics: true` hardly anything is known."""
        info = await control.json("/server_info")
        facts = configured(samples, max_batch_size=whole(info.get("max_batch_size")))
        return str((await control.json("/version")).get("version") or UNKNOWN), facts

    def reading(self, samples: Samples) -> EngineReading:
        """Tokens are counted when a request finishes, drafts with every iteration."""
        if not samples.has(self.metrics_prefix):
            return UNREADABLE
        return EngineReading(
            speculation=_counters(samples),
            waiting=samples.total("trtllm_num_requests_waiting"),
            requests=samples.total("trtllm_request_success_total"),
            generation_tokens=samples.total("trtllm_generation_tokens_total"),
            prompt_tokens=samples.total("trtllm_prompt_tokens_total"),
            prefix_queries=samples.total("trtllm_prompt_tokens_total"),
            prefix_hits=samples.total("trtllm_prompt_cached_tokens_total"),
            ttft_s=histogram(samples, "trtllm_time_to_first_token_seconds"),
        )


def configured(samples: Samples, *, max_batch_size: int | None) -> Facts:
    """Facts from the labels of the info gauges."""
    parallel, cache = "trtllm_parallel_config_info", "trtllm_kv_cache_config_info"
    quantization = samples.label("trtllm_model_config_info", "quantization")
    return Facts(
        draft_tokens=_draft_tokens(samples),
        method=_method(samples),
        tensor_parallel=whole(samples.label(parallel, "tensor_parallel_size")),
        pipeline_parallel=whole(samples.label(parallel, "pipeline_parallel_size")),
        expert_parallel=whole(samples.label(parallel, "expert_parallel_size")),
        quantization=None if quantization is None else quantization.lower(),
        dtype=_unless_auto(samples.label("trtllm_model_config_info", "dtype")),
        kv_cache_dtype=text(samples.label(cache, "cache_dtype")),
        max_running=max_batch_size,
        prefix_cache=switch(samples.label(cache, "enable_block_reuse")),
    )


def _draft_tokens(samples: Samples) -> int | None:
    enabled = switch(samples.label("trtllm_speculative_config_info", "spec_enabled"))
    if enabled:
        return whole(samples.label("trtllm_speculative_config_info", "spec_num_tokens"))
    # The gauge of the model is there whenever the others would be.
    return 0 if enabled is False or samples.has("trtllm_model_config_info") else None


def _method(samples: Samples) -> str | None:
    name = text(samples.label("trtllm_speculative_config_info", "spec_method"))
    return None if name is None else name.lower()


def _counters(samples: Samples) -> SpecCounters | None:
    """By position where there are such counters: they agree among themselves; the totals count other iterations."""
    drafted = samples.positions(f"{_SPEC}drafted_tokens_total", "token_position")
    accepted = samples.positions(f"{_SPEC}accepted_tokens_total", "token_position")
    if drafted:
        return SpecCounters(steps=drafted[0], drafted=sum(drafted), accepted=sum(accepted), per_position=accepted)
    total, right = (samples.total(f"{_SPEC}num_{what}_tokens_total") for what in ("draft", "accepted"))
    tokens = _draft_tokens(samples)
    if total is None or right is None or not tokens:
        return None
    return SpecCounters(steps=total / tokens, drafted=total, accepted=right)


def _unless_auto(name: str | None) -> str | None:
    return None if name in (None, "auto") else name
