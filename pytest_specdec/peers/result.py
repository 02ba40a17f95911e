"""One run of another load generator, and whether its numbers can be true."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.estimate import Estimate
from pytest_specdec.peers.meaning import Meaning

READINGS = (
    *("tpot_p90_ms", "ttft_p50_ms", "ttft_p90_ms", "ttft_p99_ms", "e2e_p50_ms", "e2e_p90_ms"),
    *("acceptance_length", "acceptance_rate"),
)
"""What is imported beside the axes, by key of METRICS, where a file has it."""
_ROUNDING = 0.02
_SLACK = 2.0
_IDLE = 1 / 50
_FEW_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerResult:
    """What one result says. None and an empty string are what the file does not tell."""

    meaning: Meaning
    tool_version: str = ""
    token_source: str
    source: str = field(compare=False)
    """File, and line or row where it has several."""
    model: str = ""
    backend: str
    """The tool's name of the kind of endpoint."""
    workload: str = ""
    """Dataset and sampling, in words."""
    engine: str = ""
    engine_version: str = ""
    hardware: str = ""
    precision: str = ""
    parallelism: str = ""
    gpus: int | None = None
    date: str = ""
    draft_tokens: int | None = None
    """K; 0 where the server said that it does not speculate."""
    concurrency: int
    completed: int
    failed: int | None = None
    duration_s: float
    input_tokens: int
    output_tokens: int
    """Both over all completed requests."""
    output_tok_s: float
    total_tok_s: float
    tpot_p50_ms: float
    readings: Mapping[str, Estimate] = field(default_factory=dict)
    """By key of METRICS, of READINGS only."""
    remarks: tuple[str, ...] = ()
    """What a reader must know of this run alone."""

    def __post_init__(self) -> None:
        _refuse_impossible(self)

    @property
    def isl(self) -> float:
        """Input tokens per request, mean."""
        return self.input_tokens / self.completed

    @property
    def osl(self) -> float:
        """Output tokens per request, mean."""
        return self.output_tokens / self.completed

    @property
    def rounds(self) -> float:
        """Requests per stream; the fewer, the more of the run is ramp-up and drain."""
        return self.completed / self.concurrency

    @property
    def missing(self) -> tuple[str, ...]:
        """Readings that the file does not have."""
        return tuple(key for key in READINGS if key not in self.readings)

    def cautions(self) -> list[str]:
        """Reasons to trust this run less."""
        found = list(self.remarks)
        if self.failed:
            found.append(f"{self.failed} of {self.failed + self.completed} requests failed")
        if self.failed is None:
            found.append("how many requests failed is not in the file")
        if self.rounds < _FEW_ROUNDS:
            found.append(f"only {self.rounds:.1f} requests per stream: ramp-up and drain weigh in its throughput")
        return found


def _refuse_impossible(result: PeerResult) -> None:
    """Refuse numbers that cannot be true together.

    Raises:
        InvalidInputError: no completed requests, no tokens, a number that is not positive, or two that contradict.
    """
    if result.completed <= 0:
        raise InvalidInputError("no request was completed")
    if result.output_tokens <= 0 or result.input_tokens <= 0:
        raise InvalidInputError(
            f"{result.input_tokens} input and {result.output_tokens} output tokens: nothing was counted "
            "(a server that sends no usage?)"
        )
    for name in ("concurrency", "duration_s", "output_tok_s", "total_tok_s", "tpot_p50_ms"):
        number = getattr(result, name)
        if not (math.isfinite(number) and number > 0):
            raise InvalidInputError(f"{name} is {number:g}, expected a positive number")
    for key, estimate in result.readings.items():
        if not (math.isfinite(estimate.value) and estimate.value >= 0):
            raise InvalidInputError(f"{key} is {estimate.value:g}, expected a number that is not negative")
    if result.completed < result.concurrency:
        raise InvalidInputError(
            f"{result.completed} completed requests never filled {result.concurrency} streams: "
            "the concurrency was not reached"
        )
    everything = result.input_tokens + result.output_tokens
    for name, tokens in (("output_tok_s", result.output_tokens), ("total_tok_s", everything)):
        said, meant = getattr(result, name), tokens / result.duration_s
        if not math.isclose(said, meant, rel_tol=_ROUNDING):
            raise InvalidInputError(
                f"{name} is {said:g}, but {tokens} tokens in {result.duration_s:g} s are {meant:g}: wrong units?"
            )
    _refuse_idle_streams(result)


def _refuse_idle_streams(result: PeerResult) -> None:
    """Little's law: output rate x time per request / tokens per request is the mean number of streams."""
    ttft = result.readings.get("ttft_p50_ms", Estimate(0.0)).value
    per_request_s = (ttft + (result.osl - 1) * result.tpot_p50_ms) / 1000
    streams = result.output_tok_s * per_request_s / result.osl
    if not result.concurrency * _IDLE <= streams <= result.concurrency * _SLACK:
        raise InvalidInputError(
            f"median TPOT {result.tpot_p50_ms:g} ms and {result.output_tok_s:g} output tok/s make {streams:.2g} "
            f"streams, the concurrency is {result.concurrency}: wrong units?"
        )
