"""Facts about the requests of a load, without statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from pytest_specdec.domain.acceptance import SpecCounters

Status = Literal["ok", "failed", "cut"]
"""`cut`: still streaming when the window closed; its tokens count where they fell, its latencies do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRequest:
    """One request of the schedule."""

    index: int
    """Position in the closed loop, from 0."""
    prompt: int
    """Identity of the prompt: equal in every MTP mode, different at every concurrency, so that no point finds
    another's prompts in a prefix cache.
    """
    isl: int
    """Input tokens to send; 0 when the prompt is a file's and as long as it is."""
    osl: int
    """Output tokens to request."""
    skipped: int = 0
    """Output tokens that a stationary start pretends were produced already; they are part of `isl` then."""
    due_s: float | None = None
    """Time to send it, seconds since the start of the run; None: as soon as a slot of the closed loop is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSample:
    """One request as the client saw it. Times are seconds since the start of the run."""

    request: PlannedRequest
    start_s: float
    """Just before the request was sent."""
    chunk_s: NDArray[np.float64]
    """Arrival of each chunk that carried tokens, shape (chunks,)."""
    chunk_tokens: NDArray[np.int64]
    """Tokens in each chunk, shape (chunks,); their sum is the server's `usage.completion_tokens`."""
    prompt_tokens: int | None
    """The server's `usage.prompt_tokens`; None if it sent none."""
    status: Status
    error: str | None = None
    speculation: SpecCounters | None = None
    """The engine's own details of this request, where it gives them and the request has finished."""

    @property
    def output_tokens(self) -> int:
        """Tokens received; equals the server's count for a finished request."""
        return int(self.chunk_tokens.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """All requests of one point and the window in which the stream was steady."""

    samples: Sequence[RequestSample]
    window_start_s: float
    window_end_s: float
    """End of the measured window, seconds since the start of the run."""

    @property
    def window_s(self) -> float:
        """Length of the window."""
        return self.window_end_s - self.window_start_s

    def inside(self, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """True for each time in the window."""
        return (times >= self.window_start_s) & (times < self.window_end_s)

    def has(self, at_s: float) -> bool:
        """True for a time in the window."""
        return self.window_start_s <= at_s < self.window_end_s


class RequestCounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Number of requests behind a measurement."""

    finished: int
    failed: int
    cut: int
    """Still streaming when the window closed."""
    observed: int
    """Streams that were seen long enough in the window to give a TPOT."""
