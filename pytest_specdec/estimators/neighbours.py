"""The concurrency to measure next, and its precision, so that a reading at an interactivity is precise enough.

A level lies between two neighbouring whole concurrencies, and near it interactivity falls as c^-a. From one of them to
the next, throughput then rises by 1/a - 1 of what interactivity falls. A window that was lucky by s shows both too high
by s, and the reading is off by s + (1/a - 1) s = s/a. What throughput t and interactivity i err by on their own adds
t^2 - s^2 and (1/a - 1)^2 (i^2 - s^2) to the square, with s = min(t, i). Neighbours that weigh w and 1 - w are
independent windows: their parts add in quadrature, with the degrees of freedom of both (Welch, Biometrika 34, 1947).
Time is spent best where it does most: on each neighbour in proportion to its weight.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_specdec.domain.curve import Curve, Point
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import NotMeasuredError
from pytest_specdec.estimators.steady import WAVES, t_quantile
from pytest_specdec.estimators.window import Aim, StopRule

_PROBE_S = 1.5
"""Long enough to measure interactivity to a few percent."""
_FAR = 2.0
"""A level is searched for until it lies between two known concurrencies that differ by no more than this factor."""
_STRICTEST = 0.6
"""A second neighbour makes good the bad luck of the first one, down to this share of its own allowance."""
_APART = 1.3
"""Concurrencies that differ by this factor show the steepness of interactivity beyond the noise of neighbours."""
_STEEPNESS = (0.2, 1.0)
"""Range of a: an engine that shares one budget among its streams has 1."""
_SURER = 0.7
"""Half-width of output throughput over that of the median TPOT when the window ends, about."""
_AIM = 0.9
"""Neighbours are measured to a little less than what is asked: where the level lies is only known afterwards."""
_LOOSEST = 1.5
"""A neighbour is measured to so many times the precision at most, that it still is a neighbour."""
_STILL_A_KNOT = 2.0
"""A reading may rest on the other neighbour alone; this one is measured to so many times the precision all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A concurrency to measure."""

    concurrency: int
    precision: float | None
    """Relative half-width of throughput and TPOT; None for a probe that only locates a level."""
    aim: Aim | None = None
    """The reading, where the other neighbour is measured: once it is precise enough, this point is finished."""

    def rule(self, rule: StopRule) -> StopRule:
        """Stopping rule for it, where a point of the plan is measured by `rule`."""
        if self.precision is None or rule.floor_s == rule.ceiling_s:
            return rule
        # Two are read together: half of the floor for each.
        return dataclasses.replace(rule, floor_s=rule.floor_s / 2, precision=self.precision, aim=self.aim)


def probe_s(rule: StopRule) -> float:
    """Seconds of a probe."""
    return min(_PROBE_S, rule.floor_s)


def next_wanted(
    points: Iterable[Point], probed: Mapping[int, float], level: float, *, precision: float, most: int
) -> Wanted | None:
    """Next concurrency to measure for a level (tok/s/user); None: both neighbours are measured, or it is out of reach.

    `probed` has rough interactivities by concurrency, from probes.
    """
    measured = {point.concurrency: point for point in points}
    known = {**probed, **{c: point.interactivity.value for c, point in measured.items()}}
    concurrency = next_concurrency(known, level, most=most)
    fast, slow = _around(known, level)
    if concurrency is not None and (slow is None or slow > _FAR * fast):
        return Wanted(concurrency=concurrency, precision=None)
    if not fast or slow is None:
        return None
    crossing = _between(known, fast, slow, level)
    low = min(max(math.floor(crossing), fast), slow - 1)
    share = min(max(crossing - low, 0.0), 1.0)
    weights = {low: 1 - share, low + 1: share}
    missing = [c for c in weights if c not in measured]
    if not missing:
        # By bad luck the slower one may seem to be beaten by the faster one, and is then no knot of a curve.
        beaten = measured[low + 1].throughput.value <= measured[low].throughput.value
        further = beaten and low + 2 <= most and low + 2 not in measured
        return Wanted(concurrency=low + 2, precision=precision) if further else None
    # The nearer one first: it locates the level best.
    first = max(missing, key=lambda c: weights[c])
    steepness, weight = _steepness(known, low), max(weights[first], 1e-6)
    # What a half-width of 1 in interactivity does to the reading, with two neighbours' degrees of freedom.
    effect = _effect(_SURER, 1.0, steepness) * t_quantile(2 * (WAVES - 1)) / t_quantile(WAVES - 1) / _AIM
    share_of_time = precision / effect / math.sqrt(weight)
    other = measured.get(2 * low + 1 - first)
    if other is None:
        return Wanted(concurrency=first, precision=min(share_of_time, _LOOSEST * precision))

    def reached(output: Estimate, tpot: Estimate) -> float | None:
        return _joint(_Part.of(other), _Part(1 / tpot.value, output.relative, tpot.relative), level, steepness)

    own = min(_STRICTEST * share_of_time, _LOOSEST * precision)
    aim = Aim(precision=precision, loosest=_STILL_A_KNOT * precision, reached=reached)
    return Wanted(concurrency=first, precision=own, aim=aim)


def reading_precision(points: Iterable[Point], probed: Mapping[int, float], level: float) -> float | None:
    """Relative half-width of the throughput that a curve has at a level; None where it is unknown."""
    curve = Curve(points)
    try:
        bracket = curve.at(level).bracket
    except NotMeasuredError:
        return None
    known = {**probed, **{p.concurrency: p.interactivity.value for p in curve.points}}
    steepness = _steepness(known, bracket.upper.concurrency)
    return _joint(_Part.of(bracket.upper), _Part.of(bracket.lower), level, steepness)


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the two points of a reading."""

    interactivity: float
    """tok/s/user."""
    throughput_half: float | None
    """Relative, as the other one."""
    interactivity_half: float | None

    @classmethod
    def of(cls, point: Point) -> _Part:
        return cls(point.interactivity.value, point.throughput.relative, point.interactivity.relative)


