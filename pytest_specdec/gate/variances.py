"""Empirical Bayes variances of many cells: each shrinks towards the prior that its suite shares.

Few runs per cell make poor variances; a hundred cells together make a good prior. The prior is a scaled inverse
chi-squared distribution fitted by the moments of the log variances (Smyth 2004, doi:10.2202/1544-6115.1027; `fitFDist`
and `squeezeVar` of limma).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Array = NDArray[np.float64]

MOST_FREEDOM = 30.0
"""Degrees of freedom that the prior may lend: more would trust that all cells are alike."""
ENOUGH_CELLS = 3
_SMALLEST_SHARE = 1e-5
"""Of the median variance: the logarithm needs something to stand on."""


class Prior(NamedTuple):
    """A scaled inverse chi-squared prior of a variance."""

    variance: float
    freedom: float


class Squeezed(NamedTuple):
    """Variances after shrinking, and their degrees of freedom."""

    variance: Array
    freedom: Array
    prior: Prior


def fit_prior(variance: Array, freedom: Array) -> Prior:
    """Fit the prior to sample variances with their degrees of freedom (all above 0).

    Infinite freedom means that they differ by no more than chance.
    """
    floor = _SMALLEST_SHARE * float(np.median(variance))
    log_variance = np.log(np.maximum(variance, floor if floor > 0 else np.finfo(float).tiny))
    half = freedom / 2
    excess = log_variance - special.digamma(half) + np.log(half)
    spread = float(np.var(excess, ddof=1) - np.mean(special.polygamma(1, half)))
    if spread <= 0:
        return Prior(float(np.average(variance, weights=freedom)), np.inf)
    half0 = _inverse_trigamma(spread)
    location = float(np.mean(excess)) + float(special.digamma(half0)) - np.log(half0)
    return Prior(float(np.exp(location)), 2 * half0)


def squeeze(variance: Array, freedom: Array, assumed: Prior) -> Squeezed:
    """Shrink each variance towards the prior of its suite; towards `assumed` where the suite has too few cells.

    A cell without degrees of freedom of its own gets the prior.
    """
    known = freedom > 0
    prior = fit_prior(variance[known], freedom[known]) if known.sum() >= ENOUGH_CELLS else assumed
    lent = min(prior.freedom, MOST_FREEDOM)
    own = np.where(known, freedom, 0.0)
    pooled = (lent * prior.variance + own * np.where(known, variance, 0.0)) / (lent + own)
    return Squeezed(pooled, own + lent, prior)


def _inverse_trigamma(value: float) -> float:
    """Solve trigamma(x) = value; trigamma falls from infinity to 0, close to 1/x above 1 and to 1/x^2 below."""
    low, high = 0.1 / (1 + value), 10 + 10 / value
    return float(optimize.brentq(lambda x: float(special.polygamma(1, x)) - value, low, high, xtol=1e-10))
