"""Several runs of a cell become one measurement that says so."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import measured

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.results.merge import mean, merge_runs

estimates = st.builds(Estimate, st.floats(1, 1e4), st.none() | st.floats(0, 100))


def test_one_run_stays_itself() -> None:
    run = measured(8)
    assert merge_runs([run]) is run


@given(st.lists(estimates, min_size=1, max_size=8))
def test_the_mean_does_not_depend_on_the_order(values: list[Estimate]) -> None:
    forward, backward = mean(values), mean(values[::-1])
    assert forward.value == pytest.approx(backward.value)
    assert forward.half_width == pytest.approx(backward.half_width)
    assert min(v.value for v in values) * (1 - 1e-12) <= forward.value <= max(v.value for v in values) * (1 + 1e-12)


def test_half_widths_of_two_runs_add_in_quadrature() -> None:
    assert mean([Estimate(10, 3), Estimate(12, 4)]) == Estimate(11.0, 2.5)


def test_the_scatter_of_three_runs_counts_where_it_is_wider() -> None:
    half = mean([Estimate(90, 0.1), Estimate(100, 0.1), Estimate(110, 0.1)]).half_width
    assert half == pytest.approx(4.302652729911275 * 10 / math.sqrt(3))
    assert mean([Estimate(100, 30.0)] * 3).half_width == pytest.approx(30 / math.sqrt(3))


def test_an_unknown_width_stays_unknown() -> None:
    assert mean([Estimate(1.0), Estimate(2.0, 0.1)]).half_width is None


def test_windows_and_requests_add_up_and_notes_are_told_once() -> None:
    runs = [
        msgspec.structs.replace(measured(8), notes=(f"client-limited: {share}% late", "not warm: x"))
        for share in (16, 17)
    ]
    merged = merge_runs([*runs, measured(8)])
    assert merged.window_s == 90
    assert merged.requests.finished == 30
    assert merged.notes == (
        "mean of 3 runs",
        "client-limited: 16% late (in 2 of 3 runs)",
        "not warm: x (in 2 of 3 runs)",
    )


def test_a_metric_that_one_run_lacks_is_missing() -> None:
    run = measured(8, mtp=3, acceptance=2.0)
    other = msgspec.structs.replace(run, values={k: v for k, v in run.values.items() if k != "acceptance_length"})
    assert "acceptance_length" not in merge_runs([run, other]).values
