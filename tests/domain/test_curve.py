"""Frontier and interpolation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_specdec.domain.curve import Curve, CurveIdentity, Point, steffen_slopes
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import InvalidInputError, NotComparableError, NotMeasuredError


def point(x: float, y: float, concurrency: int = 8, half: float | None = None) -> Point:
    return Point(interactivity=Estimate(x, half), throughput=Estimate(y, half), concurrency=concurrency)


coordinates = st.floats(1, 1000).map(lambda v: round(v, 3))
clouds = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=12)


def curve(cloud: list[tuple[float, float]]) -> Curve:
    return Curve(point(x, y, i + 1) for i, (x, y) in enumerate(cloud))


def d3_monotone(x: list[float], y: list[float], at: float) -> float:
    """d3's curveMonotoneX, drawn as it draws: one Bezier curve per segment with control points at thirds."""
    n = len(x)
    slopes = [0.0] * n

    def slope3(i: int) -> float:
        h0, h1 = x[i] - x[i - 1], x[i + 1] - x[i]
        s0, s1 = (y[i] - y[i - 1]) / h0, (y[i + 1] - y[i]) / h1
        p = (s0 * h1 + s1 * h0) / (h0 + h1)
        return (math.copysign(1, s0) + math.copysign(1, s1)) * min(abs(s0), abs(s1), 0.5 * abs(p)) if s0 * s1 else 0.0

    for i in range(1, n - 1):
        slopes[i] = slope3(i)
    slopes[0] = (3 * (y[1] - y[0]) / (x[1] - x[0]) - slopes[1]) / 2 if n > 2 else (y[1] - y[0]) / (x[1] - x[0])
    slopes[-1] = (3 * (y[-1] - y[-2]) / (x[-1] - x[-2]) - slopes[-2]) / 2 if n > 2 else slopes[0]
    i = max(j for j in range(n - 1) if x[j] <= at)
    dx = (x[i + 1] - x[i]) / 3
    controls = [y[i], y[i] + dx * slopes[i], y[i + 1] - dx * slopes[i + 1], y[i + 1]]
    t = (at - x[i]) / (x[i + 1] - x[i])  # x is linear in t because the controls are at thirds
    weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3]
    return sum(w * c for w, c in zip(weights, controls, strict=True))


@given(clouds)
def test_no_point_of_the_frontier_is_beaten_and_every_other_point_is(cloud: list[tuple[float, float]]) -> None:
    found = curve(cloud)
    kept = {(p.interactivity.value, p.throughput.value) for p in found.frontier}
    for x, y in cloud:
        beaten = any((a >= x and b > y) or (a > x and b >= y) for a, b in cloud)
        assert ((x, y) in kept) != beaten


@given(clouds, st.randoms())
def test_the_order_of_points_does_not_matter(cloud: list[tuple[float, float]], random: object) -> None:
    shuffled = list(cloud)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    low, high = curve(cloud).range
    assert curve(shuffled).range == (low, high)
    middle = (low + high) / 2
    assert curve(shuffled).at(middle).throughput.value == pytest.approx(curve(cloud).at(middle).throughput.value)


@given(clouds, st.floats(0, 1), st.floats(0, 1))
def test_throughput_falls_along_the_frontier_and_stays_inside_its_bracket(
    cloud: list[tuple[float, float]], a: float, b: float
) -> None:
    found = curve(cloud)
    low, high = found.range
    first, second = (found.at(min(max(low + share * (high - low), low), high)) for share in sorted((a, b)))
    assert first.throughput.value >= second.throughput.value - 1e-6
    for reading in (first, second):
        top = reading.bracket.lower.throughput.value
        bottom = reading.bracket.upper.throughput.value
        # The end segments may overshoot: Steffen's rule does not limit the end slopes, so only all knots bound them.
        knots = [p.throughput.value for p in found.frontier]
        assert min(knots) - 1e-6 <= reading.throughput.value <= max(knots) + 1e-6
        if 1 < found.frontier.index(reading.bracket.upper) < len(found.frontier) - 1:
            assert bottom - 1e-6 <= reading.throughput.value <= top + 1e-6


