"""Result files of SGLang's bench_serving (`--output-file`): JSON lines, one run a line, by its Python or Rust client.

Milliseconds and tok/s over all GPUs. `accept_length` is a mean over the server's life and no run's own, so it is not
imported; `max_output_tokens_per_s` counts chunks; `concurrency` is the mean that was reached. Where the server is
SGLang, the line has its settings, from which a few are taken by name (keys among them are never read).
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from pytest_specdec.importers.bench_client import BenchRun
from pytest_specdec.importers.definitions import SERVER, SGLANG_PYTHON, SGLANG_RUST, USAGE_OR_REQUESTED
from pytest_specdec.importers.documents import Format
from pytest_specdec.importers.result import PeerResult

_NATIVE = ("sglang", "sglang-native")
_RETOKENIZED_APART = 0.05


class _ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of an SGLang server, as far as they identify the measurement."""

    version: str | None = None
    model_path: str | None = None
    served_model_name: str | None = None
    tp_size: int | None = None
    pp_size: int | None = None
    quantization: str | None = None
    speculative_algorithm: str | msgspec.UnsetType | None = msgspec.UNSET
    """Unset: not stated; null: Off."""
    speculative_num_steps: int | None = None


class _Line(BenchRun, frozen=True, kw_only=True):
    median_e2e_ms: float | None = msgspec.field(default=None, name="median_e2e_latency_ms")
    p90_e2e_ms: float | None = msgspec.field(default=None, name="p90_e2e_latency_ms")
    protocol: str | None = None
    """Written by the Rust client only."""
    dataset_name: str = ""
    random_range_ratio: float | None = None
    server_info: _ServerInfo | None = None
    errors: tuple[str, ...] | None = None
    total_output_tokens_retokenized: int | None = None


def _result(line: _Line, source: str) -> PeerResult:
    server = line.server_info or _ServerInfo()
    return replace(
        line.result(
            SGLANG_PYTHON if line.protocol is None else SGLANG_RUST,
            SERVER if line.backend in _NATIVE else USAGE_OR_REQUESTED,
            source,
        ),
        model=server.served_model_name or server.model_path or "",
        workload=_workload(line),
        engine="sglang" if server.version else "",
        engine_version=server.version or "",
        precision=server.quantization or "",
        parallelism=_parallelism(server),
        gpus=None if server.tp_size is None else server.tp_size * (server.pp_size or 1),
        draft_tokens=_draft_tokens(server),
        failed=line.failed if line.failed is not None or line.errors is None else sum(map(bool, line.errors)),
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


def _remarks(line: _Line) -> tuple[str, ...]:
    retokenized, counted = line.total_output_tokens_retokenized, line.total_output_tokens
    if retokenized is None or abs(retokenized - counted) <= _RETOKENIZED_APART * counted:
        return ()
    return (f"its own tokenizer finds {retokenized} tokens in the answers, {counted} were counted",)


SGLANG_LINE = Format(
    name="line of SGLang's bench_serving",
    marks=frozenset({"total_output_tokens_retokenized"}),
    fields=_Line,
    result=_result,
)
