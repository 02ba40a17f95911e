"""Values as the gate reads them: on a log scale on which bigger is better."""

from __future__ import annotations

import math

from pytest_specdec.domain.metric import BASE_MARGIN, LIMITS, METRICS, Limits
from pytest_specdec.errors import InvalidInputError

__all__ = ["BASE_MARGIN", "PRESETS", "Preset", "oriented_log"]
Preset = Limits
PRESETS = LIMITS


def oriented_log(metric: str, value: float) -> float:
    """Logarithm of a value, turned so that bigger is better: `-log` of a latency.

    Raises:
        InvalidInputError: not a positive, finite number. A missing one is left out, never 0.
    """
    if not (math.isfinite(value) and value > 0):
        raise InvalidInputError(f"{metric} is {value:g}: only positive, finite values can be judged")
    return -math.log(value) if METRICS[metric].better == "lower" else math.log(value)
