"""Exact tests of an event that may be more frequent with speculation than without, on the same prompts.

Every prompt is answered in both modes, so prompts on which both or neither show the thing say nothing of a difference:
what counts is on how many only the candidate shows it, and on how many only the control.

- **No tolerance**: McNemar's exact test. If nothing has changed, each of these prompts falls to either side with equal
  chance, however much the prompts differ among themselves; Fisher's test would treat the two samples as independent,
  and lose power because they are not.
- **A tolerance**: no such conditioning is possible, for the chance of a side depends on how many prompts there are of
  both. The p-value is the largest over all values of the unknown rate (an unconditional exact test), outcomes being
  ordered by Tango's score.
- **Rare things** that a healthy engine hardly ever shows: "none in the control" says too little of a rate for the tests
  above (seven findings against none would be needed at 1 %), so what was seen of healthy answers before is stated, and
  the p-value is predictive.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

POWER = 0.8
"""Power at the minimum detectable difference."""

_RATES = 49
_STEPS = 20
_EPSILON = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Counts of prompts by the modes in which an event happened."""

    prompts: int
    only_candidate: int
    only_control: int
    both: int = 0

    @classmethod
    def count(cls, pairs: Iterable[tuple[bool, bool]]) -> Paired:
        """Count pairs of (happened with the candidate, happened with the control), one per prompt."""
        found = list(pairs)
        return cls(
            prompts=len(found),
            only_candidate=found.count((True, False)),
            only_control=found.count((False, True)),
            both=found.count((True, True)),
        )

    @property
    def candidate(self) -> int:
        """Prompts on which it happened with the candidate."""
        return self.both + self.only_candidate

    @property
    def control(self) -> int:
        """Prompts on which it happened with the control."""
        return self.both + self.only_control

    def p_value(self, tolerance: float = 0.0) -> float:
        """Chance of so much more if the candidate's share exceeds the control's by no more than `tolerance`."""
        if not self.prompts:
            return 1.0
        return float(_p_values(self.prompts, tolerance)[self.only_candidate, self.only_control])

    def smallest_visible(self, alpha: float, tolerance: float = 0.0) -> float | None:
        """Smallest excess of the candidate's share that so many prompts show with the probability POWER.

        The prompts that only the control shows are taken as frequent as they were here. None: no excess would do.
        """
        noise = (self.only_control + 0.5) / (self.prompts + 1) if self.only_control else 0.0
        return _smallest_visible(self.prompts, alpha, tolerance, noise)


@dataclass(frozen=True, slots=True)
class Background:
    """Rate of a rare finding in healthy answers: `found` in `seen`; half a finding where there was none."""

    found: float
    seen: float

    def p_value(self, counted: Paired) -> float:
        """Chance of so many findings in a healthy candidate.

        A control that shows the thing itself contradicts what was known: it alone is the measure then.
        """
        if not counted.candidate:
            return 1.0
        if counted.control:
            return counted.p_value()
        return self._chance(counted.candidate, counted.prompts)

    def smallest_visible(self, prompts: int, alpha: float) -> float | None:
        """Smallest share of answers with findings that so many prompts show with the probability POWER."""
        needed = next((found for found in range(1, prompts + 1) if self._chance(found, prompts) <= alpha), None)
        # P(at least `needed` of n) at rate r is the incomplete beta function of r, so its inverse is the rate.
        return None if needed is None else float(special.betaincinv(needed, prompts - needed + 1, POWER))

    def _chance(self, found: int, prompts: int) -> float:
        # The healthy control answers count as seen.
        return float(stats.betabinom.sf(found - 1, prompts, self.found, self.seen - self.found + prompts))


@lru_cache(maxsize=32)
def _smallest_visible(prompts: int, alpha: float, tolerance: float, noise: float) -> float | None:
    if not prompts:
        return None
    rejected = _p_values(prompts, tolerance) <= alpha
    largest = 1.0 - 2 * noise
    if largest <= tolerance or _power(rejected, largest, noise) < POWER:
        return None
    low, high = tolerance, largest
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _power(rejected, middle, noise) >= POWER else (middle, high)
    return high


def _power(rejected: NDArray[np.bool_], excess: float, noise: float) -> float:
    return float(_probabilities(len(rejected) - 1, noise + excess, noise)[rejected].sum())


@lru_cache(maxsize=16)
def _p_values(prompts: int, tolerance: float) -> NDArray[np.float64]:
    """P-value of every outcome, shape (prompts + 1, prompts + 1): only the candidate, only the control."""
    candidate, control = np.indices((prompts + 1, prompts + 1))
    if tolerance <= 0:
        return np.asarray(stats.binom.sf(candidate - 1, candidate + control, 0.5))
    possible = candidate + control <= prompts
    score = np.where(possible, _score(prompts, tolerance), -np.inf)
    order = np.argsort(-score, axis=None, kind="stable")
    ranked = score.ravel()[order]
    # Equal scores are one outcome: the tail goes to the last of them.
    last = np.searchsorted(-ranked, -ranked + _EPSILON, side="right") - 1
    worst = np.zeros(len(order))
    # Denser where rates are small, which is where the control usually is.
    for rate in (1 - tolerance) / 2 * np.linspace(0.0, 1.0, _RATES) ** 2:
        tail = np.cumsum(_probabilities(prompts, tolerance + rate, rate).ravel()[order])
        worst = np.maximum(worst, tail[last])
    result = np.ones(len(order))
    result[order] = np.minimum(worst, 1.0)
    return np.where(possible, result.reshape(score.shape), 1.0)


def _score(n: int, tolerance: float) -> NDArray[np.float64]:
    """Tango's (1998) score of an excess over the tolerance."""
    candidate, control = np.indices((n + 1, n + 1))
    linear = -candidate - control + (2 * n - candidate + control) * tolerance
    root = np.sqrt(np.maximum(linear**2 + 8 * n * control * tolerance * (1 - tolerance), 0.0))
    rate = (root - linear) / (4 * n)
    spread = np.sqrt(n * (2 * rate + tolerance * (1 - tolerance)))
    return np.asarray((candidate - control - n * tolerance) / spread)


def _probabilities(n: int, candidate: float, control: float) -> NDArray[np.float64]:
    """Trinomial probability of every outcome; zero where it is impossible."""
    i, j = np.indices((n + 1, n + 1))
    rest = n - i - j
    possible = rest >= 0
    rest = np.maximum(rest, 0)
    neither = max(1.0 - candidate - control, 0.0)
    logs = math.lgamma(n + 1) - special.gammaln(i + 1) - special.gammaln(j + 1) - special.gammaln(rest + 1)
    logs += special.xlogy(i, candidate) + special.xlogy(j, control) + special.xlogy(rest, neither)
    return np.where(possible, np.exp(logs), 0.0)
