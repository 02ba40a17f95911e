"""Saved runs -> series over versions and dates, and what the terminal shows of them."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from measured import PRICE, measured

from pytest_specdec.__main__ import EXIT_BAD_INPUT, main
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.domain.price import Price, cost_usd_mtok
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.report.history_page import drawing, history_page
from pytest_specdec.report.history_table import history_tables, sparkline, strip
from pytest_specdec.report.render import terminal
from pytest_specdec.results.history import (
    HistoryPoint,
    SavedRun,
    Series,
    history_series,
    read_runs,
    selected,
)
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Run, save_run
from pytest_specdec.results.verdict import Verdict

GOLDEN = Path(__file__).parent.parent / "golden"
CELL = measured().cell
DAYS = ("2026-09-01", "2026-10-06", "2026-11-03", "2026-11-10", "2026-11-23")


def priced(measurement: Measurement) -> Measurement:
    cost = cost_usd_mtok(measurement.price, measurement.throughput)
    return msgspec.structs.replace(measurement, values={**measurement.values, "cost_usd_mtok": cost})


def at(day: str, measurement: Measurement, **changes: object) -> Measurement:
    environment = msgspec.structs.replace(measurement.environment, **changes)
    return msgspec.structs.replace(measurement, environment=environment, measured_at=f"{day}T12:00:00+00:00")


def saved(day: str, *measurements: Measurement, outcome: Outcome | None = None) -> SavedRun:
    verdicts = tuple(Verdict(cell=m.cell, outcome=outcome) for m in measurements if outcome is not None)
    run = Run(tool_version="1", started_at=f"{day}T11:00:00+00:00", measurements=measurements, verdicts=verdicts)
    return SavedRun(path=Path(f"{day.replace('-', '')}-110000.json"), run=run)


def five_runs(**changes: object) -> list[SavedRun]:
    versions = ("0.20.0", "0.20.0", "0.21.0", "0.22.0", "0.22.1rc2.dev341+gabcdef")
    levels = (100.0, 100.4, 93.1, 104.9, 104.5)
    outcomes = (None, Outcome.PASS, Outcome.REGRESSED, Outcome.IMPROVED, Outcome.PASS)
    runs = []
    for day, version, level, outcome in zip(DAYS, versions, levels, outcomes, strict=True):
        points = [
            at(
                day,
                measured(c, mtp=mtp, throughput=level * (1 + mtp / 4) * c**0.7, half=0.006),
                version=version,
                **changes,
            )
            for c in (4, 8, 16)
            for mtp in (0, 3)
        ]
        runs.append(saved(day, *map(priced, points), outcome=outcome))
    return runs


def test_a_series_is_a_cell_over_dates_with_its_versions_and_verdicts() -> None:
    (series,) = history_series(reversed(five_runs()), filters=["mtp3", "c16"])
    assert str(series.cell) == "model-fp8-1k1k-mtp3-c16"
    assert [point.measured_at[:10] for point in series.points] == list(DAYS)
    assert series.versions == ("0.20.0", "0.21.0", "0.22.0", "0.22.1rc2.dev341+gabcdef")
    assert series.points[2].outcome is Outcome.REGRESSED
    assert series.points[2].run == "20261103-110000.json"


def test_a_change_is_relative_to_the_run_before_and_marked_where_the_interval_decides() -> None:
    (series,) = history_series(five_runs(), filters=["off-c8"])
    changes = [point.change for point in series.points]
    assert changes[0] is None
    assert changes[2] is not None
    assert changes[2].value == pytest.approx(93.1 / 100.4 - 1)
    assert [point.changed for point in series.points] == [False, False, True, True, False]


def test_a_change_of_unknown_uncertainty_is_not_marked() -> None:
    runs = [saved(day, at(day, measured())) for day in DAYS[:2]]  # TTFT has no half-width there
    (series,) = history_series(runs, "ttft_p50_ms")
    assert series.points[1].change == Estimate(0.0, None)
    assert not series.points[1].changed
    known = msgspec.structs.replace(measured(), values={"total_tok_s_gpu": Estimate(50.0, 0.1)})
    unsure = msgspec.structs.replace(measured(), values={"total_tok_s_gpu": Estimate(60.0)})
    (series,) = history_series([saved(DAYS[0], at(DAYS[0], known)), saved(DAYS[1], at(DAYS[1], unsure))])
    change = series.points[1].change
    assert change is not None
    assert change.value == pytest.approx(0.2)
    assert change.half_width is None
    assert not series.points[1].changed


@pytest.mark.parametrize(
    ("second", "metric"),
    [
        ({"environment": {"hardware": "h100"}}, "total_tok_s_gpu"),
        ({"environment": {"hardware": "unknown"}}, "total_tok_s_gpu"),
        ({"environment": {"engine": "sglang"}}, "total_tok_s_gpu"),
        ({"environment": {"simulated": "tiny"}}, "total_tok_s_gpu"),
        ({"environment": {"facts": {"quantization": "bf16"}}}, "total_tok_s_gpu"),
        ({"workload": {"version": "0"}}, "total_tok_s_gpu"),
        ({"price": Price(usd_per_gpu_hour=9, kw_per_gpu=1)}, "tok_s_mw"),
        ({"slo": "ttft=1"}, "goodput_req_s"),
    ],
)
def test_unlike_things_are_never_in_one_series(second: dict[str, object], metric: str) -> None:
    first = at(DAYS[0], measured(), facts={"quantization": "fp8"})
    first = msgspec.structs.replace(first, values={metric: Estimate(10.0, 0.1)})
    other = at(DAYS[1], first, **second.pop("environment", {}))  # type: ignore[arg-type]
    if changes := second.pop("workload", None):
        workload = msgspec.structs.replace(other.cell.workload, **changes)  # type: ignore[arg-type]
        other = msgspec.structs.replace(other, cell=msgspec.structs.replace(other.cell, workload=workload))
    other = msgspec.structs.replace(other, **second)
    both = history_series([saved(DAYS[0], first), saved(DAYS[1], other)], metric)
    assert [len(series.points) for series in both] == [1, 1]


def test_another_version_driver_or_an_unknown_fact_stays_in_the_series() -> None:
    facts: tuple[dict[str, str], ...] = ({}, {"quantization": "fp8", "driver": "550"}, {"driver": "570"})
    runs = [saved(day, at(day, measured(), version=day, facts=found)) for day, found in zip(DAYS, facts, strict=False)]
    assert [len(series.points) for series in history_series(runs)] == [3]


def test_a_run_that_knew_nothing_does_not_join_two_that_contradict_each_other() -> None:
    facts: tuple[dict[str, str], ...] = ({}, {"quantization": "fp8"}, {"quantization": "bf16"})
    runs = [saved(day, at(day, measured(), facts=found)) for day, found in zip(DAYS, facts, strict=False)]
    assert [len(series.points) for series in history_series(runs)] == [2, 1]


def test_price_does_not_split_what_is_not_made_of_it() -> None:
    dear = msgspec.structs.replace(measured(), price=Price(usd_per_gpu_hour=9, kw_per_gpu=PRICE.kw_per_gpu))
    runs = [saved(DAYS[0], at(DAYS[0], measured())), saved(DAYS[1], at(DAYS[1], dear))]
    assert [len(series.points) for series in history_series(runs)] == [2]


def test_what_a_resumed_run_took_over_counts_once_with_its_newest_verdict() -> None:
    point = at(DAYS[0], measured())
    runs = [saved(DAYS[0], point), saved(DAYS[1], point, at(DAYS[1], measured(16)), outcome=Outcome.PASS)]
    series = history_series(runs, filters=["c8"])
    assert [len(one.points) for one in series] == [1]
    assert series[0].points[0].outcome is Outcome.PASS


def test_a_metric_that_was_not_measured_is_missing_and_not_zero() -> None:
    runs = [saved(DAYS[0], at(DAYS[0], measured())), saved(DAYS[1], at(DAYS[1], measured(acceptance=2.5)))]
    (series,) = history_series(runs, "acceptance_length")
    assert [point.value.value for point in series.points] == [2.5]
    with pytest.raises(InvalidInputError, match="no metric 'speed'; there are: total_tok_s_gpu"):
        history_series(runs, "speed")


@pytest.mark.parametrize(
    ("filters", "kept"),
    [((), True), (("c8",), True), (("c",), False), (("off-c8",), True), (("off", "c8"), True), (("off", "c16"), False)],
)
def test_a_filter_matches_whole_parts_of_a_name(filters: tuple[str, ...], *, kept: bool) -> None:
    assert selected(CELL, filters) is kept


def test_broken_files_are_named_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for item in five_runs():
        save_run(item.run, tmp_path / item.path.name)
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"schema": "specdec-run/1", "surprise": 1}')
    (tmp_path / "c.txt").write_text("not a run")
    runs, skipped = read_runs(tmp_path)
    assert [item.path.name[:8] for item in runs] == [day.replace("-", "") for day in DAYS]
    assert len(skipped) == 2
    assert main(["history", "mtp3-c16", "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"skipped: {tmp_path}/a.json is not a saved run" in out
    assert "5 runs, 4 versions" in out


def test_nothing_to_show_says_what_was_looked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "c16", "off", "--runs", str(tmp_path)]) == 0
    said = f"no total_tok_s_gpu of a cell with c16 and off in its name in the 0 runs of {tmp_path}\n"
    assert capsys.readouterr().out == said
    assert main(["history", "--runs", str(tmp_path / "nowhere")]) == EXIT_BAD_INPUT
    assert "no run was saved there yet" in capsys.readouterr().err
    assert main(["history", "--runs", str(tmp_path), "--metric", "speed"]) == EXIT_BAD_INPUT
    assert capsys.readouterr().err.startswith("specdec history: no metric 'speed'")
    with pytest.raises(SystemExit):
        main(["history", "--last", "0"])


def shown(width: int) -> str:
    """One cell, many cells, and what is simulated; everything that the command can print."""
    real, pretended = five_runs(), five_runs(simulated="tiny", hardware="simulated-h200", engine="simulated")
    series = [
        *history_series(real, filters=["mtp3-c16"]),
        *history_series(pretended, "ttft_p50_ms", filters=["off-c4"]),
        *history_series(real[:1], "cost_usd_mtok", filters=["off-c4"]),
    ]
    tables = history_tables(series, width=width, last=4)
    tables += history_tables(history_series(real), width=width)
    mixed = history_series([*real, *pretended], filters=["mtp3"])
    assert len(mixed) == 6
    tables += history_tables(mixed, width=width)
    return "\n\n".join(terminal(table) for table in tables) + "\n"


@pytest.mark.parametrize("width", [80, 160])
def test_the_terminal_shows_what_the_golden_file_has(width: int) -> None:
    assert shown(width) == (GOLDEN / f"history_{width}.txt").read_text()


def test_the_page_draws_every_point_with_its_interval_and_runs_no_script() -> None:
    hostile = "0.23<script>alert(1)</script>"
    runs = [*five_runs(), saved("2026-11-24", at("2026-11-24", measured(), version=hostile))]
    page = history_page(history_series(runs, filters=["off"]), ["a.json is <b>no run"])
    assert page.count("<circle") == page.count('class="whisker"') == 5 * 3 + 1
    assert page.count("<section") == 3
    assert "<script" not in page
    assert "<b>no run" not in page
    assert not re.findall(r"(?:src|href)=|http:|@import", page)
    assert "default-src 'none'; style-src 'sha256-" in page
    assert "SIMULATED" not in page
    assert "SIMULATED: preset tiny" in history_page(history_series(five_runs(simulated="tiny")))


def test_a_drawing_keeps_order_scale_and_readable_labels() -> None:
    (series,) = history_series(five_runs(), filters=["off-c8"])
    drawn = drawing(series)
    by_value = sorted(zip(series.points, drawn.marks, strict=True), key=lambda pair: pair[0].value.value)
    heights = [mark.y for _, mark in by_value]
    assert heights == sorted(heights, reverse=True)
    assert all(mark.high < mark.y < mark.low for mark in drawn.marks)
    assert [mark.version for mark in drawn.marks] == ["0.20.0", "", "0.21.0", "0.22.0", "0.22.1rc2.dev341+gabcdef"]
    many = [
        saved(f"2026-10-{day:02}", at(f"2026-10-{day:02}", measured(), version=f"0.{day}.0rc1.dev9"))
        for day in range(1, 31)
    ]
    (long,) = history_series(many)
    named = [mark.x for mark in drawing(long).marks if mark.version]
    assert 4 < len(named) < 15


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for item in five_runs():
        save_run(item.run, tmp_path / item.path.name)
    assert main(["history", "mtp3-c16", "--runs", str(tmp_path), "--html", str(tmp_path / "out.html")]) == 0
    assert f"wrote {tmp_path}/out.html" in capsys.readouterr().out
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")


def test_the_detailed_table_fits_eighty_columns() -> None:
    for table in history_tables(history_series(five_runs(), filters=["mtp3-c16"]), width=80):
        grid = [line for line in terminal(table).splitlines() if "│" in line]
        assert len(grid) == 5
        assert max(map(len, grid)) <= 80


def test_a_doubtful_number_says_why() -> None:
    finding = "the first draft token is accepted in 3 % of the steps"
    point = HistoryPoint(
        measured_at=f"{DAYS[0]}T12:00:00+00:00",
        version="1",
        value=Estimate(1.0, 0.1),
        change=None,
        outcome=Outcome.UNHEALTHY,
        run="a.json",
        doubt=finding,
    )
    series = Series(
        cell=CELL, metric="total_tok_s_gpu", hardware="h200", engine="vllm", simulated="", condition="", points=(point,)
    )
    (table,) = history_tables([series])
    assert table.notes == [f"2026-09-01 12:00: {finding}"]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_a_sparkline_has_a_bar_per_value_and_keeps_their_order(values: list[float]) -> None:
    bars = sparkline(values)
    assert len(bars) == len(values)
    for a, b, one, two in zip(values, values[1:], bars, bars[1:], strict=False):
        assert (a <= b and one <= two) or (a >= b and one >= two)


@example(0.0, 2.0, 2.2e-308, 0.0, 3)
@given(st.floats(0, 100), st.floats(0, 50), st.floats(0, 100), st.floats(0, 100), st.integers(3, 50))
def test_a_strip_has_one_dot_inside_its_whiskers(value: float, half: float, a: float, b: float, width: int) -> None:
    point = HistoryPoint(
        measured_at="", version="", value=Estimate(value, half), change=None, outcome=None, run="", doubt=""
    )
    drawn = strip(point, min(a, b), max(a, b), width)
    assert len(drawn) == width + 2
    assert drawn.strip("│").strip().strip("─") == "●"


def test_every_metric_of_price_or_bounds_is_a_metric() -> None:
    for metric in METRICS.values():
        assert (metric.needs == "price") == ("kW" in metric.formula or "$" in metric.formula)
        assert (metric.needs == "SLO") == ("SLO" in metric.formula)
