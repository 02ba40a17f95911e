"""Confirmation: questions about suspects, and how looks at fresh pairs settle them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special, stats

from pytest_specdec.gate.dialogue import Block
from pytest_specdec.gate.family import PAIR_FREEDOM, Family
from pytest_specdec.gate.look import Look, look_at
from pytest_specdec.gate.noise import Run, checked
from pytest_specdec.gate.screen import normal_scale
from pytest_specdec.gate.terms import Terms
from pytest_specdec.gate.variances import Array
from pytest_specdec.results.decision import Hypothesis

_LEAST_SHARE = 0.1
"""Relative weight of a suspect that the screen does not point at: it is there because it is noisy."""
ENOUGH_DIFFERENCES = 18
"""First-look differences from which the job's noise is judged once more."""


@dataclass(slots=True, kw_only=True)
class Question:
    """Has this hypothesis lost (sign 1) or gained (sign -1) more than the tolerance?"""

    row: int
    sign: int
    share: float
    """Of the confirmation's alpha."""
    state: Literal["open", "proven", "cleared"] = "open"
    p_adjusted: float = 1.0

    @property
    def open(self) -> bool:
        """Whether it is still to be settled."""
        return self.state == "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What one look may spend on one question."""

    proven: float
    cleared: float
    adjust: float
    """Factor from a p-value of this look to one of the suite."""


def evidence_shares(loss: Array, se: Array, far: Array) -> Array:
    """Split alpha over suspects by how much the screen points at each; the shares sum to 1.

    Weight: likelihood of the margin over that of the margin and of nothing, at least a tenth. The screen's data are not
    those of the pairs, so the weights are fixed before the pairs are measured and the union bound holds (weighted
    Bonferroni; Genovese, Roeder and Wasserman 2006, doi:10.1093/biomet/93.3.509).
    """
    pointed = special.expit(stats.norm.logpdf((loss - far) / se) - stats.norm.logpdf(loss / se))
    weight = np.maximum(pointed, _LEAST_SHARE)
    return np.asarray(weight / weight.sum()) if weight.size else weight


def levels(terms: Terms, share: float, spent: float) -> Levels:
    """What a look may spend of a question's share of alpha; the union bound over looks needs no independence."""
    proven = terms.alpha * terms.confirm_share * share * spent
    return Levels(proven=proven, cleared=terms.confirm_miss * spent, adjust=terms.alpha / proven)


def settle(question: Question, look: Look, at: int, limits: tuple[float, float], level: Levels) -> None:
    """Settle a question if this look does.

    Args:
        question: Open.
        look: Of all hypotheses that were looked at.
        at: The question's place in it.
        limits: Beyond the first the loss is proven, below the second it is cleared (log scale).
        level: What the look may spend.
    """
    if np.isnan(look.loss[at]):
        return
    proven, cleared = (np.full_like(look.loss, limit) for limit in limits)
    p_proven = float(look.beyond(proven, question.sign)[at])
    question.p_adjusted = min(question.p_adjusted, p_proven * level.adjust)
    if p_proven < level.proven:
        question.state = "proven"
    elif float(look.below(cleared, question.sign)[at]) < level.cleared:
        question.state = "cleared"


def differences(hypothesis: Hypothesis, blocks: Iterable[Block]) -> list[float]:
    """Old - new of each pair of the blocks; NaN where a side is missing."""
    return [
        _value(old, hypothesis) - _value(new, hypothesis)
        for block in blocks
        for old, new in zip(block.old, block.new, strict=True)
    ]


def look_at_rows(family: Family, rows: list[int], data: Sequence[Sequence[float]], factor: Array) -> Look:
    """Look at what the pairs of these hypotheses show together with the stored noise."""
    freedom = np.minimum(family.freedom[rows], PAIR_FREEDOM)
    return look_at(padded(data), family.pair_variance[rows] * factor[rows] ** 2, freedom)


def with_one_start(look: Look, family: Family, rows: list[int]) -> Look:
    """The same look where neither server was restarted: twice the variance of a start stays, however many pairs."""
    starts = 2 * family.start_variance[rows]
    freedom = np.minimum(look.freedom, family.freedom[rows])
    return Look(loss=look.loss, se=np.sqrt(look.se**2 + starts), freedom=freedom, count=look.count)


def padded(data: Sequence[Sequence[float]]) -> Array:
    """Rows of unequal length as a table, NaN where there is nothing."""
    table = np.full((len(data), max((len(row) for row in data), default=1) or 1), np.nan)
    for i, row in enumerate(data):
        table[i, : len(row)] = row
    return table


def pair_factor(data: Array, variance: Array) -> float:
    """Noise of the pairs over the stored noise (another phi), 1 where too few tell.

    Args:
        data: First-look differences by hypothesis.
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
