"""The screen: one to three runs of the candidate against the stored baseline pass most cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from pytest_specdec.gate.family import Family
from pytest_specdec.gate.noise import Run, checked
from pytest_specdec.gate.screen_size import inflation, screen_runs
from pytest_specdec.gate.terms import Terms
from pytest_specdec.gate.variances import Array

ENOUGH_RESIDUALS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """Each hypothesis after the screen: d and its standard error."""

    loss: Array
    """d = baseline - candidate on the log scale; NaN where nothing was measured."""
    se: Array
    freedom: Array
    runs: NDArray[np.intp]

    def bound(self, miss: float) -> Array:
        """Half-width of the interval that the truth lies beyond at one end with probability `miss`."""
        return np.asarray(special.stdtrit(self.freedom, 1 - miss)) * self.se


def runs_needed(family: Family) -> dict[str, int]:
    """Runs that the screen asks of each cell: one where it is quiet, three where it is not."""
    wanted = screen_runs(family.run_variance, family.far)
    needed = dict.fromkeys(family.cells, 1)
    for hypothesis, runs, gated in zip(family.hypotheses, wanted, family.gated, strict=True):
        if gated:
            needed[hypothesis.cell] = max(needed[hypothesis.cell], int(runs))
    return needed


def screen_values(family: Family, runs: Mapping[str, Sequence[Run]]) -> Array:
    """Values by hypothesis and run, NaN where a run or its metric is missing."""
    most = max((len(of_cell) for of_cell in runs.values()), default=0)
    values = np.full((len(family.hypotheses), max(most, 1)), np.nan)
    for i, hypothesis in enumerate(family.hypotheses):
        for k, run in enumerate(runs.get(hypothesis.cell, ())):
            if hypothesis.metric in run:
                values[i, k] = checked(hypothesis, run[hypothesis.metric])
    return values


def runner_factors(family: Family, values: Array) -> dict[str, float]:
    """Noise of this job over the stored noise, by metric (phi); 1 with too few repeats, never below.

    From the repeats of the screen: 1.4826 x median of |residual| / stored run_sd. Without it, a job twice as noisy as
    its baseline FAILs every eighth clean suite (gating study, section 5).
    """
    count = np.sum(~np.isnan(values), axis=1)
    repeated = count >= 2
    if not repeated.any():
        return dict.fromkeys(family.metrics, 1.0)
    some, n = values[repeated], count[repeated]
    residual = np.abs(some - np.nanmean(some, axis=1)[:, None]) * np.sqrt(n / (n - 1))[:, None]
    scaled = residual / np.sqrt(family.run_variance[repeated])[:, None]
    metric = family.metric[repeated]
    return {name: _factor(scaled[metric == index], scaled) for index, name in enumerate(family.metrics)}


def _factor(own: Array, every: Array) -> float:
    for residuals in (own[~np.isnan(own)], every[~np.isnan(every)]):
        if residuals.size >= ENOUGH_RESIDUALS:
            return max(1.0, normal_scale(residuals))
    return 1.0


def normal_scale(absolute: Array) -> float:
    """Standard deviation of normal residuals from the median of their absolute values."""
    return float(np.median(absolute) / stats.norm.ppf(0.75))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine's part of a common shift, once pairs have shown it; one entry per hypothesis."""

    shift: Array
    """Taken off the losses."""
    variance: Array
    """Of the shift."""
    explained: Array
    """Variance between sessions that the shift replaces."""


def screen(family: Family, values: Array, factor: Array, machine: Machine | None = None) -> Screened:
    """Compare the candidate's runs with the stored means.

    `SE^2 = run_var x (phi^2 k / n + 1 / (sessions x runs)) + session_var x (1 + 1 / sessions)`; location is the mean,
    or from three runs on the median, whose variance is k times as large.

    Args:
        family: Hypotheses.
        values: By hypothesis and run.
        factor: phi of each hypothesis.
        machine: The machine's part of a common shift.
    """
    nothing = np.zeros(len(values))
    machine = machine or Machine(shift=nothing, variance=nothing, explained=nothing)
    between = np.maximum(family.session_variance - machine.explained, 0.0)
    n = np.sum(~np.isnan(values), axis=1)
    measured = n > 0
    location = np.full(len(values), np.nan)
    few = measured & (n < 3)
    location[few] = np.nansum(values[few], axis=1) / n[few]
    if (n >= 3).any():
        location[n >= 3] = np.nanmedian(values[n >= 3], axis=1)
    stored = 1 / (family.sessions * family.runs_per_session)
    variance = family.run_variance * (factor**2 * inflation(n) / np.maximum(n, 1) + stored)
    variance = variance + between * (1 + 1 / family.sessions) + machine.variance
    loss = family.mean - location - machine.shift
    return Screened(loss=loss, se=np.sqrt(variance), freedom=family.freedom, runs=n)


def passes(family: Family, screened: Screened, terms: Terms) -> NDArray[np.bool_]:
    """True for each loss that is shown to be smaller than its margin."""
    with np.errstate(invalid="ignore"):
        return np.asarray(screened.loss + screened.bound(terms.screen_miss) < family.far)


def cannot_gain(family: Family, screened: Screened, terms: Terms) -> NDArray[np.bool_]:
    """The mirror of `passes`: true for each gain that is shown to be smaller than the margin."""
    with np.errstate(invalid="ignore"):
        return np.asarray(-screened.loss + screened.bound(terms.screen_miss) < family.far)
