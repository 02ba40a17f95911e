"""Result files of `vllm bench serve --save-result` (and `--append-result`, and `vllm bench sweep serve`).

Milliseconds, tok/s over all GPUs, totals over the whole run. The file has no version of vLLM. `max_output_tokens_per_s`
counts chunks and `max_concurrent_requests` counts by whole seconds (32 where 16 ran), so neither is read; nor is ITL.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.importers.bench_client import BenchRun
from pytest_specdec.importers.definitions import USAGE_OR_TOKENIZER, VLLM_BENCH
from pytest_specdec.importers.documents import Format
from pytest_specdec.importers.result import PeerResult

_SWEEP_FOLDER = re.compile(r"SERVE-+(.*?)(?:-BENCH-.*)?$")


class _Saved(BenchRun, frozen=True, kw_only=True):
    total_throughput: float | None = msgspec.field(default=None, name="total_token_throughput")
    median_e2e_ms: float | None = msgspec.field(default=None, name="median_e2el_ms")
    p90_e2e_ms: float | None = msgspec.field(default=None, name="p90_e2el_ms")
    model_id: str
    date: str = ""
    num_prompts: int | None = None
    benchmark_start_time_unix: Any = None
    """Written by InferenceX's fork only."""
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


def _result(saved: _Saved, source: str) -> PeerResult:
    if saved.benchmark_start_time_unix is not None:
        raise InvalidInputError(
            "written by InferenceX's client, whose first token may be a chunk without text: "
            "give its aggregated agg_*.json"
        )
    result = saved.result(VLLM_BENCH, USAGE_OR_TOKENIZER, source)
    failed = saved.failed
    if failed is None and saved.num_prompts is not None:
        failed = max(0, saved.num_prompts - saved.completed)
    parallel = saved.tp if saved.tp is not None else saved.tensor_parallel_size
    degree = None if parallel is None else _degree(parallel)
    positions = saved.spec_decode_per_position_acceptance_rates
    speculated, rate = saved.spec_decode_acceptance_length is not None, saved.spec_decode_acceptance_rate
    readings = {
        "acceptance_length": saved.spec_decode_acceptance_length,
        "acceptance_rate": None if rate is None else rate / 100,
    }
    return replace(
        result,
        model=saved.model_id,
        engine_version=saved.version or "",
        settings="" if saved.run_number is None else _serve_settings(source),
        hardware=(saved.hardware or "").lower(),
        precision=saved.precision or "",
        parallelism="" if degree is None else f"tp{degree}",
        gpus=degree,
        date=_day(saved.date),
        # Without counters nothing is known: they are left out as well where `/metrics` cannot be reached.
        draft_tokens=len(positions) if speculated and positions else None,
        failed=failed,
        readings={**result.readings, **{k: Estimate(value) for k, value in readings.items() if value is not None}},
    )


def _serve_settings(source: str) -> str:
    """Settings in the folder name of a sweep; in the file those fields cannot be told from others."""
    found = _SWEEP_FOLDER.match(Path(source).parent.name)
    return found[1] if found else ""


def _degree(value: int | str) -> int:
    if not str(value).isdecimal() or int(value) < 1:
        raise InvalidInputError(f"tensor parallelism is {value!r}, expected a whole number")
    return int(value)


def _day(text: str) -> str:
    """`20261123-164418` as `2026-11-23`; empty where it has another form."""
    try:
        return date.fromisoformat(text.partition("-")[0]).isoformat()
    except ValueError:
        return ""


VLLM_RESULT = Format(
    name="result of vllm bench serve",
    marks=frozenset({"total_token_throughput", "total_output_tokens"}),
    fields=_Saved,
    result=_result,
)
