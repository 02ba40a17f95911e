"""Reports of runs in which something cannot be compared: the rest is, and a remark says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from measured import ENVIRONMENT, at_rate, measured
from msgspec.structs import replace

from pytest_specdec.__main__ import main
from pytest_specdec.errors import NotComparableError
from pytest_specdec.report.page_data import run_document
from pytest_specdec.report.pull_request import pull_request_page
from pytest_specdec.report.run_report import report_run
from pytest_specdec.report.two_runs import compare_runs
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Run, save_run

OFF = [measured(c, throughput=y, interactivity=x) for c, x, y in ((4, 120.0, 120.0), (16, 70.0, 280.0))]
MTP = [measured(c, mtp=3, throughput=y, interactivity=x) for c, x, y in ((4, 160.0, 160.0), (16, 96.0, 250.0))]
RATES = [at_rate(m, m.cell.concurrency / 8) for m in (*OFF, *MTP)]


def run_of(*measurements: Measurement) -> Run:
    return Run(tool_version="0.1.0", started_at="2026-11-23T12:00:00+00:00", complete=True, measurements=measurements)


def on(hardware: str, measurements: list[Measurement]) -> list[Measurement]:
    return [replace(m, environment=replace(ENVIRONMENT, hardware=hardware)) for m in measurements]


def test_both_modes_at_rates_have_a_report_and_no_comparison(tmp_path: Path) -> None:
    comparisons, tables, remarks = report_run(run_of(*RATES))
    assert comparisons == []
    assert remarks == run_remarks_of(RATES)
    (points,) = tables
    assert len(points.rows) == 4
    assert pull_request_page(run_of(*RATES))
    document = run_document(run_of(*RATES), reference=run_of(*RATES))
    assert document.comparisons == ()
    assert list(document.remarks) == remarks, "what nobody asked for is no trouble"
    save_run(run_of(*RATES), tmp_path / "run.json")
    assert main(["report", str(tmp_path / "run.json"), *("--html", str(tmp_path / "page.html"))]) == 0


def run_remarks_of(measurements: list[Measurement]) -> list[str]:
    """What is said of any run of these engines."""
    return report_run(run_of(*(m for m in measurements if not m.cell.engine.mtp)))[2]


def test_points_at_rates_leave_the_closed_loops_comparison_as_it_is() -> None:
    (alone,), tables, _ = report_run(run_of(*OFF, *MTP))
    (beside,), more_tables, _ = report_run(run_of(*OFF, *MTP, *RATES))
    assert beside.candidate.points == alone.candidate.points
    assert [t.rows for t in more_tables[:-1]] == [t.rows for t in tables[:-1]], "all but the points"


def test_modes_that_cannot_be_compared_are_a_remark_that_names_them() -> None:
    other = replace(MTP[0], cell=replace(MTP[0].cell, engine=replace(MTP[0].cell.engine, mtp=1)))
    comparisons, _, remarks = report_run(run_of(*OFF, *on("H200", MTP), other))
    assert [c.names for c in comparisons] == [("MTP 1", "Off")]
    assert "model-fp8-1k1k-mtp3: not comparable: hardware differs, 'H200' against 'h200'" in remarks
    assert pull_request_page(run_of(*OFF, *on("H200", MTP)))


def test_two_runs_that_share_points_at_rates_are_compared_by_the_others() -> None:
    run = run_of(*OFF, *RATES)
    comparisons, _, remarks = compare_runs(run, run)
    assert [c.names for c in comparisons] == [("new", "old")]
    assert remarks == [
        "not compared: model-fp8-1k1k-poisson-off was measured at a request rate, which gives no curve",
        "not compared: model-fp8-1k1k-poisson-mtp3 was measured at a request rate, which gives no curve",
    ]


def test_two_runs_at_rates_only_have_nothing_to_compare() -> None:
    with pytest.raises(NotComparableError, match="share no curve over concurrency"):
        compare_runs(run_of(*RATES), run_of(*RATES))


def test_one_pair_of_curves_that_is_unlike_spoils_no_other() -> None:
    comparisons, _, remarks = compare_runs(run_of(*OFF, *MTP), run_of(*OFF, *on("h100", MTP)))
    assert [c.candidate.identity.mode for c in comparisons] == ["off"]
    assert remarks == ["model-fp8-1k1k-mtp3: not comparable: hardware differs, 'h100' against 'h200'"]


def test_two_runs_of_which_no_curve_can_be_compared_are_refused() -> None:
    with pytest.raises(NotComparableError, match="mtp3: not comparable: hardware differs, 'h100' against 'h200'"):
        compare_runs(run_of(*OFF, *MTP), run_of(*on("h100", [*OFF, *MTP])))
