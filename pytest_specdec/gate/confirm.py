"""Confirmation: questions about suspects, settled by interim analyses of fresh pairs, else of fresh starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special, stats

from pytest_specdec.gate.dialogue import Block
from pytest_specdec.gate.family import PAIR_FREEDOM, Family
from pytest_specdec.gate.interim import Interim, interim_of
from pytest_specdec.gate.noise import Run, checked
from pytest_specdec.gate.screen import normal_scale
from pytest_specdec.gate.terms import Terms
from pytest_specdec.gate.variances import Array
from pytest_specdec.results.decision import Hypothesis

_LEAST_SHARE = 0.1
"""Relative weight of a suspect without evidence in the screen: it is one only for its noise."""
ENOUGH_DIFFERENCES = 18
"""Differences of the first interim analysis from which the job's noise is estimated again."""
OUTLIER = 0.105
"""One run in a hundred is 10 % slow for no reason (log scale): a loss that one outlier explains is not proven."""
ENOUGH_RUNS = 3
"""Runs whose median one slow run does not move."""


@dataclass(slots=True, kw_only=True)
class Question:
    """An open test of one hypothesis: a loss (sign 1) or a gain (sign -1) beyond the tolerance."""

    row: int
    sign: int
    share: float
    """Of the confirmation's alpha."""
    state: Literal["open", "proven", "cleared"] = "open"
    p_adjusted: float = 1.0

    @property
    def open(self) -> bool:
        """True until an interim analysis settles it."""
        return self.state == "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Error rates of one interim analysis for one question."""

    proven: float
    cleared: float
    adjust: float
    """Factor from a p-value of this interim analysis to one of the suite."""


def evidence_shares(loss: Array, se: Array, far: Array) -> Array:
    """Split alpha over suspects by the evidence of the screen; the shares sum to 1.

    Weight: likelihood of the margin over that of the margin and of nothing, at least a tenth. The screen's data are not
    those of the pairs, so the weights are fixed before the pairs are measured and the union bound holds (weighted
    Bonferroni; Genovese, Roeder and Wasserman 2006, doi:10.1093/biomet/93.3.509).
    """
    pointed = special.expit(stats.norm.logpdf((loss - far) / se) - stats.norm.logpdf(loss / se))
    weight = np.maximum(pointed, _LEAST_SHARE)
    return np.asarray(weight / weight.sum()) if weight.size else weight


def levels(terms: Terms, share: float, spent: float) -> Levels:
    """Error rates of an interim analysis; the union bound over interim analyses needs no independence."""
    proven = terms.alpha * terms.confirm_share * share * spent
    return Levels(proven=proven, cleared=terms.confirm_miss * spent, adjust=terms.alpha / proven)


def settle(question: Question, interim: Interim, at: int, limits: tuple[float, float], level: Levels) -> None:
    """Settle a question if this interim analysis does.

    Args:
        question: Open.
        interim: Of all hypotheses of this analysis.
        at: The question's place in it.
        limits: Beyond the first the loss is proven, below the second it is cleared (log scale).
        level: Error rates of the interim analysis.
    """
    if np.isnan(interim.loss[at]):
        return
    proven, cleared = (np.full_like(interim.loss, limit) for limit in limits)
    p_proven = float(interim.beyond(proven, question.sign)[at])
    question.p_adjusted = min(question.p_adjusted, p_proven * level.adjust)
    if p_proven < level.proven:
        question.state = "proven"
    elif float(interim.below(cleared, question.sign)[at]) < level.cleared:
        question.state = "cleared"


def differences(hypothesis: Hypothesis, blocks: Iterable[Block]) -> list[float]:
    """Reference - candidate of each pair of the blocks; NaN where a side is missing."""
    return [
        _value(old, hypothesis) - _value(new, hypothesis)
        for block in blocks
        for old, new in zip(block.old, block.new, strict=True)
    ]


def session_values(hypothesis: Hypothesis, runs: Iterable[Run]) -> list[float]:
    """Values of the candidate on its fresh starts; a missing one is left out."""
    return [checked(hypothesis, run[hypothesis.metric]) for run in runs if hypothesis.metric in run]


def interim_of_rows(family: Family, rows: list[int], data: Sequence[Sequence[float]], factor: Array) -> Interim:
    """Interim at what the pairs of these hypotheses show together with the stored noise."""
    freedom = np.minimum(family.freedom[rows], PAIR_FREEDOM)
    return interim_of(padded(data), family.pair_variance[rows] * factor[rows] ** 2, freedom)


def with_one_start(interim: Interim, family: Family, rows: list[int]) -> Interim:
    """The same without restarts of either server: twice the variance of a start stays, for any number of pairs."""
    starts = 2 * family.start_variance[rows]
    freedom = np.minimum(interim.freedom, family.freedom[rows])
    return replace(interim, se=np.sqrt(interim.se**2 + starts), freedom=freedom)


def interim_of_sessions(
    family: Family, rows: Sequence[int], values: Sequence[Sequence[float]], factor: Array
) -> Interim:
    """Judge the candidate's fresh starts against the stored means, where there is no reference engine.

    What its sessions have in common with each other but not with the baseline's, the day, does not average out however
    many there are: the variance between sessions is counted once in full beside the mean's own. The machine may have
    changed since the baseline, which these data cannot show, so a FAIL needs a loss beyond the margin.

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
    return replace(fresh, se=np.sqrt(fresh.se**2 + stored), freedom=freedom)


def padded(data: Sequence[Sequence[float]]) -> Array:
    """Rows of unequal length as a table, NaN where there is nothing."""
    table = np.full((len(data), max((len(row) for row in data), default=1) or 1), np.nan)
    for i, row in enumerate(data):
        table[i, : len(row)] = row
    return table


def pair_factor(data: Array, variance: Array) -> float:
    """Noise of the pairs over the stored noise (another phi); 1 for too few differences.

    Args:
        data: Differences of the first interim analysis, by hypothesis.
        variance: Of one difference, by the stored noise alone.
    """
    count = np.sum(~np.isnan(data), axis=1)
    usable = count >= 2
    if count[usable].sum() < ENOUGH_DIFFERENCES:
        return 1.0
    some, n = data[usable], count[usable]
    residual = np.abs(some - np.nanmean(some, axis=1)[:, None]) * np.sqrt(n / (n - 1))[:, None]
    scaled = residual / np.sqrt(variance[usable])[:, None]
    return max(1.0, normal_scale(scaled[~np.isnan(scaled)]))


def _value(run: Run, hypothesis: Hypothesis) -> float:
    return checked(hypothesis, run[hypothesis.metric]) if hypothesis.metric in run else float("nan")
