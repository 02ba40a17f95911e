"""Where MTP pays, where it stops, and how much acceptance may fall before it does."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import at_rate, measured

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.payoff import Gain, best_draft_tokens, gains, limit


def point(concurrency: int, *, mtp: int, throughput: float, step_ms: float, length: float | None = None) -> Measurement:
    found = measured(concurrency, mtp=mtp, throughput=throughput, acceptance=length)
    return msgspec.structs.replace(found, values=found.values | {"step_time_ms": Estimate(step_ms, step_ms * 0.001)})


def curve(ratios: dict[int, float], mtp: int = 3) -> list[Gain]:
    """MTP points with these ratios to Off."""
    points = [point(c, mtp=0, throughput=100.0, step_ms=20.0) for c in ratios]
    points += [point(c, mtp=mtp, throughput=100 * r, step_ms=30.0, length=2.4) for c, r in ratios.items()]
    (found,) = gains(points).values()
    return found


def test_break_even_is_the_ratio_of_step_times_and_headroom_what_is_above_it() -> None:
    (gain,) = curve({8: 1.5})
    assert gain.throughput_ratio.value == pytest.approx(1.5)
    assert gain.break_even_length is not None
    assert gain.break_even_length.value == pytest.approx(1.5)
    assert gain.headroom == pytest.approx(2.4 / 1.5 - 1)


def test_points_without_an_off_side_are_no_gain() -> None:
    assert gains([point(8, mtp=3, throughput=1.0, step_ms=1.0), point(4, mtp=0, throughput=1.0, step_ms=1.0)]) == {}


def test_points_at_a_rate_of_requests_are_no_gain() -> None:
    """They have no concurrency: of a crossing between two of them nothing could be said."""
    closed = curve({4: 2.0, 16: 0.8})
    points = [
        point(c, mtp=mtp, throughput=throughput, step_ms=20.0)
        for c, mtp, throughput in ((4, 0, 100.0), (16, 0, 100.0), (4, 3, 200.0), (16, 3, 80.0))
    ]
    at_rates = [at_rate(m, m.cell.concurrency / 2) for m in points]
    assert gains(at_rates) == {}
    (found,) = gains([*at_rates, *points]).values()
    assert limit(found).concurrency == limit(closed).concurrency


def test_without_step_times_there_is_no_break_even() -> None:
    (points,) = gains([measured(8), measured(8, mtp=3, throughput=150.0)]).values()
    assert (points[0].break_even_length, points[0].headroom) == (None, None)


def test_mtp_stops_paying_where_the_ratio_crosses_one() -> None:
    found = limit(curve({4: 2.0, 16: 1.25, 64: 0.8}))
    assert found.concurrency == pytest.approx(32.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 32 < found.high
    assert found.sentence("MTP 3") == "MTP 3 stops paying at about 32 (32 to 32) requests in flight"


def test_a_curve_that_does_not_cross_pays_everywhere_or_nowhere() -> None:
    assert limit(curve({4: 2.0, 16: 1.25})).sentence("MTP 3") == "MTP 3 pays at every measured concurrency"
    assert limit(curve({4: 0.9, 16: 0.8})).sentence("MTP 3") == "MTP 3 pays nowhere here"


@given(st.lists(st.floats(0.3, 3), min_size=2, max_size=6))
def test_a_crossing_lies_between_a_point_that_pays_and_one_that_does_not(ratios: list[float]) -> None:
    points = curve({2**i: ratio for i, ratio in enumerate(ratios)})
    found = limit(points)
    if found.concurrency is not None:
        below = [p for p in points if p.cell.concurrency <= found.concurrency * (1 + 1e-9)]
        above = [p for p in points if p.cell.concurrency >= found.concurrency * (1 - 1e-9)]
        assert below[-1].throughput_ratio.value >= 1 - 1e-9
        assert above[0].throughput_ratio.value <= 1 + 1e-9
    elif found.pays_throughout:
        assert min(ratios) >= 1


def test_the_best_k_is_named_at_each_concurrency() -> None:
    curves = [curve({4: 1.5, 64: 1.1}, mtp=1), curve({4: 2.0, 64: 0.9}, mtp=3)]
    assert {c: g.cell.engine.mtp for c, g in best_draft_tokens(curves).items()} == {4: 3, 64: 1}
