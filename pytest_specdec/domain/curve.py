"""Points at several concurrencies -> Pareto frontier -> value at an interactivity.

The frontier keeps the points that no other point beats in both interactivity and total throughput per GPU. Between its
knots the published page's interpolant is used: cubic Hermite with Steffen's slopes (d3's curveMonotoneX), each metric
clamped to the range of its knots because the end slopes may overshoot. Nothing is extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline

from pytest_specdec.domain.agreement import refuse_different
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import InvalidInputError, NotMeasuredError

WIDE_BRACKET = 2.0
"""A bracket whose concurrencies differ by more than this factor skips a step of the usual doubling grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured point of a curve."""

    interactivity: Estimate
    """tok/s/user."""
    throughput: Estimate
    """Total tok/s/GPU."""
    concurrency: int
    readings: Mapping[str, Estimate] = field(default_factory=dict)
    """Other metrics of the point by key of METRICS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveIdentity:
    """Fields shared by the points of one curve; an empty string is unknown and conflicts with nothing."""

    model: str = ""
    hardware: str = ""
    precision: str = ""
    parallelism: str = ""
    sequence: str = ""
    engine: str = ""
    version: str = ""
    mode: str = ""
    """`off`, `mtpK`, or `mtp` when the source does not state K."""
    workload: str = ""
    """Regime and version of the workload, in words."""
    date: str = ""

    def merged(self, other: CurveIdentity) -> CurveIdentity:
        """Identity of a curve that holds points of both.

        Raises:
            NotComparableError: the two differ in a field that both know.
        """
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in _IDENTITY_FIELDS]
        refuse_different(pairs, what="points of two curves")
        return CurveIdentity(**{name: mine or theirs for name, mine, theirs in pairs})

    def __str__(self) -> str:
        named = (self.model, self.hardware, self.engine, self.version, self.parallelism, self.precision)
        return " ".join(part for part in (*named, self.sequence, self.mode, self.date) if part)


