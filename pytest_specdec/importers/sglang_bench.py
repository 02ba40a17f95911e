"""Result files of SGLang's bench_serving (`--output-file`): JSON lines, one run a line, by its Python or Rust client.

Milliseconds and tok/s over all GPUs. `accept_length` is a mean over the server's life and no run's own, so it is not
imported; `max_output_tokens_per_s` counts chunks; `concurrency` is the mean that was reached. Where the server is
SGLang, the line has its settings, from which a few are taken by name (keys among them are never read).
"""

from __future__ import annotations

import msgspec

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.importers.definitions import SERVER, SGLANG_PYTHON, SGLANG_RUST, USAGE_OR_REQUESTED
from pytest_specdec.importers.documents import Document
from pytest_specdec.importers.result import PeerResult

_NATIVE = ("sglang", "sglang-native")
_RETOKENIZED_APART = 0.05
_LATENCIES = {
    "p90_tpot_ms": "tpot_p90_ms",
    "median_ttft_ms": "ttft_p50_ms",
    "p90_ttft_ms": "ttft_p90_ms",
    "p99_ttft_ms": "ttft_p99_ms",
    "median_e2e_latency_ms": "e2e_p50_ms",
    "p90_e2e_latency_ms": "e2e_p90_ms",
}


class _ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of an SGLang server, as far as they say what was measured."""

    version: str | None = None
    model_path: str | None = None
    served_model_name: str | None = None
    tp_size: int | None = None
    pp_size: int | None = None
    quantization: str | None = None
    speculative_algorithm: str | msgspec.UnsetType | None = msgspec.UNSET
    """Unset: not told; null: Off."""
    speculative_num_steps: int | None = None


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    backend: str
    protocol: str | None = None
    """Written by the Rust client only."""
    dataset_name: str = ""
    random_range_ratio: float | None = None
    max_concurrency: int | None = None
    request_rate: float | str = "inf"
    server_info: _ServerInfo | None = None
    duration: float
    completed: int
    failed: int | None = None
    errors: tuple[str, ...] | None = None
    total_input_tokens: int
    total_output_tokens: int
    total_output_tokens_retokenized: int | None = None
    output_throughput: float
    total_throughput: float | None = None
    median_tpot_ms: float
    p90_tpot_ms: float | None = None
    median_ttft_ms: float | None = None
    p90_ttft_ms: float | None = None
    p99_ttft_ms: float | None = None
    median_e2e_latency_ms: float | None = None
    p90_e2e_latency_ms: float | None = None


def is_sglang_bench(document: Document) -> bool:
    """Whether an object looks like a line of SGLang's bench_serving."""
    return "total_output_tokens_retokenized" in document.content


def read_sglang_bench(document: Document) -> PeerResult:
    """Read one line.

    Raises:
        BrokenFileError: a field is missing, or the numbers cannot be true; the message says which.
    """
    line = document.read(_Line, "line of SGLang's bench_serving")
    return document.result(lambda: _result(line, document.source))


def _result(line: _Line, source: str) -> PeerResult:
    if line.max_concurrency is None or str(line.request_rate) != "inf":
        raise InvalidInputError(
            f"no closed loop (max_concurrency {line.max_concurrency}, request_rate {line.request_rate}): a curve "
            "over concurrency needs --max-concurrency N and no --request-rate"
        )
    server = line.server_info or _ServerInfo()
    native = line.backend in _NATIVE
    total = line.total_throughput
    if total is None:
        total = (line.total_input_tokens + line.total_output_tokens) / line.duration if line.duration > 0 else 0.0
    return PeerResult(
        meaning=SGLANG_PYTHON if line.protocol is None else SGLANG_RUST,
        token_source=SERVER if native else USAGE_OR_REQUESTED,
        source=source,
        model=server.served_model_name or server.model_path or "",
        backend=line.backend,
        workload=_workload(line),
        engine="sglang" if server.version else "",
        engine_version=server.version or "",
        precision=server.quantization or "",
        parallelism=_parallelism(server),
        gpus=None if server.tp_size is None else server.tp_size * (server.pp_size or 1),
        draft_tokens=_draft_tokens(server),
        concurrency=line.max_concurrency,
        completed=line.completed,
        failed=_failed(line),
        duration_s=line.duration,
        input_tokens=line.total_input_tokens,
        output_tokens=line.total_output_tokens,
        output_tok_s=line.output_throughput,
        total_tok_s=total,
        tpot_p50_ms=line.median_tpot_ms,
        readings={
            key: Estimate(value) for name, key in _LATENCIES.items() if (value := getattr(line, name)) is not None
        },
        remarks=_remarks(line),
    )


def _workload(line: _Line) -> str:
    """Only the random datasets have a range of lengths."""
    if line.dataset_name.startswith("random") and line.random_range_ratio is not None:
        return f"{line.dataset_name} lengths from {line.random_range_ratio:g}"
    return line.dataset_name


def _parallelism(server: _ServerInfo) -> str:
    pipeline = server.pp_size or 1
    return "" if server.tp_size is None else f"tp{server.tp_size}" + (f"pp{pipeline}" if pipeline > 1 else "")


def _draft_tokens(server: _ServerInfo) -> int | None:
    if server.speculative_algorithm is None:
        return 0
    return None if server.speculative_algorithm is msgspec.UNSET else server.speculative_num_steps


def _failed(line: _Line) -> int | None:
    if line.failed is not None or line.errors is None:
        return line.failed
    return sum(1 for error in line.errors if error)


def _remarks(line: _Line) -> tuple[str, ...]:
    remarks = []
    retokenized = line.total_output_tokens_retokenized
    if retokenized is not None and abs(retokenized - line.total_output_tokens) > (
        _RETOKENIZED_APART * line.total_output_tokens
    ):
        remarks.append(
            f"its own tokenizer finds {retokenized} tokens in the answers, {line.total_output_tokens} were counted"
        )
    return tuple(remarks)
