"""Interim analysis of fresh differences: mean, standard error, and the two p-values that decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from pytest_specdec.gate.noise import SMALLEST_SD
from pytest_specdec.gate.variances import Array

_REACH = 2.0
"""Standard deviations of the stored noise at which a difference is pulled in: one outlier must not decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interim:
    """Losses at one interim analysis; one entry per hypothesis."""

    loss: Array
    se: Array
    freedom: Array
    count: Array
    """Differences that were measured."""

    def beyond(self, limit: Array, sign: int = 1) -> Array:
        """Chance of a loss this large or larger if the true one were `limit` (sign -1: of a gain)."""
        return np.asarray(special.stdtr(self.freedom, -(sign * self.loss - limit) / self.se))

    def below(self, limit: Array, sign: int = 1) -> Array:
        """Chance of a loss this small or smaller if the true one were `limit` (sign -1: of a gain)."""
        return np.asarray(special.stdtr(self.freedom, (sign * self.loss - limit) / self.se))


def interim_of(differences: Array, variance: Array, freedom: Array) -> Interim:
    """Analyse differences (reference - candidate) by the stored noise and by their own scatter.

    `s^2 = (nu0 v + (K - 1) s_K^2) / (nu0 + K - 1)`, `SE = s / sqrt(K)`, differences winsorised at median +- 2 sqrt(v).

    Args:
        differences: By hypothesis and pair; NaN where a side is missing.
        variance: Of one difference by the stored noise (v).
        freedom: Degrees of freedom of the stored noise (nu0).
    """
    variance = np.maximum(variance, 2 * SMALLEST_SD**2)
    count = np.sum(~np.isnan(differences), axis=1)
    enough = count >= 2
    safe = np.where(enough[:, None], differences, 0.0)
    centre = np.nanmedian(safe, axis=1)
    reach = _REACH * np.sqrt(variance)
    pulled = np.clip(safe, (centre - reach)[:, None], (centre + reach)[:, None])
    n = np.where(enough, count, 2).astype(float)
    mean = np.nansum(pulled, axis=1) / np.where(enough, n, safe.shape[1])
    own = np.nansum((pulled - mean[:, None]) ** 2, axis=1)
    total = freedom + n - 1
    se = np.sqrt((freedom * variance + own) / total / n)
    loss = np.where(enough, mean, np.nan)
    return Interim(loss=loss, se=np.where(enough, se, np.nan), freedom=total, count=count.astype(float))
