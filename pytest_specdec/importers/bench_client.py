"""Fields that `vllm bench serve` and SGLang's bench_serving share, since the second client derives from the first."""

from __future__ import annotations

import msgspec

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.importers.definitions import Meaning
from pytest_specdec.importers.result import PeerResult

_LATENCIES = {
    "tpot_p90_ms": "p90_tpot_ms",
    "ttft_p50_ms": "median_ttft_ms",
    "ttft_p90_ms": "p90_ttft_ms",
    "ttft_p99_ms": "p99_ttft_ms",
    "e2e_p50_ms": "median_e2e_ms",
    "e2e_p90_ms": "p90_e2e_ms",
}


class BenchRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run by either client; unknown fields pass, for the file belongs to another project."""

    backend: str
    max_concurrency: int | None = None
    request_rate: float | str = "inf"
    duration: float
    completed: int
    failed: int | None = None
    total_input_tokens: int
    total_output_tokens: int
    output_throughput: float
    total_throughput: float | None = None
    median_tpot_ms: float
    p90_tpot_ms: float | None = None
    median_ttft_ms: float | None = None
    p90_ttft_ms: float | None = None
    p99_ttft_ms: float | None = None
    median_e2e_ms: float | None = None
    p90_e2e_ms: float | None = None

    def result(self, meaning: Meaning, token_source: str, source: str) -> PeerResult:
        """Take over the fields that both clients write.

        Raises:
            InvalidInputError: the load was no closed loop, or the numbers cannot be true.
        """
        if self.max_concurrency is None or str(self.request_rate) != "inf":
            raise InvalidInputError(
                f"no closed loop (max_concurrency {self.max_concurrency}, request_rate {self.request_rate}): a curve "
                "over concurrency needs --max-concurrency N and no --request-rate"
            )
        total = self.total_throughput
        if total is None:
            total = (self.total_input_tokens + self.total_output_tokens) / self.duration if self.duration > 0 else 0.0
        latencies = {key: getattr(self, name) for key, name in _LATENCIES.items()}
        return PeerResult(
            meaning=meaning,
            token_source=token_source,
            source=source,
            backend=self.backend,
            concurrency=self.max_concurrency,
            completed=self.completed,
            failed=self.failed,
            duration_s=self.duration,
            input_tokens=self.total_input_tokens,
            output_tokens=self.total_output_tokens,
            output_tok_s=self.output_throughput,
            total_tok_s=total,
            tpot_p50_ms=self.median_tpot_ms,
            readings={key: Estimate(value) for key, value in latencies.items() if value is not None},
        )
