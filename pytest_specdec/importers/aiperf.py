"""Result files of AIPerf: `profile_export_aiperf.json`, the statistics of one profiling run.

Every metric carries its unit, which is checked. `inter_token_latency` is TPOT. `output_token_throughput_per_user` is
a mean of 1/TPOT, which is not 1 / median TPOT, so it is not read. Nothing is taken from the command line that the file
quotes, for it may hold a key.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.importers.definitions import AIPERF, TOKENIZER, USAGE
from pytest_specdec.importers.documents import Format
from pytest_specdec.importers.result import PeerResult

_MS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "sec": 1000.0, "s": 1000.0}
_RATE = {"tokens/sec": 1.0, "tokens/s": 1.0}
_TOKENS = {"tokens": 1.0}
_REQUESTS = {"requests": 1.0}
_SAMPLING = ("ignore_eos", "temperature")
_LATENCIES = {
    "tpot_p90_ms": ("inter_token_latency", "p90"),
    "ttft_p50_ms": ("time_to_first_token", "p50"),
    "ttft_p90_ms": ("time_to_first_token", "p90"),
    "ttft_p99_ms": ("time_to_first_token", "p99"),
    "e2e_p50_ms": ("request_latency", "p50"),
    "e2e_p90_ms": ("request_latency", "p90"),
}


class _Metric(msgspec.Struct, frozen=True, kw_only=True):
    unit: str
    avg: float | None = None
    sum: float | None = None
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    """An element of a list: a model has a name, a dataset a type, an error a count."""

    name: str = ""
    type: str = ""
    count: int = 1


class _Models(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[_Item, ...] = ()


class _Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    type: str = ""
    streaming: bool = False
    use_server_token_count: bool = False
    model_names: tuple[str, ...] = ()
    """The model, in the schema before 1.4."""
    extra: Any = None
    """Fields of the request, in one of several shapes."""


class _Load(msgspec.Struct, frozen=True, kw_only=True):
    kind: str = ""
    type: str = "concurrency"
    concurrency: int | None = None
    request_rate: float | None = None


class _Config(msgspec.Struct, frozen=True, kw_only=True):
    models: _Models = _Models()
    endpoint: _Endpoint = _Endpoint()
    datasets: tuple[_Item, ...] = ()
    phases: tuple[_Load, ...] = ()
    loadgen: _Load | None = None
    """The load, in the schema before 1.4."""


class _Export(msgspec.Struct, frozen=True, kw_only=True):
    aiperf_version: str = ""
    input_config: _Config
    start_time: str | None = None
    was_cancelled: bool = False
    is_complete: bool = True
    error_summary: tuple[_Item, ...] | None = None
    benchmark_duration: _Metric
    request_count: _Metric
    error_request_count: _Metric | None = None
    time_to_first_token: _Metric | None = None
    inter_token_latency: _Metric | None = None
    request_latency: _Metric | None = None
    input_sequence_length: _Metric
    output_sequence_length: _Metric
    output_token_throughput: _Metric
    total_token_throughput: _Metric | None = None


def _result(export: _Export, source: str) -> PeerResult:
    if export.was_cancelled or not export.is_complete:
        raise InvalidInputError("the run was cancelled before its end")
    if not export.input_config.endpoint.streaming:
        raise InvalidInputError("answers were not streamed (--streaming): there is no TPOT")
    config = export.input_config
    endpoint = config.endpoint
    load = _load(config)
    if load is None or load.concurrency is None or load.request_rate is not None or load.type != "concurrency":
        raise InvalidInputError("no closed loop: a curve over concurrency needs --concurrency N and no --request-rate")
    models = [model.name for model in config.models.items] or list(endpoint.model_names)
    requests = int(_value(export, "request_count", "avg", _REQUESTS))
    duration_s = _value(export, "benchmark_duration", "avg", _MS) / 1000
    inputs, outputs = (
        round(_value(export, f"{side}_sequence_length", "avg", _TOKENS) * requests) for side in ("input", "output")
    )
    output_rate = _value(export, "output_token_throughput", "avg", _RATE)
    given = export.total_token_throughput is not None
    total_rate = _value(export, "total_token_throughput", "avg", _RATE) if given else output_rate + inputs / duration_s
    return PeerResult(
        meaning=AIPERF,
        tool_version=export.aiperf_version,
        token_source=USAGE if endpoint.use_server_token_count else TOKENIZER,
        source=source,
        model=", ".join(models),
        backend=endpoint.type,
        workload=_workload(config),
        date=(export.start_time or "")[:10],
        concurrency=load.concurrency,
        completed=requests,
        failed=_failed(export),
        duration_s=duration_s,
        input_tokens=inputs,
        output_tokens=outputs,
        output_tok_s=output_rate,
        total_tok_s=total_rate,
        tpot_p50_ms=_value(export, "inter_token_latency", "p50", _MS),
        readings=_readings(export),
    )


def _load(config: _Config) -> _Load | None:
    profiling = [phase for phase in config.phases if phase.kind == "profiling"]
    return profiling[0] if len(profiling) == 1 else config.loadgen


def _workload(config: _Config) -> str:
    """Kind of dataset and the fields that decide the end of answers; other request fields may hold a key."""
    extra = config.endpoint.extra if isinstance(config.endpoint.extra, dict) else {}
    words = [dataset.type for dataset in config.datasets if dataset.type]
    return " ".join([*words, *(f"{name}={extra[name]}" for name in _SAMPLING if name in extra)])


def _failed(export: _Export) -> int | None:
    if export.error_request_count is not None:
        return int(_value(export, "error_request_count", "avg", _REQUESTS))
    return None if export.error_summary is None else sum(error.count for error in export.error_summary)


def _readings(export: _Export) -> dict[str, Estimate]:
    return {
        key: Estimate(_value(export, name, statistic, _MS))
        for key, (name, statistic) in _LATENCIES.items()
        if getattr(getattr(export, name), statistic, None) is not None
    }


def _value(export: _Export, name: str, statistic: str, units: dict[str, float]) -> float:
    metric: _Metric | None = getattr(export, name)
    if metric is None or (value := getattr(metric, statistic)) is None:
        raise InvalidInputError(f"{name} has no {statistic}")
    if metric.unit not in units:
        raise InvalidInputError(f"{name} has the unit {metric.unit!r}, expected {' or '.join(units)}")
    return float(value) * units[metric.unit]


AIPERF_EXPORT = Format(
    name="result of AIPerf", marks=frozenset({"input_config", "request_count"}), fields=_Export, result=_result
)
