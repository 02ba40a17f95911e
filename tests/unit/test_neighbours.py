"""Refining brackets any target that can be reached, in few points."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.estimators.neighbours import next_concurrency


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
