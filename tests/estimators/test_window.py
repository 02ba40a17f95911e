"""A point is measured until it is steady and sure, no shorter than the floor and no longer than the ceiling."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual import run_closed_loop

from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.traffic import PlannedRequest, RequestSample, Traffic
from pytest_specdec.estimators.steady import PARTS, Batches, trend
from pytest_specdec.estimators.summary import speeds
from pytest_specdec.estimators.window import FLAT, Aim, Review, Reviewer, StopRule, is_flat, median_gap_s
from pytest_specdec.simulator.presets import find_preset

PRESET = find_preset("h200-qwen3.5-397b-fp8")
RULE = StopRule(floor_s=10.0, ceiling_s=60.0, precision=0.01)


def measured(workload: Workload, rule: StopRule, *, mtp: int = 3, concurrency: int = 16) -> tuple[Traffic, Review]:
    """The traffic and the last review of a simulated point."""
    reviewer = Reviewer(rule, workload)
    reviews: list[Review] = []

    def review(traffic: Traffic) -> Review:
        reviews.append(reviewer(traffic))
        return reviews[-1]

    run = run_closed_loop(
        PRESET, mtp=mtp, workload=workload, concurrency=concurrency, window_s=rule.floor_s, seed=1, review=review
    )
    return run.traffic, reviews[-1]


@pytest.mark.parametrize("mtp", [0, 3])
def test_a_point_stops_as_soon_as_it_is_sure(mtp: int) -> None:
    workload = Workload(isl=1024, osl=1024)
    traffic, review = measured(workload, RULE, mtp=mtp)
    found = speeds(traffic, workload)
    assert review.precision is not None
    assert max(found.output.relative or 1, found.tpot.relative or 1) == review.precision <= RULE.precision
    assert RULE.floor_s - 0.1 <= traffic.window_end_s - traffic.window_start_s <= RULE.ceiling_s


def test_a_precision_that_is_out_of_reach_ends_at_the_ceiling_and_is_told() -> None:
    workload = Workload(isl=8192, osl=1024)
    rule = dataclasses.replace(RULE, precision=0.0001)
    traffic, review = measured(workload, rule)
    assert review.done
    assert review.precision is not None
    assert review.precision > rule.precision
    assert traffic.window_end_s - traffic.window_start_s <= rule.ceiling_s + 0.1


def test_a_window_of_fixed_length_has_that_length() -> None:
    rule = dataclasses.replace(RULE, ceiling_s=RULE.floor_s)
    traffic, review = measured(Workload(isl=1024, osl=1024), rule)
    assert review.done
    assert traffic.window_end_s - traffic.window_start_s == pytest.approx(rule.floor_s)


def test_a_looser_precision_never_measures_longer() -> None:
    lengths = []
    for precision in (0.05, 0.02, 0.01, 0.005):
        traffic, _ = measured(Workload(isl=1024, osl=1024), dataclasses.replace(RULE, precision=precision))
        lengths.append(traffic.window_end_s - traffic.window_start_s)
    assert lengths == sorted(lengths)


def stream(index: int, gaps: np.ndarray, start: float = 0.0) -> RequestSample:
    times = start + np.cumsum(gaps)
    return RequestSample(
        request=PlannedRequest(index=index, prompt=index, isl=64, osl=len(gaps)),
        start_s=start,
        chunk_s=times,
        chunk_tokens=np.ones(len(gaps), dtype=np.int64),
        prompt_tokens=64,
        status="ok",
    )


def test_a_window_that_speeds_up_loses_its_beginning_and_says_so() -> None:
    """Steps get faster for 20 s (kernels are still being compiled), then stay."""
    workload = Workload(isl=64, osl=1000, shortest=1.0)
    gaps = np.concatenate([np.linspace(0.03, 0.01, 1000), np.full(3000, 0.01)])
    samples = [stream(i, gaps) for i in range(4)]
    reviewer = Reviewer(RULE, workload)
    review = reviewer(Traffic(samples=samples, window_start_s=1.0, window_end_s=16.0))
    assert review.drift > 0.1
    assert not review.done
    assert review.window_start_s > 1.0
    review = reviewer(Traffic(samples=samples, window_start_s=21.0, window_end_s=40.0))
    assert review.drift == 0
    assert review.done
    assert review.window_start_s == 21.0


@pytest.mark.parametrize(("reached", "aimed"), [(0.009, True), (0.011, False), (None, False)])
def test_a_window_ends_when_its_aim_is_reached(reached: float | None, aimed: bool) -> None:  # noqa: FBT001
    """The point itself is far from sure; what it is measured for may be."""
    rng = np.random.default_rng(1)
    samples = [stream(i, rng.exponential(0.02, 1200)) for i in range(4)]
    traffic = Traffic(samples=samples, window_start_s=1.0, window_end_s=12.0)
    workload = Workload(isl=64, osl=1000, shortest=1.0)
    plain = Reviewer(dataclasses.replace(RULE, precision=1e-4), workload)(traffic)
    assert (plain.done, plain.aimed) == (False, False)
    aim = Aim(precision=0.01, loosest=1.0, reached=lambda *_: reached)
    review = Reviewer(dataclasses.replace(RULE, precision=1e-4, aim=aim), workload)(traffic)
    assert (review.done, review.aimed) == (aimed, aimed)
    assert review.precision == plain.precision
    assert review.wait_s > 0 or aimed


def test_an_aim_does_not_excuse_a_point_that_is_no_measurement() -> None:
    """The other neighbour may carry the reading alone: this one must still be a knot of the curve."""
    rng = np.random.default_rng(1)
    samples = [stream(i, rng.exponential(0.02, 1200)) for i in range(4)]
    traffic = Traffic(samples=samples, window_start_s=1.0, window_end_s=12.0)
    workload = Workload(isl=64, osl=1000, shortest=1.0)
    reached = Reviewer(RULE, workload)(traffic).precision
    assert reached is not None
    for loosest, done in ((1.01 * reached, True), (0.99 * reached, False)):
        aim = Aim(precision=0.01, loosest=loosest, reached=lambda *_: 0.001)
        review = Reviewer(dataclasses.replace(RULE, precision=1e-4, aim=aim), workload)(traffic)
        assert (review.done, review.aimed) == (done, done)
        assert done or review.wait_s > 0


def test_a_window_without_a_stream_goes_on_until_the_ceiling() -> None:
    reviewer = Reviewer(RULE, Workload(isl=64, osl=64))
    review = reviewer(Traffic(samples=[], window_start_s=0.0, window_end_s=10.0))
    assert (review.done, review.precision) == (False, None)
    assert 0 < review.wait_s <= RULE.ceiling_s
    assert reviewer(Traffic(samples=[], window_start_s=0.0, window_end_s=60.0)).done


@given(st.integers(0, 2**32 - 1))
def test_looks_always_end(seed: int) -> None:
    """Whatever the traffic is like, each look asks for time that is worth it, and the ceiling holds."""
    rng = np.random.default_rng(seed)
    samples = [stream(i, rng.exponential(0.5, 200)) for i in range(3)]
    reviewer = Reviewer(RULE, Workload(isl=64, osl=200))
    start, now = 0.0, RULE.floor_s
    for _ in range(60):
        review = reviewer(Traffic(samples=samples, window_start_s=start, window_end_s=now))
        if review.done:
            assert now <= RULE.ceiling_s + 0.1
            return
        assert start <= review.window_start_s < now
        assert review.wait_s > 0.04
        start, now = review.window_start_s, now + review.wait_s
    raise AssertionError("it never ends")


def batches(tokens: np.ndarray) -> Batches:
    return Batches(seconds=0.1, tokens=tokens, prefills=np.zeros(PARTS), stream_s=np.full(PARTS, 0.1))


def test_a_trend_is_told_from_chance() -> None:
    rng = np.random.default_rng(2)
    alarms = sum(trend(batches(rng.normal(100, 10, PARTS))) != 0 for _ in range(1000))
    assert alarms < 25, "1 % of steady windows"
    rising = np.linspace(95, 105, PARTS)
    assert trend(batches(rising + rng.normal(0, 1, PARTS))) == pytest.approx(0.1, abs=0.02)


def test_the_step_time_is_the_median_gap_of_what_arrived_in_the_slice() -> None:
    sample = stream(0, np.array([1.0, 0.1, 0.1, 0.1, 0.5, 0.5, 0.5]))
    assert median_gap_s(Traffic(samples=[sample], window_start_s=1.35, window_end_s=3.0)) == pytest.approx(0.5)
    assert median_gap_s(Traffic(samples=[sample], window_start_s=9.0, window_end_s=10.0)) is None


@given(st.floats(1e-4, 10), st.floats(0, 2 * FLAT))
def test_flat_is_symmetric(step: float, change: float) -> None:
    other = step * (1 + change)
    assert is_flat(step, other) == is_flat(other, step)
    assert is_flat(step, step)
    assert not is_flat(None, step)
