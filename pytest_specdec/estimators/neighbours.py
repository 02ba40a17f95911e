"""Which concurrency to measure next, and how surely, so that a value read at an interactivity is sure enough.

A level lies between two neighbouring whole concurrencies, and near it interactivity falls as c^-a. On the way from one
concurrency to the next, throughput therefore changes by (1/a - 1) of what interactivity changes, the other way. A window
that was lucky by s shows both too high by s: the reading is off by s + (1/a - 1) s = s/a. What throughput t and
interactivity i err by on their own adds (t^2 - s^2) and (1/a - 1)^2 (i^2 - s^2) to the square, with s = min(t, i). Neighbours
that weigh w and 1 - w are independent windows: their parts add in quadrature, with the degrees of freedom of both (Welch
1947). Time is spent best where it does most: on a neighbour in proportion to its weight.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scipy import stats

from pytest_specdec.curve import Point
from pytest_specdec.estimate import Estimate
from pytest_specdec.estimators.steady import CONFIDENCE, WAVES
from pytest_specdec.estimators.window import StopRule

_LOOK_S = 1.5
_LOOK_PRECISION = 0.05
_FAR = 2.0
"""A level is looked for until it lies between two known concurrencies that differ by no more than this factor."""
_STRICTEST = 0.7
"""A lucky or unlucky first neighbour changes the second one's allowance no further than by this factor."""
_APART = 1.3
"""Concurrencies that differ by this factor tell how steeply interactivity falls; neighbours' noise would not."""
_STEEPNESS = (0.2, 1.0)
"""Range of a: an engine that shares one budget among its streams has 1."""
_SURER = 0.7
"""Output throughput is surer than the median TPOT by about this factor, when the window ends."""
_LOOSEST = 2.0
"""A neighbour is measured to so many times the precision at most, that it still is a neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A concurrency to measure."""

    concurrency: int
    precision: float | None
    """Relative half-width of throughput and TPOT; None for a short look that only tells where a level lies."""

    def rule(self, rule: StopRule) -> StopRule:
        """How long to measure it, where a point of the plan is measured by `rule`."""
        if rule.floor_s == rule.ceiling_s:
            return rule
        if self.precision is None:
            return dataclasses.replace(rule, floor_s=min(_LOOK_S, rule.floor_s), precision=_LOOK_PRECISION)
        # Two are read together: half of the floor for each.
        return dataclasses.replace(rule, floor_s=rule.floor_s / 2, precision=self.precision)


def next_wanted(
    measured: Mapping[int, Estimate], looked: Mapping[int, float], level: float, *, precision: float, most: int
) -> Wanted | None:
    """What to measure next for a level (tok/s/user); None when both neighbours are measured or it is out of reach.

    `measured` and `looked` have interactivities by concurrency: of points that count, and of short looks.
    """
    known = {**looked, **{c: estimate.value for c, estimate in measured.items()}}
    concurrency = next_concurrency(known, level, most=most)
    if concurrency is not None and not _near(known, level):
        return Wanted(concurrency=concurrency, precision=None)
    star = _crossing(known, level)
    if star is None:
        return None
    low = math.floor(star) if concurrency is None else concurrency
    share = min(max(star - low, 0.0), 1.0)
    weights = {low: 1 - share, low + 1: share}
    missing = [c for c in weights if c not in measured]
    if not missing:
        return None if concurrency is None else Wanted(concurrency=concurrency, precision=precision)
    # The nearer one first: it tells most of where the level lies.
    first = concurrency if concurrency is not None else max(missing, key=lambda c: weights[c])
    steepness, weight = _steepness(known, low), max(weights[first], 1e-6)
    # What a half-width of 1 in interactivity does to the reading, with two neighbours' degrees of freedom.
    effect = _effect(_SURER, 1.0, steepness) * _quantile(2 * (WAVES - 1)) / _quantile(WAVES - 1)
    share_of_time = precision / effect / math.sqrt(weight)
    other = measured.get(2 * low + 1 - first)
    if other is not None and other.relative is not None:
        left = (precision / effect) ** 2 - ((1 - weight) * other.relative) ** 2
        share_of_time = max(math.sqrt(max(left, 0.0)) / weight, _STRICTEST * share_of_time)
    return Wanted(concurrency=first, precision=min(share_of_time, _LOOSEST * precision))