def _joint(one: _Part, other: _Part, level: float, steepness: float) -> float | None:
    """Relative half-width of what is read at a level between two points; None where one of theirs is unknown."""
    apart = one.interactivity - other.interactivity
    share = min(max((one.interactivity - level) / apart, 0.0), 1.0) if apart else 0.0
    parts = []
    for weight, part in ((1 - share, one), (share, other)):
        if part.throughput_half is None or part.interactivity_half is None:
            return None
        parts.append((weight * _effect(part.throughput_half, part.interactivity_half, steepness)) ** 2)
    whole = sum(parts)
    if not whole:
        return 0.0
    degrees = (WAVES - 1) * whole**2 / sum(part**2 for part in parts)
    return math.sqrt(whole) * t_quantile(degrees) / t_quantile(WAVES - 1)


def _effect(throughput: float, interactivity: float, steepness: float) -> float:
    """Relative half-width of a reading by those of one point."""
    shared, along = min(throughput, interactivity), 1 / steepness - 1
    return math.hypot(
        shared / steepness, math.sqrt(throughput**2 - shared**2), along * math.sqrt(interactivity**2 - shared**2)
    )


def next_concurrency(interactivities: Mapping[int, float], target: float, *, most: int) -> int | None:
    """The concurrency that locates `target` (tok/s/user) best; None when nothing is left to measure.

    `interactivities` has what was measured, by concurrency. Interactivity falls as concurrency rises, as
    c^-a between two measured points; a target outside of what was measured is searched for by doubling and halving,
    between 1 and `most`.
    """
    low, high = _around(interactivities, target)
    if high is None:
        return None if low >= most else min(max(2 * low, 1), most)
    if not low:
        return None if high == 1 else high // 2
    if high == low + 1:
        return None
    guess = math.floor(_between(interactivities, low, high, target))
    return min(max(guess, low + 1), high - 1)


def _around(known: Mapping[int, float], level: float) -> tuple[int, int | None]:
    """Highest known concurrency that reaches the level, 0 for none, and the next known one after it."""
    low = max((c for c, value in known.items() if value >= level), default=0)
    return low, min((c for c in known if c > low), default=None)


def _between(known: Mapping[int, float], low: int, high: int, level: float) -> float:
    """Concurrency of the level on the power law through two known points; the geometric mean where it does not fall."""
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
