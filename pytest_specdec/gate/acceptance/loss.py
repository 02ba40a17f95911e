"""One-sided tests of a loss: over the same prompts before and after, or over independent runs.

Everything is on a logarithmic scale, on which a loss of x % is the same for every prompt: the loss of prompt i is
d_i = ln before_i - ln after_i. Two hypotheses are tested with Student's t: "the loss is at most the tolerance", which a
regression refutes, and "the loss is at least the margin", which a sound engine refutes. What refutes neither is
undecided.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pytest_specdec.domain.metric import Limits

_CONFIDENCE = 0.95
_LEAST_SCATTER = 1e-9
"""Equal pairs have no scatter at all, and a test needs some."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A relative loss and what is known of it; negative is a gain."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    p_value: float
    """Chance of such a loss where the true one is at most the tolerance: small where it fell."""
    p_holds: float
    """Chance of so small a loss where the true one is at least the margin: small where it holds."""


def paired_loss(before: Floats, after: Floats, limits: Limits) -> Loss:
    """Loss of a positive quantity over the same prompts, shape (prompts,) each, at least 2 of them.

    `scipy.stats.ttest_rel` of the logarithms against either limit.
    """
    losses = np.log(before) - np.log(after)
    error = float(losses.std(ddof=1)) / math.sqrt(len(losses))
    return loss_of(float(losses.mean()), error, len(losses) - 1, limits)


def paired_trend(before: Floats, after: Floats, along: Floats, limits: Limits) -> Loss:
    """Loss at the 90th percentile of `along` beyond the loss at its 10th.

    Least squares over prompts, shape (prompts,) each, at least 3 of them that are not all at one place. A p-value is
    small only where the upper end has lost by itself too: what has become better at the lower end alone has lost
    nothing (an intersection-union test; Berger, Technometrics 24, 1982).
    """
    low, high = np.percentile(along, (10, 90))
    losses = np.log(before) - np.log(after)
    fit = stats.linregress(along, losses)
    span, beyond = float(high - low), float(high - np.mean(along))
    # Pairs that are all equal, as a greedy engine makes them, have a slope of 0 with an error of NaN.
    slope_error = 0.0 if math.isnan(fit.stderr) else float(fit.stderr)
    found = loss_of(float(fit.slope) * span, slope_error * span, len(along) - 2, limits)
    mean_error = slope_error * float(np.std(along))  # the scatter about the line over the root of the prompts
    at_end = float(np.mean(losses)) + float(fit.slope) * beyond
    itself = loss_of(at_end, math.hypot(mean_error, slope_error * beyond), len(along) - 2, limits)
    return dataclasses.replace(found, p_value=max(found.p_value, itself.p_value))


def unpaired_loss(before: Sequence[float], after: float, noise: float, limits: Limits) -> Loss:
    """Loss of one value against at least 2 sessions of a baseline, whose scatter says what sessions do.

    `noise`: the value's own relative standard error, below which no scatter is believed.
    """
    logs = np.log(np.array(before))
    scatter = max(float(logs.std(ddof=1)), noise)
    return loss_of(float(logs.mean()) - math.log(after), scatter * math.sqrt(1 + 1 / len(logs)), len(logs) - 1, limits)


def loss_of(mean: float, error: float, degrees: float, limits: Limits) -> Loss:
    """Judge a mean logarithmic loss with its standard error and degrees of freedom against both limits."""
    error = max(error, _LEAST_SCATTER)
    half = error * float(stats.t.ppf((1 + _CONFIDENCE) / 2, degrees))
    return Loss(
        value=_relative(mean),
        low=_relative(mean - half),
        high=_relative(mean + half),
        p_value=float(stats.t.sf((mean - limits.near) / error, degrees)),
        p_holds=float(stats.t.cdf((mean - limits.far) / error, degrees)),
    )


def _relative(logarithmic: float) -> float:
    return -math.expm1(-logarithmic)
