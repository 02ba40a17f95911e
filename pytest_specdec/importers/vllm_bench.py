"""Result files of `vllm bench serve --save-result` (and `--append-result`, and `vllm bench sweep serve`).

Milliseconds, tok/s over all GPUs, totals over the whole run. The file has no version of vLLM. `max_output_tokens_per_s`
counts chunks and `max_concurrent_requests` counts by whole seconds (32 where 16 ran), so neither is read; nor is ITL.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import msgspec

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import BrokenFileError, InvalidInputError
from pytest_specdec.importers.definitions import USAGE_OR_TOKENIZER, VLLM_BENCH
from pytest_specdec.importers.documents import Document
from pytest_specdec.importers.result import PeerResult

_COMPACT_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)-")
_SWEEP_FOLDER = re.compile(r"SERVE-+(.*?)(?:-BENCH-.*)?$")
_LATENCIES = {
    "p90_tpot_ms": "tpot_p90_ms",
    "median_ttft_ms": "ttft_p50_ms",
    "p90_ttft_ms": "ttft_p90_ms",
    "p99_ttft_ms": "ttft_p99_ms",
    "median_e2el_ms": "e2e_p50_ms",
    "p90_e2el_ms": "e2e_p90_ms",
}


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that are read; the file is of another project, so unknown ones pass."""

    backend: str
    model_id: str
    max_concurrency: int | None = None
    request_rate: float | str = "inf"
    date: str = ""
    num_prompts: int | None = None
    duration: float
    completed: int
    failed: int | None = None
    total_input_tokens: int
    total_output_tokens: int
    output_throughput: float
    total_token_throughput: float
    median_tpot_ms: float
    p90_tpot_ms: float | None = None
    median_ttft_ms: float | None = None
    p90_ttft_ms: float | None = None
    p99_ttft_ms: float | None = None
    median_e2el_ms: float | None = None
    p90_e2el_ms: float | None = None
    spec_decode_acceptance_rate: float | None = None
    spec_decode_acceptance_length: float | None = None
    spec_decode_per_position_acceptance_rates: tuple[float, ...] | None = None
    run_number: int | None = None
    """Written by a sweep only."""
    # What `--metadata KEY=VALUE` adds is a string, what a sweep adds is a number.
    version: str | None = None
    hardware: str | None = None
    precision: str | None = None
    tp: int | str | None = None
    tensor_parallel_size: int | str | None = None


def is_vllm_bench(document: Document) -> bool:
    """Whether an object looks like a result of `vllm bench serve`."""
    return {"total_token_throughput", "total_output_tokens"} <= document.content.keys()


def read_vllm_bench(document: Document) -> PeerResult:
    """Read one result.

    Raises:
        BrokenFileError: a field is missing, or the numbers cannot be true; the message says which.
    """
    if "benchmark_start_time_unix" in document.content:
        raise BrokenFileError(
            f"{document.source} is of InferenceX's client, whose first token may be a chunk without text: "
            "give its aggregated agg_*.json"
        )
    saved = document.read(_Saved, "result of vllm bench serve")
    return document.result(lambda: _result(saved, document.source))


def _result(saved: _Saved, source: str) -> PeerResult:
    if saved.max_concurrency is None or str(saved.request_rate) != "inf":
        raise InvalidInputError(
            f"no closed loop (max_concurrency {saved.max_concurrency}, request_rate {saved.request_rate}): a curve "
            "over concurrency needs --max-concurrency N and no --request-rate"
        )
    failed = saved.failed
    if failed is None and saved.num_prompts is not None:
        failed = max(0, saved.num_prompts - saved.completed)
    parallel = saved.tp if saved.tp is not None else saved.tensor_parallel_size
    degree = None if parallel is None else _degree(parallel)
    positions = saved.spec_decode_per_position_acceptance_rates
    speculated = saved.spec_decode_acceptance_length is not None
    return PeerResult(
        meaning=VLLM_BENCH,
        token_source=USAGE_OR_TOKENIZER,
        source=source,
        model=saved.model_id,
        backend=saved.backend,
        engine_version=saved.version or "",
        settings="" if saved.run_number is None else _serve_settings(source),
        hardware=(saved.hardware or "").lower(),
        precision=saved.precision or "",
        parallelism="" if degree is None else f"tp{degree}",
        gpus=degree,
        date=_day(saved.date),
        # Without counters nothing is known: they are left out as well where `/metrics` cannot be reached.
        draft_tokens=len(positions) if speculated and positions else None,
        concurrency=saved.max_concurrency,
        completed=saved.completed,
        failed=failed,
        duration_s=saved.duration,
        input_tokens=saved.total_input_tokens,
        output_tokens=saved.total_output_tokens,
        output_tok_s=saved.output_throughput,
        total_tok_s=saved.total_token_throughput,
        tpot_p50_ms=saved.median_tpot_ms,
        readings=_readings(saved),
    )


def _readings(saved: _Saved) -> dict[str, Estimate]:
    found = {key: getattr(saved, name) for name, key in _LATENCIES.items()}
    found["acceptance_length"] = saved.spec_decode_acceptance_length
    if saved.spec_decode_acceptance_rate is not None:
        found["acceptance_rate"] = saved.spec_decode_acceptance_rate / 100
    return {key: Estimate(value) for key, value in found.items() if value is not None}


def _serve_settings(source: str) -> str:
    """A sweep names the folder of its runs by what it changed; in the file those fields look like any other."""
    found = _SWEEP_FOLDER.match(Path(source).parent.name)
    return found[1] if found else ""


def _degree(value: int | str) -> int:
    if not str(value).isdecimal() or int(value) < 1:
        raise InvalidInputError(f"tensor parallelism is {value!r}, expected a whole number")
    return int(value)


def _day(text: str) -> str:
    """`20261123-164418` as `2026-11-23`; empty where it is of another form."""
    found = _COMPACT_DATE.match(text)
    try:
        return date(*(int(part) for part in found.groups())).isoformat() if found else ""
    except ValueError:
        return ""
