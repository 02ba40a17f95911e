"""A probe of a concurrency: too rough for a result, precise enough to locate an interactivity level."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_specdec.domain.traffic import Traffic
from pytest_specdec.errors import NotMeasuredError
from pytest_specdec.estimators.window import Review

_NOTHING_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReview:
    """Ends a window after a fixed time."""

    seconds: float

    def __call__(self, traffic: Traffic) -> Review:
        """Judge the window so far."""
        left = self.seconds - (traffic.window_end_s - traffic.window_start_s)
        return Review(window_start_s=traffic.window_start_s, done=left <= _NOTHING_S, wait_s=max(left, 0.0))


def rough_interactivity(traffic: Traffic, concurrency: int) -> float:
    """Output tokens per second and stream in the window, tok/s/user: what interactivity is, but for waiting in between.

    Raises:
        NotMeasuredError: no token came.
    """
    start, end = traffic.window_start_s, traffic.window_end_s
    tokens = sum(int(s.chunk_tokens[(s.chunk_s >= start) & (s.chunk_s < end)].sum()) for s in traffic.samples)
    if not tokens or end <= start:
        raise NotMeasuredError(f"no token came within {end - start:.1f} s at concurrency {concurrency}")
    return tokens / (end - start) / concurrency
