"""Estimates: interval arithmetic, and comparisons that answer only where the interval decides."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import InconclusiveError

positive = st.floats(1e-3, 1e6)
halves = st.one_of(st.none(), st.floats(0, 1e3))


@given(value=positive, half=halves, bound=positive)
def test_a_comparison_is_decided_exactly_when_the_bound_is_outside_the_interval(
    value: float, half: float | None, bound: float
) -> None:
    estimate = Estimate(value, half)
    assume(bound not in (estimate.low, estimate.high))
    if estimate.low < bound < estimate.high:
        for compare in (estimate.__gt__, estimate.__ge__, estimate.__lt__, estimate.__le__):
            with pytest.raises(InconclusiveError, match="inconclusive"):
                compare(bound)
    else:
        assert (estimate > bound) == (value > bound)
        assert (estimate >= bound) == (value >= bound)
        assert (estimate < bound) == (value < bound)
        assert (estimate <= bound) == (value <= bound)


def test_an_estimate_without_uncertainty_compares_by_its_value() -> None:
    assert Estimate(2.0) > 1.5
    assert not Estimate(1.0) > 1.5
    assert Estimate(1.5) >= 1.5
    assert not Estimate(1.5) > 1.5


@given(a=positive, b=positive, ra=st.floats(0, 0.5), rb=st.floats(0, 0.5))
def test_a_ratio_joins_relative_half_widths_in_quadrature(a: float, b: float, ra: float, rb: float) -> None:
    ratio = Estimate(a, a * ra) / Estimate(b, b * rb)
    assert ratio.value == pytest.approx(a / b)
    assert ratio.relative == pytest.approx((ra**2 + rb**2) ** 0.5, abs=1e-12)


@given(value=positive, half=st.floats(0, 100), numerator=positive)
def test_an_inverse_keeps_the_relative_uncertainty(value: float, half: float, numerator: float) -> None:
    estimate = Estimate(value, half)
    inverse = estimate.inverse(numerator)
    assert inverse.value == pytest.approx(numerator / value)
    assert inverse.relative == pytest.approx(estimate.relative)
    assert estimate.scaled(3).relative == pytest.approx(estimate.relative)


def test_a_file_holds_the_pair_of_value_and_half_width() -> None:
    assert msgspec.json.encode(Estimate(1.5, 0.1)) == b"[1.5,0.1]"
    back = msgspec.json.decode(b"[1.5,null]", type=Estimate)
    assert (back.value, back.half_width) == (1.5, None)
