"""Refining brackets any target that can be reached, in few points."""

from __future__ import annotations

import pytest
from closed_form import closed_form
from hypothesis import given
from hypothesis import strategies as st
from virtual import run_closed_loop

from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.curve import Point
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.traffic import Traffic
from pytest_specdec.errors import NotMeasuredError
from pytest_specdec.estimators.neighbours import Wanted, next_concurrency, next_wanted, probe_s, reading_precision
from pytest_specdec.estimators.window import Aim, ProbeReview, StopRule, rough_interactivity
from pytest_specdec.simulator.presets import find_preset


def refine(start: dict[int, float], truth: dict[int, float], target: float, most: int) -> dict[int, float]:
    """Measure what is asked for until nothing is."""
    seen = dict(start)
    for _ in range(60):
        concurrency = next_concurrency(seen, target, most=most)
        if concurrency is None:
            return seen
        assert 1 <= concurrency <= most
        assert concurrency not in seen, "nothing is measured twice"
        seen[concurrency] = truth[concurrency]
    raise AssertionError("it never ends")


@given(
    st.floats(20, 200),
    st.floats(0.1, 1.2),
    st.sets(st.integers(1, 128), max_size=5),
    st.floats(1, 250),
)
def test_a_falling_curve_is_bracketed_by_neighbours_or_the_target_is_out_of_reach(
    first: float, slope: float, grid: set[int], target: float
) -> None:
    truth = {c: first / c**slope for c in range(1, 129)}
    seen = refine({c: truth[c] for c in grid}, truth, target, 128)
    fast = [c for c in seen if seen[c] >= target]
    slow = [c for c in seen if seen[c] < target]
    if truth[1] < target:
        assert not fast
        assert 1 in seen
    elif truth[128] >= target:
        assert 128 in seen
    else:
        assert max(fast) + 1 == min(slow)
    assert len(seen) - len(grid) <= 12


def test_a_grid_needs_two_or_three_points_more() -> None:
    truth = {c: 100 / c**0.4 for c in range(1, 129)}
    seen = refine({c: truth[c] for c in (4, 8, 16, 32, 64)}, truth, 30.0, 128)
    assert {20, 21} <= seen.keys()
    assert len(seen) <= 5 + 3


@given(st.lists(st.floats(10, 100), min_size=20, max_size=20), st.floats(10, 100))
def test_noise_never_makes_it_go_round_in_circles(noise: list[float], target: float) -> None:
    refine({}, dict(enumerate(noise, start=1)), target, 20)


@pytest.mark.parametrize(("seen", "expected"), [({}, 1), ({1: 9.0}, None), ({8: 9.0}, 4), ({8: 11.0}, 16)])
def test_outside_of_what_was_measured_it_halves_and_doubles(seen: dict[int, float], expected: int | None) -> None:
    assert next_concurrency(seen, 10.0, most=64) == expected


def test_it_never_asks_for_more_than_the_server_runs() -> None:
    assert next_concurrency({40: 50.0}, 10.0, most=48) == 48
    assert next_concurrency({48: 50.0}, 10.0, most=48) is None


def curve_points(*found: tuple[int, float, float, float]) -> list[Point]:
    """Points by (concurrency, interactivity, relative half-width of throughput, that of interactivity)."""
    return [
        Point(
            concurrency=c,
            interactivity=Estimate(value, value * own),
            throughput=Estimate(c * value, c * value * half),
        )
        for c, value, half, own in found
    ]


@given(st.floats(20, 200), st.floats(0.3, 0.9), st.floats(1.0, 250))
def test_a_level_ends_between_two_measured_neighbours_or_out_of_reach(first: float, slope: float, level: float) -> None:
    truth = {c: first / c**slope for c in range(1, 129)}
    looked: dict[int, float] = {8: truth[8]}
    measured: list[Point] = []
    for _ in range(60):
        wanted = next_wanted(measured, looked, level, precision=0.01, most=128)
        if wanted is None:
            break
        if wanted.precision is None:
            assert wanted.concurrency not in looked
            looked[wanted.concurrency] = truth[wanted.concurrency]
            continue
        assert 0 < wanted.precision <= 0.015
        assert wanted.concurrency not in {p.concurrency for p in measured}, "nothing is measured twice"
        measured += curve_points((wanted.concurrency, truth[wanted.concurrency], 0.007, wanted.precision))
    else:
        raise AssertionError("it never ends")
    if truth[128] < level <= truth[1]:
        low = max(c for c in truth if truth[c] >= level)
        assert {low, low + 1} <= {p.concurrency for p in measured}
        assert len(measured) <= 4
        assert reading_precision(measured, looked, level) is not None


