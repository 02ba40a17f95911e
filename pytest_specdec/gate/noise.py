"""The noise model: variation of a cell while nothing changes.

It is fitted to the raw runs of a baseline, sessions x runs, where a session is a new start of the server, on another
day if possible. What differs between sessions is mostly larger than what differs within one, so both are kept apart;
and what all cells of a session do together is kept apart from what each does alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
from scipy import stats

from pytest_specdec.domain.metric import Limits
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.gate.presets import BASE_MARGIN, PRESETS
from pytest_specdec.gate.variances import Array, Prior, squeeze
from pytest_specdec.results.decision import Hypothesis

Run = Mapping[str, float]
"""One benchmark run of one cell: logarithm of each metric, turned so that bigger is better."""
Source = Literal["measured", "selftest", "assumed"]

ASSUMED_RUN_SD = 0.015
"""Run to run within a session: root mean square of 0.5 to 3 %, log-uniform ("realistic" in the study, section 5)."""
ASSUMED_SESSION_SD = 0.006
"""Between sessions: 0.5 % that all cells share and 0.3 % of a server start, in quadrature (same source)."""
ASSUMED_COMMON_SD = 0.005
"""Shift that all cells of a session share (same source)."""
ASSUMED_FREEDOM = 4.0
"""Trust in an assumption: that of five runs."""
SMALLEST_SD = 1e-4
"""No noise below 0.01 % is believed: equal values are rounding, not certainty."""
TRIM = 0.25
"""Share of cells left out at either end of the mean over cells: a quarter of them may move on its own."""

_CLIP = 3.0
_SMALL_SAMPLE = 1.08
"""Makes the median absolute deviation of ten normal values unbiased."""


class HypothesisNoise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric of one cell, on the log scale."""

    cell: str
    metric: str
    mean: float
    run_sd: float
    """Within a session, shrunk over the cells."""
    session_sd: float
    """Between sessions beyond what runs explain; what all cells share is in it."""
    freedom: float
    """Degrees of freedom of the two."""
    sessions: int
    runs: int
    runs_per_session: float
    """Harmonic mean."""
    requests: int | None = None
    """Requests per run, the fewest; decides about tails."""
    source: Source = "measured"

    @property
    def single_run_sd(self) -> float:
        """Standard deviation of one run in one session of its own (sigma)."""
        return float(np.hypot(self.run_sd, self.session_sd))


class CommonNoise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric over all cells of the suite."""

    metric: str
    common_sd: float
    """Standard deviation over sessions of the mean over cells (g)."""
    freedom: float
    sessions: int
    run_sd: float
    """Typical run_sd, the prior of a cell that has no repeats."""
    session_sd: float
    source: Source = "measured"


class SuiteNoise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The noise of a suite; stored as JSON by `msgspec.json.encode`."""

    schema: int = 1
    hypotheses: tuple[HypothesisNoise, ...]
    """By cell and metric."""
    common: tuple[CommonNoise, ...]
    """By metric."""

    @property
    def source(self) -> Source:
        """The weakest source of any part."""
        found = {row.source for row in self.hypotheses} | {common.source for common in self.common}
        order: tuple[Source, ...] = ("assumed", "selftest", "measured")
        return next((source for source in order if source in found), "assumed")

    def common_of(self, metric: str) -> CommonNoise | None:
        """Noise of a metric over all cells; None where it is unknown."""
        return next((common for common in self.common if common.metric == metric), None)


Sessions = Mapping[str, Mapping[str, Sequence[Run]]]
"""Runs by cell and session; a session's name is the same for all cells that were measured in it."""


def fit_noise(
    sessions: Sessions,
    *,
    presets: Mapping[str, Limits] = PRESETS,
    prior: SuiteNoise | None = None,
    requests: Mapping[str, int] | None = None,
    source: Literal["measured", "selftest"] = "measured",
) -> SuiteNoise:
    """Fit the noise of all cells together.

    Args:
        sessions: Raw runs; as few as one. What they cannot tell comes from `prior`.
        presets: Metrics to fit; others are left out.
        prior: Noise of a selftest on this runner. Without it, the assumed noise, scaled with the metric's margin.
        requests: Requests per run of each cell, the fewest.
        source: What the runs are.

    Raises:
        InvalidInputError: no runs at all, or a value that is not finite.
    """
    there = {metric for of_cell in sessions.values() for runs in of_cell.values() for run in runs for metric in run}
    fitted = [
        _fit_metric(metric, sessions, _assumed(metric, preset.margin, prior), requests or {}, source)
        for metric, preset in presets.items()
        if metric in there
    ]
    if not fitted:
        raise InvalidInputError("the baseline holds no runs of any gated metric, so nothing can be judged")
    hypotheses = sorted((h for many, _ in fitted for h in many), key=lambda h: (h.cell, h.metric))
    return SuiteNoise(hypotheses=tuple(hypotheses), common=tuple(common for _, common in fitted))


def _assumed(metric: str, margin: float, prior: SuiteNoise | None) -> CommonNoise:
    known = prior.common_of(metric) if prior else None
    if known is not None:
        source: Source = "assumed" if known.source == "assumed" else "selftest"
        return msgspec.structs.replace(known, freedom=max(ASSUMED_FREEDOM, known.freedom), source=source)
    scale = margin / BASE_MARGIN
    return CommonNoise(
        metric=metric,
        common_sd=ASSUMED_COMMON_SD * scale,
        freedom=ASSUMED_FREEDOM,
        sessions=0,
        run_sd=ASSUMED_RUN_SD * scale,
        session_sd=ASSUMED_SESSION_SD * scale,
        source="assumed",
    )


