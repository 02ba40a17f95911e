"""The hypotheses of a suite as columns, in an order that does not depend on the caller's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pytest_specdec.domain.metric import Limits
from pytest_specdec.gate.noise import HypothesisNoise, SuiteNoise
from pytest_specdec.gate.presets import PRESETS
from pytest_specdec.gate.screen_size import inflation, screen_runs
from pytest_specdec.gate.terms import Terms, spent_at
from pytest_specdec.gate.variances import Array
from pytest_specdec.results.decision import Hypothesis, loss_of_log

PAIR_FREEDOM = 8.0
"""Most degrees of freedom that stored noise lends to pairs: another day may have another noise."""
SUSPECT_SHARE = 0.05
"""Share of the hypotheses of a clean suite that are confirmed, for predictions."""
POWER = 0.8
"""Of the minimum detectable effect, as is usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Hypotheses with their stored noise; every array has one entry per hypothesis."""

    hypotheses: tuple[Hypothesis, ...]
    noise: SuiteNoise
    cells: tuple[str, ...]
    metrics: tuple[str, ...]
    metric: NDArray[np.intp]
    """Index into `metrics`."""
    mean: Array
    run_variance: Array
    session_variance: Array
    freedom: Array
    sessions: Array
    runs_per_session: Array
    start_variance: Array
    """Between sessions without what all cells share: what differs between the starts of one job."""
    far: Array
    """Margins, log scale."""
    near: Array
    """Tolerances, log scale."""
    detectable: Array
    """Minimum detectable loss of the last interim analysis; of the screen, where nothing is confirmed."""
    gateable: NDArray[np.bool_]
    advisory: tuple[str, ...]

    @property
    def gated(self) -> NDArray[np.bool_]:
        """False for advisory metrics, which are never red."""
        return np.array([not reason for reason in self.advisory], dtype=bool)

    @property
    def variance(self) -> Array:
        """Of one run in a session of its own (sigma squared)."""
        return self.run_variance + self.session_variance

    @property
    def pair_variance(self) -> Array:
        """Of the difference of two runs of one job, each on a start of its own: what the job shares cancels."""
        return 2 * (self.run_variance + self.start_variance)

    @property
    def baseline_variance(self) -> Array:
        """Of the stored mean."""
        return (self.session_variance + self.run_variance / self.runs_per_session) / self.sessions

    def of_cell(self, cell: str) -> list[int]:
        """Indices of a cell's hypotheses."""
        return [i for i, hypothesis in enumerate(self.hypotheses) if hypothesis.cell == cell]


def family_of(noise: SuiteNoise, terms: Terms, presets: Mapping[str, Limits] = PRESETS) -> Family:
    """Lay out the hypotheses of a suite, by cell and metric."""
    rows = sorted((row for row in noise.hypotheses if row.metric in presets), key=lambda row: (row.cell, row.metric))
    metrics = tuple(sorted({row.metric for row in rows}))
    limits = [presets[row.metric] for row in rows]

    def column(values: list[float]) -> Array:
        return np.array(values, dtype=float)

    detectable = column(
        [
            detectable_loss(noise, row, preset, terms) if terms.confirms else screen_detectable_loss(row, preset, terms)
            for row, preset in zip(rows, limits, strict=True)
        ]
    )
    return Family(
        hypotheses=tuple(Hypothesis(row.cell, row.metric) for row in rows),
        noise=noise,
        cells=tuple(sorted({row.cell for row in rows})),
        metrics=metrics,
        metric=np.array([metrics.index(row.metric) for row in rows], dtype=np.intp),
        mean=column([row.mean for row in rows]),
        run_variance=column([row.run_sd**2 for row in rows]),
        session_variance=column([row.session_sd**2 for row in rows]),
        freedom=column([row.freedom for row in rows]),
        sessions=column([row.sessions for row in rows]),
        runs_per_session=column([row.runs_per_session for row in rows]),
        start_variance=column([_start_variance(noise, row) for row in rows]),
        far=column([preset.far for preset in limits]),
        near=column([preset.near for preset in limits]),
        detectable=detectable,
        gateable=detectable <= [preset.margin for preset in limits],
        advisory=tuple(_advisory(row, preset) for row, preset in zip(rows, limits, strict=True)),
    )


def detectable_loss(noise: SuiteNoise, row: HypothesisNoise, preset: Limits, terms: Terms) -> float:
    """Minimum detectable loss of the confirmation: that of its last interim analysis.

    A hypothesis is gateable when this does not exceed its margin.
    """
    variance = 2 * (row.run_sd**2 + _start_variance(noise, row))
    return loss_of_log(detectable_logs(terms, len(noise.hypotheses), preset.near, variance, row.freedom)[-1])


def detectable_logs(terms: Terms, hypotheses: int, near: float, variance: float, freedom: float) -> list[float]:
    """Minimum detectable loss (log scale) of each interim analysis of the pairs, at 80 % power.

    `delta0 + (t_alpha + t_power) x sqrt(pair variance / pairs)`, with the alpha of that interim analysis when 5 % of
    the hypotheses are suspects.
    """
    interims = terms.pair_interims(hypotheses)
    suspects = max(1, round(SUSPECT_SHARE * hypotheses))
    found = []
    for number, pairs in enumerate(interims):
        level = terms.alpha * terms.confirm_share / suspects * spent_at(interims, number)
        degrees = min(freedom, PAIR_FREEDOM) + pairs - 1
        quantiles = float(special.stdtrit(degrees, 1 - level) + special.stdtrit(degrees, POWER))
        found.append(near + quantiles * float(np.sqrt(variance / pairs)))
    return found


def screen_detectable_loss(row: HypothesisNoise, preset: Limits, terms: Terms) -> float:
    """Minimum detectable loss of the screen: the smallest margin that four of five clean suites clear."""
    runs = screen_runs(np.array([row.run_sd**2]), np.array([preset.far]))
    share = float((inflation(runs) / runs)[0]) + 1 / (row.sessions * row.runs_per_session)
    variance = row.run_sd**2 * share + row.session_sd**2 * (1 + 1 / row.sessions)
    quantiles = float(special.stdtrit(row.freedom, 1 - terms.screen_miss) + special.stdtrit(row.freedom, POWER))
    return loss_of_log(quantiles * float(np.sqrt(variance)))


def _start_variance(noise: SuiteNoise, row: HypothesisNoise) -> float:
    common = noise.common_of(row.metric)
    return max(row.session_sd**2 - (common.common_sd**2 if common else 0.0), 0.0)


def _advisory(noise: HypothesisNoise, preset: Limits) -> str:
    if not preset.min_requests or (noise.requests is not None and noise.requests >= preset.min_requests):
        return ""
    known = "an unknown number of" if noise.requests is None else f"{noise.requests:,}"
    return f"{known} requests per run; this percentile needs {preset.min_requests:,}"
