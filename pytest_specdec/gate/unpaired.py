"""The fallback without a reference engine: fresh starts of the candidate against the stored mean.

The machine may have changed since the baseline, and these data cannot show it. So a FAIL needs a loss beyond the
margin, not only beyond the tolerance; a smaller loss stays suspect, which is inconclusive.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_specdec.gate.confirm import padded
from pytest_specdec.gate.family import PAIR_FREEDOM, Family
from pytest_specdec.gate.interim import Interim, interim_of
from pytest_specdec.gate.variances import Array

OUTLIER = 0.105
"""One run in a hundred is 10 % slow for no reason (log scale): a loss that one outlier explains is not proven."""
ENOUGH_RUNS = 3
"""Runs whose median one slow run does not move."""


def interim_of_sessions(
    family: Family, rows: Sequence[int], values: Sequence[Sequence[float]], factor: Array
) -> Interim:
    """Judge the candidate's session values against the stored means.

    What its sessions have in common with each other but not with the baseline's, the day, does not average out however
    many there are: the variance between sessions is counted once in full beside the mean's own.

    Args:
        family: Hypotheses.
        rows: Those with sessions.
        values: Of each, one value per fresh start.
        factor: phi of every hypothesis of the family.
    """
    chosen = list(rows)
    losses = family.mean[chosen][:, None] - padded(values)
    freedom = np.minimum(family.freedom[chosen], PAIR_FREEDOM)
    fresh = interim_of(losses, family.variance[chosen] * factor[chosen] ** 2, freedom)
    stored = family.session_variance[chosen] + family.baseline_variance[chosen]
    return Interim(loss=fresh.loss, se=np.sqrt(fresh.se**2 + stored), freedom=freedom, count=fresh.count)