def reading_precision(points: Iterable[Point], looked: Mapping[int, float], level: float) -> float | None:
    """Relative half-width of the throughput at a level; None where it is not between two measured neighbours."""
    measured = {point.concurrency: point for point in points}
    low = max((c for c, point in measured.items() if point.interactivity.value >= level), default=0)
    if low not in measured or low + 1 not in measured:
        return None
    above, below = measured[low], measured[low + 1]
    share = (above.interactivity.value - level) / (above.interactivity.value - below.interactivity.value)
    steepness = _steepness({**looked, **{c: p.interactivity.value for c, p in measured.items()}}, low)
    parts = []
    for weight, point in ((1 - share, above), (share, below)):
        throughput, interactivity = point.throughput.relative, point.interactivity.relative
        if throughput is None or interactivity is None:
            return None
        parts.append((weight * _effect(throughput, interactivity, steepness)) ** 2)
    whole = sum(parts)
    if not whole:
        return 0.0
    degrees = (WAVES - 1) * whole**2 / sum(part**2 for part in parts)
    return math.sqrt(whole) * _quantile(degrees) / _quantile(WAVES - 1)


def _effect(throughput: float, interactivity: float, steepness: float) -> float:
    """Relative half-width of a reading by those of one point."""
    shared, along = min(throughput, interactivity), 1 / steepness - 1
    return math.hypot(
        shared / steepness,
        math.sqrt(throughput**2 - shared**2),
        along * math.sqrt(interactivity**2 - shared**2),
    )


def _quantile(degrees: float) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees))


def next_concurrency(interactivities: Mapping[int, float], target: float, *, most: int) -> int | None:
    """The concurrency that tells most of where `target` (tok/s/user) lies; None when nothing is left to find out.

    `interactivities` has what was measured, by concurrency. Interactivity falls as concurrency rises, as
    c^-a between two measured points; a target outside of what was measured is looked for by doubling and halving,
    between 1 and `most`.
    """
    fast = [c for c, value in interactivities.items() if value >= target]
    low = max(fast, default=0)
    slow = [c for c in interactivities if c > low]
    if not interactivities:
        return 1
    if not fast:
        fewest = min(interactivities)
        return None if fewest == 1 else fewest // 2
    if not slow:
        return None if low >= most else min(2 * low, most)
    high = min(slow)
    if high == low + 1:
        return None
    guess = math.floor(_between(interactivities, low, high, target))
    return min(max(guess, low + 1), high - 1)


def _bracket(known: Mapping[int, float], level: float) -> tuple[int, int] | None:
    """The slowest known concurrency that reaches the level, and the next one after it."""
    low = max((c for c, value in known.items() if value >= level), default=0)
    slow = [c for c in known if c > low]
    return (low, min(slow)) if low and slow else None


def _near(known: Mapping[int, float], level: float) -> bool:
    found = _bracket(known, level)
    return found is not None and found[1] <= _FAR * found[0]


def _crossing(known: Mapping[int, float], level: float) -> float | None:
    """Where between two whole concurrencies the level lies."""
    found = _bracket(known, level)
    return None if found is None else _between(known, *found, level)


def _between(known: Mapping[int, float], low: int, high: int, level: float) -> float:
    """Where the power law through two known points has the level; the geometric middle where it does not fall."""
    ratio = known[low] / known[high]
    share = math.log(known[low] / level) / math.log(ratio) if ratio > 1 else 0.5
    return math.exp(math.log(low) + share * math.log(high / low))


def _steepness(known: Mapping[int, float], low: int) -> float:
    """The exponent a around a concurrency, from known ones that lie far enough apart."""
    below = max((c for c in known if c * _APART <= low + 1), default=min(known))
    above = min((c for c in known if c >= low * _APART), default=max(known))
    least, most = _STEEPNESS
    if above <= below or known[above] >= known[below]:
        return least
    return min(max(math.log(known[below] / known[above]) / math.log(above / below), least), most)