def test_the_allowance_is_shared_by_weight() -> None:
    """The nearer neighbour is measured longer, and the second one takes what the first has left."""
    looked = {4: 100 / 4**0.5, 32: 100 / 32**0.5}
    points = curve_points((16, 25.0, 0.005, 0.005), (8, 35.4, 0.005, 0.005))
    level = 100 / 12.2**0.5
    first = next_wanted(points, looked, level, precision=0.01, most=64)
    assert first is not None
    assert (first.concurrency, first.precision is None) == (12, False)
    sure = next_wanted(
        [*points, *curve_points((12, 100 / 12**0.5, 0.002, 0.002))], looked, level, precision=0.01, most=64
    )
    unsure = next_wanted(
        [*points, *curve_points((12, 100 / 12**0.5, 0.004, 0.004))], looked, level, precision=0.01, most=64
    )
    assert sure is not None
    assert unsure is not None
    assert sure.concurrency == unsure.concurrency == 13
    assert sure.aim is not None
    assert unsure.aim is not None
    # Whatever the first one came to, the second one is measured until the reading is sure ...
    halves = [aim_half(wanted.aim, 1 / 27.7) for wanted in (sure, unsure)]
    assert halves[0] > halves[1] > 0
    # ... and no longer than a share of its own allowance: what an unlucky first one took is not to be had for ever.
    assert sure.precision == unsure.precision
    assert sure.precision is not None
    hopeless = next_wanted(
        [*points, *curve_points((12, 100 / 12**0.5, 0.03, 0.03))], looked, level, precision=0.01, most=64
    )
    assert hopeless is not None
    assert hopeless.aim is not None
    assert hopeless.precision == sure.precision
    assert (hopeless.aim.reached(Estimate(1.0, 0.0), Estimate(1 / 27.7, 0.0)) or 0) > 0.01


def aim_half(aim: Aim | None, tpot_s: float) -> float:
    """The largest relative half-width of a point with which the aim is reached, to a hundredth of a percent."""
    assert aim is not None
    for half in range(300, 0, -1):
        reached = aim.reached(Estimate(1.0, half * 1e-4), Estimate(tpot_s, tpot_s * half * 1e-4))
        assert reached is not None
        if reached <= aim.precision:
            return half * 1e-4
    return 0.0


def test_the_aim_is_the_precision_of_the_reading() -> None:
    looked = {4: 50.0, 16: 25.0}
    first, second = curve_points((12, 28.87, 0.004, 0.006), (13, 27.73, 0.005, 0.007))
    wanted = next_wanted([first], looked, 28.4, precision=0.01, most=64)
    assert wanted is not None
    assert wanted.aim is not None
    assert wanted.concurrency == 13
    tpot = second.interactivity.inverse()
    expected = reading_precision([first, second], looked, 28.4)
    assert wanted.aim.reached(second.throughput, tpot) == pytest.approx(expected)
    assert wanted.aim.reached(Estimate(1.0), tpot) is None


def test_luck_of_a_window_counts_by_the_steepness() -> None:
    """With c^-1/2 a window that is lucky by 1 % moves the reading by 2 %, half of which is each neighbour's."""
    looked = {c: 100 / c**0.5 for c in (4, 32)}
    points = curve_points(*((c, 100 / c**0.5, 0.01, 0.01) for c in (12, 13)))
    middle = (points[0].interactivity.value + points[1].interactivity.value) / 2
    reached = reading_precision(points, looked, middle)
    # t with 18 degrees of freedom instead of 9.
    assert reached == pytest.approx(0.02 / 2**0.5 * 2.101 / 2.262, rel=0.01)
    assert reading_precision(points, looked, points[0].interactivity.value) == pytest.approx(0.02, rel=0.01)
    assert reading_precision(points, looked, 90.0) is None


def test_independent_errors_count_less_than_shared_ones() -> None:
    looked = {c: 100 / c**0.5 for c in (4, 32)}
    reached = [
        reading_precision(curve_points(*((c, 100 / c**0.5, half, 0.01) for c in (12, 13))), looked, 28.3)
        for half in (0.0, 0.005, 0.01)
    ]
    known = [r for r in reached if r is not None]
    assert len(known) == 3
    assert known == sorted(known)
    assert known[0] == pytest.approx(known[2] / 2, rel=0.01)


def test_a_neighbour_that_seems_beaten_is_passed_over() -> None:
    looked = {c: 100 / c**0.5 for c in (4, 32)}
    fast, slow = curve_points((12, 28.9, 0.01, 0.01), (13, 26.0, 0.01, 0.01))
    wanted = next_wanted([fast, slow], looked, 28.0, precision=0.01, most=64)
    assert wanted is not None
    assert wanted.concurrency == 14


def test_a_window_of_fixed_length_stays_so() -> None:
    fixed = StopRule(floor_s=12.0, ceiling_s=12.0, precision=0.01)
    open_ended = StopRule(floor_s=10.0, ceiling_s=120.0, precision=0.01)
    wanted = Wanted(concurrency=8, precision=0.012)
    assert wanted.rule(fixed) == fixed
    assert wanted.rule(open_ended) == StopRule(floor_s=5.0, ceiling_s=120.0, precision=0.012)
    assert probe_s(fixed) == 1.5
    assert probe_s(StopRule(floor_s=0.4, ceiling_s=0.4, precision=0.01)) == 0.4


def test_a_look_tells_interactivity_roughly() -> None:
    preset, workload = find_preset("h200-qwen3.5-397b-fp8"), Workload(isl=1024, osl=1024)
    for concurrency in (8, 32):
        run = run_closed_loop(
            preset, mtp=3, workload=workload, concurrency=concurrency, window_s=0.5, review=ProbeReview(seconds=1.5)
        )
        traffic = run.traffic
        assert traffic.window_end_s - traffic.window_start_s == pytest.approx(1.5)
        right = 1 / closed_form(preset, workload, concurrency, 3).tpot_s
        assert rough_interactivity(traffic, concurrency) == pytest.approx(right, rel=0.15)


def test_a_look_without_a_token_says_so() -> None:
    with pytest.raises(NotMeasuredError, match=r"no token arrived within 1\.5 s at concurrency 4"):
        rough_interactivity(Traffic(samples=[], window_start_s=0.0, window_end_s=1.5), 4)