def _fit_metric(
    metric: str, sessions: Sessions, assumed: CommonNoise, requests: Mapping[str, int], source: Source
) -> tuple[list[HypothesisNoise], CommonNoise]:
    cells, values = _table(metric, sessions)
    counts = np.sum(~np.isnan(values), axis=2)
    measured = counts > 0
    n_sessions, n_runs = measured.sum(axis=1), counts.sum(axis=1)
    values = _clipped(values, n_runs)
    means = np.where(measured, np.nansum(values, axis=2) / np.maximum(counts, 1), np.nan)
    within = np.nansum((values - means[:, :, None]) ** 2, axis=(1, 2))
    per_session = n_sessions / np.sum(np.where(measured, 1 / np.maximum(counts, 1), 0.0), axis=1)
    centre = np.nansum(means, axis=1) / n_sessions
    between = np.nansum((means - centre[:, None]) ** 2, axis=1)

    run_freedom, session_freedom = (n_runs - n_sessions).astype(float), (n_sessions - 1).astype(float)
    runs = squeeze(_variance(within, run_freedom), run_freedom, Prior(assumed.run_sd**2, assumed.freedom))
    means_prior = Prior(assumed.session_sd**2 + float(np.mean(runs.variance / per_session)), assumed.freedom)
    spread = squeeze(_variance(between, session_freedom), session_freedom, means_prior)
    run_variance, session_variance = runs.variance, spread.variance - runs.variance / per_session
    if not run_freedom.any() and session_freedom.any():  # only the sum of runs and sessions is known
        share = assumed.run_sd**2 / (assumed.run_sd**2 + assumed.session_sd**2)
        run_variance, session_variance = share * spread.variance, (1 - share) * spread.variance
        freedom = spread.freedom
    else:
        freedom = np.minimum(runs.freedom, spread.freedom)
    run_sd = np.maximum(np.sqrt(run_variance), SMALLEST_SD)
    session_sd = np.sqrt(np.maximum(session_variance, 0.0))
    fitted_source: Source = source if session_freedom.any() else assumed.source
    hypotheses = [
        HypothesisNoise(
            cell=cell,
            metric=metric,
            mean=float(centre[i]),
            run_sd=float(run_sd[i]),
            session_sd=float(session_sd[i]),
            freedom=float(freedom[i]),
            sessions=int(n_sessions[i]),
            runs=int(n_runs[i]),
            runs_per_session=float(per_session[i]),
            requests=requests.get(cell),
            source=fitted_source,
        )
        for i, cell in enumerate(cells)
    ]
    return hypotheses, _fit_common(means - centre[:, None], hypotheses, assumed, source)


def _fit_common(
    deviations: Array, hypotheses: Sequence[HypothesisNoise], assumed: CommonNoise, source: Source
) -> CommonNoise:
    """Fit g to deviations of session means from their cells' means: cells x sessions."""
    enough = np.sum(~np.isnan(deviations), axis=0) * 2 > len(deviations)
    count = int(enough.sum())
    typical = msgspec.structs.replace(
        assumed,
        sessions=count,
        run_sd=float(np.sqrt(np.mean([row.run_sd**2 for row in hypotheses]))),
        session_sd=float(np.sqrt(np.mean([row.session_sd**2 for row in hypotheses]))),
    )
    if count < 2 or len(deviations) < 2:
        return typical
    shifts = [robust_mean(column[~np.isnan(column)]) for column in deviations[:, enough].T]
    common_sd = max(float(np.std(shifts, ddof=1)), SMALLEST_SD)
    return msgspec.structs.replace(typical, common_sd=common_sd, freedom=count - 1.0, source=source)


def robust_mean(values: Array) -> float:
    """Mean of the middle half: the common shift, robust against single cells."""
    return float(stats.trim_mean(np.sort(values), TRIM))


def _table(metric: str, sessions: Sessions) -> tuple[list[str], Array]:
    """Values by cell, session and run, NaN where there is none; only cells that have the metric."""
    cells = sorted(
        cell for cell, of_cell in sessions.items() if any(metric in run for runs in of_cell.values() for run in runs)
    )
    names = sorted({name for cell in cells for name in sessions[cell]})
    most = max((len(runs) for cell in cells for runs in sessions[cell].values()), default=0)
    values = np.full((len(cells), len(names), most), np.nan)
    column = {name: j for j, name in enumerate(names)}
    for i, cell in enumerate(cells):
        for name, runs in sessions[cell].items():
            for k, run in enumerate(runs):
                if metric in run:
                    values[i, column[name], k] = checked(Hypothesis(cell, metric), run[metric])
    return cells, values


def checked(hypothesis: Hypothesis, value: float) -> float:
    """Return a value that can be judged.

    Raises:
        InvalidInputError: not finite. A missing value is left out of the run.
    """
    if not np.isfinite(value):
        raise InvalidInputError(f"{hypothesis} is {value}: a missing value is left out, never written as NaN")
    return value


def _clipped(values: Array, n_runs: Array) -> Array:
    """Pull runs that lie far from their cell's median to three robust standard deviations from it."""
    flat = values.reshape(len(values), -1)
    centre = np.nanmedian(flat, axis=1)
    deviation = np.nanmedian(np.abs(flat - centre[:, None]), axis=1) / stats.norm.ppf(0.75) * _SMALL_SAMPLE
    some = deviation[deviation > 0]
    if not some.size:
        return values
    weight, pool = n_runs / 2, float(stats.gmean(some))
    bound = _CLIP * np.sqrt((weight * deviation**2 + 3 * pool**2) / (weight + 3))
    low, high = centre - bound, centre + bound
    return np.clip(values, low[:, None, None], high[:, None, None])


def _variance(squares: Array, freedom: Array) -> Array:
    return np.where(freedom > 0, squares / np.maximum(freedom, 1), 0.0)
