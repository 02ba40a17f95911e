"""Number of runs of the screen, and the variance of their location."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pytest_specdec.gate.variances import Array

MOST_RUNS = 3
_QUIET = 0.27
"""One run is enough where its standard deviation within a session is below this share of the margin (1.4 % of 5 %)."""
_MEDIAN_OF_THREE = 1.4
"""Variance of the median of three over that of their mean, times 3 / 3 (normal values)."""


def screen_runs(run_variance: Array, far: Array) -> NDArray[np.intp]:
    """Runs for each hypothesis: one where it is quiet, three where it is not."""
    return np.asarray(np.clip(np.ceil(run_variance / (_QUIET * far) ** 2), 1, MOST_RUNS), dtype=np.intp)


def inflation(runs: NDArray[np.intp]) -> Array:
    """Variance of the location over that of the mean: the median is taken from three runs on."""
    return np.where(runs == MOST_RUNS, _MEDIAN_OF_THREE, np.where(runs > MOST_RUNS, np.pi / 2, 1.0))