@given(clouds)
def test_a_measured_point_is_returned_as_it_was_measured(cloud: list[tuple[float, float]]) -> None:
    found = curve(cloud)
    for knot in found.frontier:
        reading = found.at(knot.interactivity.value)
        assert reading.bracket.measured
        assert reading.throughput is knot.throughput


@given(clouds, st.floats(0.5, 4), st.floats(0, 1))
def test_doubling_all_times_halves_throughput_and_interactivity(
    cloud: list[tuple[float, float]], factor: float, share: float
) -> None:
    plain, slower = curve(cloud), curve([(x / factor, y / factor) for x, y in cloud])
    low, high = plain.range
    at = low + share * (high - low)
    assume(slower.range[0] <= at / factor <= slower.range[1])
    assume(len(plain.frontier) == len(slower.frontier))
    assert slower.at(at / factor).throughput.value == pytest.approx(plain.at(at).throughput.value / factor, rel=1e-6)


@given(st.lists(st.tuples(st.floats(0.1, 9), st.floats(0.1, 9)), min_size=2, max_size=8), st.floats(0.01, 0.99))
def test_the_interpolant_is_the_one_that_d3_draws(steps: list[tuple[float, float]], share: float) -> None:
    x = np.cumsum([1 + dx for dx, _ in steps])
    y = 1000 - np.cumsum([1 + dy for _, dy in steps])
    at = float(x[0] + share * (x[-1] - x[0]))
    found = Curve(point(float(a), float(b)) for a, b in zip(x, y, strict=True))
    expected = min(max(d3_monotone(list(x), list(y), at), float(y.min())), float(y.max()))
    assert found.at(at).throughput.value == pytest.approx(expected, rel=1e-9)


def test_two_points_are_joined_by_a_straight_line() -> None:
    assert list(steffen_slopes(np.array([0.0, 2.0]), np.array([4.0, 0.0]))) == [-2.0, -2.0]


def test_nothing_is_extrapolated() -> None:
    found = curve([(10, 100), (20, 50)])
    for outside in (9.99, 20.01):
        with pytest.raises(NotMeasuredError, match="not measured"):
            found.at(outside)


def test_a_bracket_that_skips_a_doubling_is_wide_and_says_so() -> None:
    found = Curve([point(60, 100, 16), point(30, 300, 64)])
    assert found.at(40).bracket.wide
    assert str(found.at(40).bracket) == "c16-c64 WIDE"
    assert not Curve([point(60, 100, 16), point(30, 300, 32)]).at(40).bracket.wide


def test_points_of_two_engines_are_refused_naming_the_field() -> None:
    with pytest.raises(NotComparableError, match=r"engine differs, 'vllm' against 'sglang'"):
        CurveIdentity(engine="vllm").merged(CurveIdentity(engine="sglang"))


def test_an_unknown_field_conflicts_with_nothing() -> None:
    assert CurveIdentity(version="").merged(CurveIdentity(version="1.2")).version == "1.2"


@pytest.mark.parametrize("bad", [(0.0, 1.0), (1.0, float("nan")), (float("inf"), 1.0), (1.0, -2.0)])
def test_a_point_that_cannot_be_is_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(InvalidInputError, match="no positive finite"):
        Curve([point(*bad)])


def test_an_empty_curve_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no points"):
        Curve([])


def test_the_uncertainty_of_the_points_reaches_the_reading() -> None:
    exact = Curve([point(10, 100), point(20, 90)]).at(15).throughput
    noisy = Curve([point(10, 100, half=5), point(20, 90, half=5)]).at(15).throughput
    assert exact.half_width is not None
    assert noisy.half_width is not None
    assert noisy.half_width > max(exact.half_width, 3)


def test_a_metric_that_one_point_lacks_is_not_read() -> None:
    full = Point(
        interactivity=Estimate(10), throughput=Estimate(100), concurrency=8, readings={"ttft_p50_ms": Estimate(50)}
    )
    assert Curve([full]).at(10).readings["ttft_p50_ms"].value == 50
    assert "ttft_p50_ms" not in Curve([full, point(20, 50)]).at(15).readings


def test_a_point_is_found_by_its_concurrency() -> None:
    found = curve([(10, 100), (20, 50)])
    assert found.at_concurrency(2).throughput.value == 50
    with pytest.raises(NotMeasuredError, match="measured: 1, 2"):
        found.at_concurrency(3)
