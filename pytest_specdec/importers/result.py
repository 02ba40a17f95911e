"""One run of another load generator, and a check that its numbers are possible."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.metric import keys_as
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.importers.definitions import Meaning

READINGS = keys_as("peer")
"""Metrics that are imported beside the axes, where a file has them."""
_ROUNDING = 0.02
_SLACK = 2.0
_SKEW = 3.0
_IDLE = 1 / 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerResult:
    """Fields of one result; None or an empty string where the file does not state one."""

    meaning: Meaning
    tool_version: str = ""
    token_source: str
    source: str = field(compare=False)
    """File, and line or row where it has several."""
    model: str = ""
    backend: str
    """Kind of endpoint, by the tool's name."""
    workload: str = ""
    """Dataset and sampling, in words."""
    engine: str = ""
    engine_version: str = ""
    settings: str = ""
    """Settings of the server that a sweep varied, in the tool's own words."""
    hardware: str = ""
    precision: str = ""
    parallelism: str = ""
    gpus: int | None = None
    date: str = ""
    draft_tokens: int | None = None
    """K; 0 where the server reports that it does not speculate."""
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
    """Cautions of this run alone."""

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
        """Reasons to doubt this run."""
        found = list(self.remarks)
        if self.failed:
            found.append(f"{self.failed} of {self.failed + self.completed} requests failed")
        if self.failed is None:
            found.append("the file does not state how many requests failed")
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
        stated, computed = getattr(result, name), tokens / result.duration_s
        if not math.isclose(stated, computed, rel_tol=_ROUNDING):
            raise InvalidInputError(
                f"{name} is {stated:g}, but {tokens} tokens in {result.duration_s:g} s are {computed:g}: wrong units?"
            )
    _refuse_other_units(result)


def _refuse_other_units(result: PeerResult) -> None:
    """A request's time is TTFT and its tokens; output rate x that time / tokens is the mean number of streams (Little).

    Medians and means are mixed here, so only what lies far off is refused: a thousand is.
    """
    ttft = result.readings.get("ttft_p50_ms", Estimate(0.0)).value
    request_ms = ttft + (result.osl - 1) * result.tpot_p50_ms
    e2e = result.readings.get("e2e_p50_ms")
    if e2e is not None and not e2e.value / _SKEW <= request_ms <= e2e.value * _SKEW:
        raise InvalidInputError(
            f"median TTFT and TPOT, {ttft:g} and {result.tpot_p50_ms:g} ms, make {request_ms:.4g} ms a request of "
            f"{result.osl:.0f} tokens, its median E2E is {e2e.value:g} ms: wrong units?"
        )
    streams = result.output_tok_s * request_ms / 1000 / result.osl
    if not result.concurrency * _IDLE <= streams <= result.concurrency * _SLACK:
        raise InvalidInputError(
            f"median TPOT {result.tpot_p50_ms:g} ms and {result.output_tok_s:g} output tok/s make {streams:.2g} "
            f"streams, the concurrency is {result.concurrency}: wrong units?"
        )
