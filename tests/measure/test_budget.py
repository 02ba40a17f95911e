"""What a budget allows, and what a start of a server with one run takes."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.gate.prediction import seconds_on_a_fresh_start
from pytest_specdec.measure.budget import Budget
from pytest_specdec.pipeline.option_values import budget
from pytest_specdec.results.cost import Cost


def cost(seconds: float = 1800.0, gpu_hours: float = 4.0, usd: float = 5.0) -> Cost:
    return Cost(server_starts=6, seconds=seconds, gpu_hours=gpu_hours, usd=usd)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30min", Budget(seconds=1800)),
        ("2h", Budget(seconds=7200)),
        ("4gpuh", Budget(gpu_hours=4)),
        ("0.5 GPUh", Budget(gpu_hours=0.5)),
        ("$5", Budget(usd=5)),
    ],
)
def test_a_budget_is_of_time_of_gpu_hours_or_of_money(text: str, expected: Budget) -> None:
    assert budget(text) == expected


@pytest.mark.parametrize("text", ["5", "$5h", "$4gpuh", "0h", "-1gpuh", "gpuh", "4 gpu"])
def test_what_is_no_budget_says_what_is(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a budget such as 30min, 2h, 4gpuh \(GPU-hours\) or"):
        budget(text)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (Budget(seconds=1800), "the budget of 30 min is spent"),
        (Budget(gpu_hours=4), "the budget of 4 GPU-hours is spent"),
        (Budget(usd=5), "the budget of $5 is spent"),
        (Budget(seconds=1801, gpu_hours=4.1, usd=5.1), ""),
        (Budget(), ""),
    ],
)
def test_the_limit_that_was_reached_is_named(limit: Budget, words: str) -> None:
    assert limit.exhausted(cost()) == words


@given(
    start=st.floats(1, 600),
    run=st.floats(5, 120),
    starts=st.lists(st.integers(1, 5), min_size=1, max_size=8).filter(lambda counts: max(counts) > 1),
)
def test_start_and_run_are_told_apart_by_runs_that_follow_each_other(
    start: float, run: float, starts: list[int]
) -> None:
    begun = [[1e9 + i * run for i in range(count)] for count in starts]
    seconds = sum(start + count * run for count in starts)
    assert seconds_on_a_fresh_start(cost(seconds), begun) == pytest.approx(start + run)


def test_with_one_run_on_each_start_it_is_what_a_start_took() -> None:
    assert seconds_on_a_fresh_start(cost(180.0), [[1.0], [90.0], [170.0]]) == 60.0
