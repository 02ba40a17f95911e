"""The gate on published runs of a real engine: six days of one configuration, and the versions after them."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_days import REPEATS, against_the_others, days, steps, tables

from pytest_specdec.domain.outcome import Outcome

RUNS, VERSIONS = days()


@pytest.mark.parametrize("date", REPEATS)
def test_no_day_of_one_configuration_fails_against_the_others(date: str) -> None:
    decision = against_the_others(RUNS, date)
    assert len(decision.decisions) == 9 * 4
    assert not [one for one in decision.decisions if one.outcome is Outcome.FAIL]
    assert not any(shift.failed for shift in decision.common)
    assert decision.outcome is not Outcome.FAIL


def test_most_cells_pass_and_the_throughput_of_few_stays_open() -> None:
    every = [one for date in REPEATS for one in against_the_others(RUNS, date).decisions]
    throughput = [one for one in every if one.metric == "total_tok_s_gpu"]
    open_ones = [one for one in throughput if one.outcome is Outcome.INCONCLUSIVE]
    assert len(throughput) == 54
    assert len(open_ones) <= 3
    assert all(one.reason.startswith("suspect") for one in open_ones)


def test_the_docs_show_what_the_gate_says() -> None:
    assert tables() in (Path(__file__).parents[2] / "docs" / "gate.md").read_text(), "run published_days.py"


def test_version_steps_are_classified() -> None:
    found = {after: decision for _, after, decision in steps(RUNS)}
    assert list(found) == ["2025-12-31", "2026-01-23", "2026-03-07", "2026-03-25", "2026-05-17"]
    assert VERSIONS["2026-05-17"] == "v0.5.12-cu130"
    shifts = {after: -shift.seen for after, decision in found.items() for shift in decision.common
              if shift.metric == "total_tok_s_gpu"}  # fmt: skip
    signs = [shift > 0 for shift in shifts.values()]
    assert signs == [False, True, True, False, True]
    for after, decision in found.items():
        (common,) = [shift for shift in decision.common if shift.metric == "total_tok_s_gpu"]
        assert common.whose == "unknown", f"{after}: more than the days of one configuration differ"
        throughput = [one for one in decision.decisions if one.metric == "total_tok_s_gpu"]
        better = [one.cell for one in throughput if one.improvement == "suspected"]
        worse = [one.cell for one in throughput if one.outcome in (Outcome.WARN, Outcome.INCONCLUSIVE)]
        assert (len(better) > len(worse)) == (shifts[after] > 0)
    march = found["2026-03-07"].decisions
    assert all(one.outcome is Outcome.PASS for one in march if one.metric == "total_tok_s_gpu")
