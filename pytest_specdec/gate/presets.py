"""What is gated: the loss of each metric that must be found, and the one that may be there.

Two limits, not one: with a single threshold a loss of exactly that size is never decided. A loss below the tolerance is
nobody's fault; one of the margin is to be found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from pytest_specdec.domain.metric import METRICS
from pytest_specdec.errors import InvalidInputError

BASE_MARGIN = 0.05
"""Margin of throughput: what the assumed noise is stated for."""


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one metric, as fractions of the baseline."""

    metric: str
    margin: float
    """Loss that must be found: a PASS says that it is smaller."""
    tolerance: float
    """Loss that is never called one: a FAIL says that it is larger."""
    min_requests: int = 0
    """Below so many requests per run the metric is advisory: shown, never red."""

    def __post_init__(self) -> None:
        if METRICS.get(self.metric) is None or METRICS[self.metric].better is None:
            raise InvalidInputError(f"{self.metric!r} cannot be gated: no metric with a direction has this name")
        if not 0 <= self.tolerance < self.margin < 1:
            raise InvalidInputError(
                f"{self.metric}: the tolerance ({self.tolerance:g}) must lie below the margin ({self.margin:g}), "
                "both from 0 to 1"
            )

    @property
    def far(self) -> float:
        """The margin on the log scale (capital delta)."""
        return -math.log1p(-self.margin)

    @property
    def near(self) -> float:
        """The tolerance on the log scale (delta zero)."""
        return -math.log1p(-self.tolerance)


PRESETS: Mapping[str, Preset] = {
    preset.metric: preset
    for preset in (
        Preset(metric="total_tok_s_gpu", margin=BASE_MARGIN, tolerance=0.01),
        Preset(metric="interactivity_tok_s_user", margin=BASE_MARGIN, tolerance=0.01),
        Preset(metric="step_rate_s", margin=BASE_MARGIN, tolerance=0.01),
        Preset(metric="ttft_p50_ms", margin=0.10, tolerance=0.02),
        Preset(metric="e2e_p50_ms", margin=0.10, tolerance=0.02),
        Preset(metric="ttft_p99_ms", margin=0.25, tolerance=0.05, min_requests=1000),
        Preset(metric="acceptance_length", margin=0.03, tolerance=0.005),
    )
}
"""By metric. TPOT is gated as interactivity, its inverse; cost follows from throughput and is not tested twice."""


def oriented_log(metric: str, value: float) -> float:
    """Logarithm of a value, turned so that bigger is better: `-log` of a latency.

    Raises:
        InvalidInputError: not a positive, finite number. A missing one is left out, never 0.
    """
    if not (math.isfinite(value) and value > 0):
        raise InvalidInputError(f"{metric} is {value:g}: only positive, finite values can be judged")
    return -math.log(value) if METRICS[metric].better == "lower" else math.log(value)