_IDENTITY_FIELDS = tuple(CurveIdentity.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """The two measured points between which a value was interpolated; equal when it was measured itself."""

    lower: Point
    """The neighbour with less interactivity (and more concurrency)."""
    upper: Point

    @property
    def measured(self) -> bool:
        """True if the value is that of a measured point."""
        return self.lower is self.upper

    @property
    def factor(self) -> float:
        """Ratio of the two concurrencies, at least 1."""
        low, high = sorted((self.lower.concurrency, self.upper.concurrency))
        return high / low

    @property
    def wide(self) -> bool:
        """True if the usual doubling grid has a point in between that is missing."""
        return self.factor > WIDE_BRACKET

    def __str__(self) -> str:
        if self.measured:
            return f"c{self.lower.concurrency} measured"
        return f"c{self.upper.concurrency}-c{self.lower.concurrency}" + (" WIDE" if self.wide else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Values of a curve at one interactivity."""

    interactivity: float
    throughput: Estimate
    """Total tok/s/GPU. The half-width joins the points' own uncertainty with how far other interpolants differ."""
    concurrency: float
    """Interpolated, so rarely a concurrency that was run."""
    bracket: Bracket
    readings: Mapping[str, Estimate]
    """Metrics other than throughput that every point of the frontier has, read on the same knots."""


class Curve:
    """Points of one engine configuration over concurrency."""

    def __init__(self, points: Iterable[Point], identity: CurveIdentity | None = None) -> None:
        self.points = tuple(sorted(points, key=lambda p: (p.interactivity.value, -p.throughput.value, p.concurrency)))
        self.identity = identity or CurveIdentity()
        if not self.points:
            raise InvalidInputError(f"curve {self.identity} has no points")
        for point in self.points:
            numbers = (point.interactivity.value, point.throughput.value)
            if not all(math.isfinite(number) and number > 0 for number in numbers) or point.concurrency < 1:
                raise InvalidInputError(
                    f"curve {self.identity}: point at concurrency {point.concurrency} has no positive finite "
                    f"interactivity and throughput: {numbers[0]:g} tok/s/user, {numbers[1]:g} tok/s/GPU"
                )

    @cached_property
    def frontier(self) -> tuple[Point, ...]:
        """Points that no other beats in both interactivity and throughput, by rising interactivity."""
        best: list[Point] = []
        for point in reversed(self.points):
            if not best or point.throughput.value > best[-1].throughput.value:
                # Among points of equal interactivity the later in this order has the higher throughput.
                if best and point.interactivity.value == best[-1].interactivity.value:
                    best.pop()
                best.append(point)
        return tuple(reversed(best))

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest interactivity of the frontier, tok/s/user."""
        return self.frontier[0].interactivity.value, self.frontier[-1].interactivity.value

    def at(self, interactivity: float) -> Reading:
        """Read the frontier at an interactivity in tok/s/user.

        Raises:
            NotMeasuredError: the interactivity lies outside the measured range.
        """
        low, high = self.range
        if not low <= interactivity <= high:
            raise NotMeasuredError(
                f"not measured: {interactivity:g} tok/s/user lies outside {low:.1f} to {high:.1f} of {self.identity}"
            )
        bracket = self._bracket(interactivity)
        return Reading(
            interactivity=interactivity,
            throughput=self._interpolate(interactivity, bracket, [p.throughput for p in self.frontier]),
            concurrency=self._spline(interactivity, [float(p.concurrency) for p in self.frontier]),
            bracket=bracket,
            readings={
                key: self._interpolate(interactivity, bracket, [p.readings[key] for p in self.frontier])
                for key in self.frontier[0].readings
                if all(key in p.readings for p in self.frontier)
            },
        )

    def at_concurrency(self, concurrency: int) -> Point:
        """Return the point measured at a concurrency.

        Raises:
            NotMeasuredError: the concurrency was not run.
        """
        for point in self.points:
            if point.concurrency == concurrency:
                return point
        ran = ", ".join(str(c) for c in sorted({p.concurrency for p in self.points}))
        raise NotMeasuredError(f"not measured: concurrency {concurrency} of {self.identity}; measured: {ran}")

    def _bracket(self, interactivity: float) -> Bracket:
        knots = self.frontier
        x = [p.interactivity.value for p in knots]
        right = int(np.searchsorted(x, interactivity))
        if x[right] == interactivity:
            return Bracket(lower=knots[right], upper=knots[right])
        return Bracket(lower=knots[right - 1], upper=knots[right])

    def _interpolate(self, interactivity: float, bracket: Bracket, values: list[Estimate]) -> Estimate:
        """Spline value; its half-width covers the neighbours' uncertainty and the choice of the interpolant.

        The largest distance to the straight chord and to the power law through the neighbours covers the true value in
        51 of 54 leave-one-out trials on the published H200 curves (tests/importers/test_published.py).
        """
        value = self._spline(interactivity, [v.value for v in values])
        lower, upper = values[self.frontier.index(bracket.lower)], values[self.frontier.index(bracket.upper)]
        if bracket.measured:
            return lower
        x0, x1 = bracket.lower.interactivity.value, bracket.upper.interactivity.value
        share = (interactivity - x0) / (x1 - x0)
        others = [lower.value + share * (upper.value - lower.value)]
        if lower.value > 0 and upper.value > 0:
            log_share = math.log(interactivity / x0) / math.log(x1 / x0)
            others.append(lower.value * (upper.value / lower.value) ** log_share)
        spread = max(abs(value - other) for other in others)
        measured = [(1 - share) * (lower.half_width or 0.0), share * (upper.half_width or 0.0)]
        # An error of the x co-ordinate moves the reading along the slope of the frontier.
        slope = (upper.value - lower.value) / (x1 - x0)
        sideways = slope * max(
            bracket.lower.interactivity.half_width or 0.0, bracket.upper.interactivity.half_width or 0.0
        )
        return Estimate(value, math.hypot(spread, *measured, sideways))

    def _spline(self, interactivity: float, values: list[float]) -> float:
        if len(values) == 1:
            return values[0]
        x = np.array([p.interactivity.value for p in self.frontier])
        y = np.array(values)
        value = float(CubicHermiteSpline(x, y, steffen_slopes(x, y))(interactivity))
        return min(max(value, float(y.min())), float(y.max()))


def steffen_slopes(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slopes at the knots as d3's curveMonotoneX takes them, shape (n,), n >= 2.

    Interior: (sgn s0 + sgn s1) min(|s0|, |s1|, |p|/2) with secants s and parabola slope p = (s0 h1 + s1 h0)/(h0 + h1);
    ends: (3 s - m)/2, which is not limited and may overshoot.
    Source: d3-shape, curve/monotone.js; M. Steffen, Astronomy and Astrophysics 239 (1990).
    """
    h = np.diff(x)
    s = np.diff(y) / h
    if len(x) == 2:
        return np.array([s[0], s[0]])
    parabola = (s[:-1] * h[1:] + s[1:] * h[:-1]) / (h[:-1] + h[1:])
    limits = np.minimum(np.minimum(np.abs(s[:-1]), np.abs(s[1:])), np.abs(parabola) / 2)
    interior = (np.sign(s[:-1]) + np.sign(s[1:])) * limits
    first, last = (3 * s[0] - interior[0]) / 2, (3 * s[-1] - interior[-1]) / 2
    return np.concatenate(([first], interior, [last]))
