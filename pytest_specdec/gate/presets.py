"""Limits of the gated metrics, and values as the gate reads them: on a log scale on which bigger is better."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pytest_specdec.domain.metric import METRICS, Limits
from pytest_specdec.errors import InvalidInputError

PRESETS: Mapping[str, Limits] = dict(
    sorted(((key, one.gate) for key, one in METRICS.items() if one.gate is not None), key=lambda pair: pair[1].place)
)
"""By metric. TPOT is gated as interactivity, its inverse; cost follows from throughput and is not tested twice."""
BASE_MARGIN = PRESETS["total_tok_s_gpu"].margin
"""Margin that the assumed noise is stated for."""


def oriented_log(metric: str, value: float) -> float:
    """Logarithm of a value, turned so that bigger is better: `-log` of a latency.

    Raises:
        InvalidInputError: not a positive, finite number. A missing one is left out, never 0.
    """
    if not (math.isfinite(value) and value > 0):
        raise InvalidInputError(f"{metric} is {value:g}: only positive, finite values can be judged")
    return -math.log(value) if METRICS[metric].better == "lower" else math.log(value)
