"""Which concurrency to measure next, and how surely, so that a value read at an interactivity is sure enough.

A level lies between two neighbouring whole concurrencies. In a closed loop, throughput at a given interactivity is
proportional to the concurrency c* that has this interactivity, and interactivity falls as c^-a. So a relative error of
interactivity is 1/a as large in c*, and in the throughput that is read there. Where the neighbours weigh w and 1 - w, the
reading is sure to

    hypot(w h_low, (1 - w) h_high) / a

with h the relative half-widths of the two. Time is spent best where it does most: h in proportion to 1/sqrt(w).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_specdec.estimate import Estimate
from pytest_specdec.estimators.window import StopRule

_LOOK_S = 1.5
_LOOK_PRECISION = 0.05
_FAR = 2.0
"""A level is looked for until it lies between two known concurrencies that differ by no more than this factor."""
_APART = 1.3
"""Concurrencies that differ by this factor tell how steeply interactivity falls; neighbours' noise would not."""
_STEEPNESS = (0.2, 1.0)
"""Range of a: an engine that shares one budget among its streams has 1."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelReading:
    """How surely a level is read between its two neighbours."""

    low: int
    """The neighbour of higher interactivity; the other one is `low` + 1."""
    precision: float | None
    """Relative half-width of the throughput that is read; None where that of a neighbour is unknown."""


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
    aim = precision * _steepness(known, low)
    other = measured.get(2 * low + 1 - first)
    best = aim / math.sqrt(max(weights[first], 1e-6))
    if other is not None and other.relative is not None:
        # What the other neighbour left of the allowance.
        left = aim**2 - ((1 - weights[first]) * other.relative) ** 2
        best = max(math.sqrt(max(left, 0.0)) / max(weights[first], 1e-6), 0.7 * best)
    return Wanted(concurrency=first, precision=min(best, _LOOSEST * precision))


def level_reading(
    measured: Mapping[int, Estimate], looked: Mapping[int, float], level: float
) -> LevelReading | None:
    """How surely a level is read; None where it does not lie between two measured neighbours."""
    low = max((c for c, found in measured.items() if found.value >= level), default=0)
    if low not in measured or low + 1 not in measured:
        return None
    above, below = measured[low], measured[low + 1]
    share = (above.value - level) / (above.value - below.value)
    if above.relative is None or below.relative is None:
        return LevelReading(low=low, precision=None)
    known = {**looked, **{c: estimate.value for c, estimate in measured.items()}}
    error = math.hypot((1 - share) * above.relative, share * below.relative)
    return LevelReading(low=low, precision=error / _steepness(known, low))


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
