"""The page in a real browser: every control, and what is on screen against the run's own numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from sample_runs import curves, large_run, point, run_of, two_runs

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.price import Price, cost_usd_mtok, list_price, tok_s_mw
from pytest_specdec.importers.inferencex import load_inferencex
from pytest_specdec.importers.selection import Selection, published_comparisons
from pytest_specdec.report.html import page, render_page
from pytest_specdec.report.page_data import comparisons_document
from pytest_specdec.results.measurement import Measurement, curve_of
from pytest_specdec.results.run import Run, by_curve, compare_modes

if TYPE_CHECKING:
    from opened import Opened

pytest_plugins = ["opened"]

Show = Callable[..., "Opened"]
X, Y = "interactivity_tok_s_user", "total_tok_s_gpu"
LEVEL = "#comparison .levels input"


@pytest.fixture
def both(show: Show) -> Opened:
    now, before = two_runs()
    return show(page(now, None, before))


def options(opened: Opened, selector: str) -> list[str]:
    return [str(value) for value in opened.page.locator(f"{selector} option").evaluate_all("o => o.map(e => e.value)")]


def points(opened: Opened) -> int:
    return opened.page.locator("#chart .point").count()


def rows(opened: Opened, selector: str) -> list[list[str]]:
    found: list[list[str]] = opened.page.locator(f"{selector} tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    )
    return found


# ---- numbers on screen


def test_the_table_of_points_shows_every_number_of_the_run(show: Show) -> None:
    run = run_of(curves())
    opened = show(page(run))
    opened.page.click("#view-table")
    headers = opened.page.locator("#points th[scope=col]").all_inner_texts()
    measured = [m for group in by_curve(run.measurements).values() for m in group]
    assert len(rows(opened, "#points")) == len(measured)
    cells = opened.page.locator("#points tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => ({...cell.dataset, text: cell.innerText})))"
    )
    seen = 0
    for row, measurement in zip(cells, measured, strict=True):
        for key in METRICS:
            title = f"{METRICS[key].title} ({METRICS[key].unit})"
            if title not in headers or headers.index(title) < 3:
                continue
            cell = row[headers.index(title)]
            estimate = measurement.values.get(key) or derived(measurement, key)
            if estimate is None:
                assert cell["text"] == ""
                continue
            assert float(cell["value"]) == pytest.approx(estimate.value, rel=1e-12)
            half = float(cell["half"]) if "half" in cell else None
            assert half == pytest.approx(estimate.half_width, rel=1e-12)
            seen += 1
    assert seen > 90


def derived(measurement: Measurement, key: str) -> Estimate | None:
    price, throughput = measurement.price, measurement.throughput
    made = {
        "cost_usd_mtok": cost_usd_mtok(price, throughput),
        "cost_usd_mtok_output": cost_usd_mtok(price, measurement.value("output_tok_s_gpu")),
        "tok_s_mw": tok_s_mw(price, throughput),
        "j_tok": throughput.inverse(price.kw_per_gpu * 1000),
    }
    return made.get(key)


@pytest.mark.parametrize("level", [55.0, 75.0, 96.1, 40.5, 130.0, 25.3])
def test_the_comparison_is_pythons_at_any_level(show: Show, level: float) -> None:
    run = run_of(curves())
    opened = show(page(run))
    comparison = compare_modes(run.measurements)[0][0]
    assert options(opened, "#comparison-choice")
    box = opened.page.locator(LEVEL).first
    box.fill(str(level))
    box.press("Enter")
    found = rows(opened, "#comparison .levels")
    if not comparison.candidate.range[0] <= level <= comparison.candidate.range[1] or not (
        comparison.reference.range[0] <= level <= comparison.reference.range[1]
    ):
        assert found[0][1] == "not measured"
        assert "lies outside" in opened.page.inner_text("#comparison .notes")
        return
    read = comparison.at(level)
    first, second = "#comparison .levels tbody tr:nth-child(1)", "#comparison .levels tbody tr:nth-child(2)"
    for selector, place, expected in (
        (first, 3, read.candidate.throughput),
        (second, 2, read.reference.throughput),
        (first, 4, read.throughput_ratio),
    ):
        value, half = opened.number(f"{selector} > :nth-child({place})")
        assert value == pytest.approx(expected.value, rel=1e-9)
        assert half == pytest.approx(expected.half_width, rel=1e-9)
    cost, power = read.cost(read.candidate), read.tok_s_mw(read.candidate)
    assert cost is not None
    assert power is not None
    assert opened.number(f"{first} > :nth-child(5)")[0] == pytest.approx(cost.value, rel=1e-9)
    assert opened.number(f"{first} > :nth-child(6)")[0] == pytest.approx(read.saving, rel=1e-9)
    assert opened.number(f"{first} > :nth-child(7)")[0] == pytest.approx(power.value, rel=1e-9)
    assert found[0][5] == f"{100 * read.saving:.0f} %"
    assert found[0][7:] == [f"~{read.candidate.concurrency:.0f}", str(read.candidate.bracket)]
    assert found[1][-1] == str(read.reference.bracket)
    assert opened.page.inner_text("#comparison .sentences li:first-child") == read.sentence()


def test_the_table_at_matched_concurrency_is_pythons(show: Show) -> None:
    run = run_of(curves())
    opened = show(page(run))
    opened.page.click("#comparison summary")
    comparison = compare_modes(run.measurements)[0][0]
    found = rows(opened, ".matched")
    assert [row[0] for row in found] == [str(c) for c in comparison.shared_concurrencies()]
    for number, concurrency in enumerate(comparison.shared_concurrencies(), start=1):
        level = comparison.at_concurrency(concurrency)
        for place, expected in ((4, level.interactivity_ratio), (7, level.throughput_ratio)):
            value, half = opened.number(f".matched tbody tr:nth-child({number}) > :nth-child({place})")
            assert value == pytest.approx(expected.value, rel=1e-9)
            assert half == pytest.approx(expected.half_width, rel=1e-9)


def test_published_results_make_a_page_of_their_own(show: Show) -> None:
    data = Path(__file__).parent.parent / "data" / "inferencex" / "benchmarks.json"
    chosen = Selection(both={"engine": ["sglang"], "date": ["2026-05-17", "2026-05-20"]}, off={}, mtp={})
    comparisons, _ = published_comparisons(load_inferencex(data), chosen, None)
    opened = show(render_page(comparisons_document(comparisons)))
    level = comparisons[0].levels()[0]
    assert opened.page.input_value(f"{LEVEL} >> nth=0") == str(level)
    assert opened.page.inner_text("#comparison .sentences li:first-child") == comparisons[0].at(level).sentence()
    assert opened.page.is_hidden("#simulated")
    assert opened.page.is_hidden("#verdicts")


# ---- every control


def test_menus_choose_what_is_shown(both: Opened) -> None:
    page_ = both.page
    assert options(both, "#sequence") == ["", "1k1k", "8k1k"]
    assert points(both) == 22, "11 points of each run"
    page_.select_option("#sequence", "")
    assert points(both) == 44
    page_.select_option("#sequence", "8k1k")
    assert points(both) == 22
    for box, left in (("#show-mtp", 12), ("#show-off", 10), ("#show-now", 11), ("#show-baseline", 11)):
        page_.uncheck(box)
        assert points(both) == left, box
        page_.check(box)
    page_.uncheck("#all-points")
    assert points(both) == 20, "c65 of Off lies behind the frontier"


@pytest.mark.parametrize("axis", ["x", "y"])
def test_every_metric_of_the_menus_is_drawn(both: Opened, axis: str) -> None:
    for key in options(both, f"#{axis}"):
        both.page.select_option(f"#{axis}", key)
        label = both.page.locator("#chart .point").first.get_attribute("aria-label") or ""
        title = "concurrency" if key == "concurrency" else METRICS[key].title
        assert title in label
        assert "NaN" not in both.page.inner_html("#chart")
        assert title in both.page.locator("#chart .title").all_text_contents()[0 if axis == "x" else 1]


def test_lines_over_another_axis_are_not_interpolated(both: Opened) -> None:
    assert both.page.locator("#chart .line.straight").count() == 0
    both.page.select_option("#x", "ttft_p50_ms")
    assert both.page.locator("#chart .line:not(.straight)").count() == 0
    assert "nothing is interpolated" in both.page.inner_text("#line-words")
    assert both.page.locator("#chart .ruler").count() == 0


def test_switches_change_the_drawing(both: Opened) -> None:
    for switch, what in (("#lines", ".line"), ("#bars", ".bar"), ("#levels", ".ruler")):
        assert both.page.locator(f"#chart {what}").count() > 0
        both.page.uncheck(switch)
        assert both.page.locator(f"#chart {what}").count() == 0, switch
    both.page.check("#labels")
    assert "c16" in both.page.locator("#chart .labels text").all_text_contents()
    ticks = both.page.locator("#chart .axes").text_content()
    for switch in ("#log-x", "#log-y"):
        both.page.check(switch)
        assert both.page.locator("#chart .axes").text_content() != ticks
        ticks = both.page.locator("#chart .axes").text_content()


def test_a_wide_bracket_is_dotted_and_named(both: Opened) -> None:
    assert both.page.locator("#chart .line.wide").count() == 2, "MTP of both runs has no c64"
    box = both.page.locator(LEVEL).first
    box.fill("40")
    box.press("Enter")
    assert "c32-c128 WIDE" in both.page.inner_text("#comparison .levels")
    assert "a point in between may move it" in both.page.inner_text("#comparison .notes")


def test_prices_change_cost_and_power_and_nothing_else(both: Opened) -> None:
    run, _ = two_runs()
    read = compare_modes(run.measurements)[0][0]
    page_ = both.page
    level = float(page_.input_value(f"{LEVEL} >> nth=0"))
    throughput = read.at(level).candidate.throughput
    cells = [f"#comparison .levels tbody tr:first-child > :nth-child({n})" for n in (3, 5, 7)]

    def shown() -> list[float]:
        return [both.number(cell)[0] for cell in cells]

    def expected(price: Price) -> list[float]:
        return [throughput.value, cost_usd_mtok(price, throughput).value, tok_s_mw(price, throughput).value]

    assert shown() == pytest.approx(expected(run.measurements[0].price))
    for value in options(both, "#price")[1:-1]:
        page_.select_option("#price", value)
        tier, book = value.split(", ")
        assert shown() == pytest.approx(expected(list_price("h200", book=book, tier=tier)))
        assert f"InferenceX {book}" in page_.inner_text("#comparison .notes")
    page_.select_option("#price", "own")
    page_.fill("#usd", "3.3")
    page_.fill("#kw", "1.1")
    page_.press("#kw", "Enter")
    assert shown() == pytest.approx(expected(Price(usd_per_gpu_hour=3.3, kw_per_gpu=1.1)))
    page_.fill("#usd", "-1")
    page_.press("#usd", "Enter")
    assert page_.get_attribute("#usd", "aria-invalid") == "true"
    assert shown() == pytest.approx(expected(Price(usd_per_gpu_hour=3.3, kw_per_gpu=1.1)))


def test_hardware_without_a_listed_price_has_no_cost(show: Show) -> None:
    run = run_of(curves())
    known = show(page(run).replace('"hardware":"h200"', '"hardware":"unlisted"'))
    known.page.select_option("#price", options(known, "#price")[1])
    assert "there is no cost" in known.page.inner_text("#comparison .notes")
    known.page.select_option("#y", "cost_usd_mtok")
    assert points(known) == 0


def test_the_legend_hides_and_shows(both: Opened) -> None:
    both.page.click("#legend button >> nth=0")
    assert both.page.get_attribute("#legend button >> nth=0", "aria-pressed") == "false"
    assert points(both) == 16
    both.page.click("#hide-all")
    assert points(both) == 0
    both.page.click("#show-all")
    assert points(both) == 22


def test_a_point_tells_everything_on_hover_and_stays_when_pinned(both: Opened) -> None:
    both.page.uncheck("#show-baseline")
    mark = both.page.locator("#chart .point").nth(2)
    mark.hover()
    tip = both.page.inner_text("#tip").replace("\u202f", "")
    measurement = two_runs()[0].measurements[2]
    for key, estimate in measurement.values.items():
        digits = METRICS[key].digits
        text = f"{estimate.value:.{digits}f} ± {estimate.half_width:.{digits}f}"
        assert text in tip, key
    assert "10 finished, 0 failed" in tip
    mark.click()
    assert both.page.locator("#pins .card").count() == 1
    both.page.locator("#chart .point").nth(8).click()
    assert both.page.locator("#pins .card").count() == 2
    both.page.click("#pins .card >> nth=0 >> button")
    assert both.page.locator("#pins .card").count() == 1
    both.page.click("#unpin")
    assert both.page.is_hidden("#pinned")


def drag(opened: Opened, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag as a hand does: a busy browser joins moves of one frame, and loses where a drag began."""
    frame = "() => new Promise(requestAnimationFrame)"
    opened.page.mouse.move(*start)
    opened.page.evaluate(frame)
    opened.page.mouse.down()
    opened.page.evaluate(frame)
    opened.page.mouse.move(*end, steps=4)
    opened.page.evaluate(frame)
    opened.page.mouse.up()


def test_zoom_by_button_drag_wheel_and_back(both: Opened) -> None:
    whole = both.page.locator("#chart .axes").text_content()
    both.page.click("#zoom-in")
    assert points(both) < 22
    both.page.click("#zoom-out")
    both.page.click("#zoom-reset")
    assert both.page.locator("#chart .axes").text_content() == whole
    box = both.page.locator("#chart").bounding_box()
    assert box is not None
    drag(both, (box["x"] + 200, box["y"] + 100), (box["x"] + 500, box["y"] + 300))
    both.page.wait_for_function("before => document.querySelector('#chart .axes').textContent !== before", arg=whole)
    zoomed = both.page.locator("#chart .axes").text_content()
    assert both.page.locator("#pins .card").count() == 0, "a drag pins nothing"
    both.page.keyboard.down("Shift")
    drag(both, (box["x"] + 300, box["y"] + 200), (box["x"] + 420, box["y"] + 220))
    both.page.keyboard.up("Shift")
    both.page.wait_for_function("before => document.querySelector('#chart .axes').textContent !== before", arg=zoomed)
    both.page.locator("#chart").dblclick(position={"x": 100, "y": 20})
    both.page.wait_for_function("whole => document.querySelector('#chart .axes').textContent === whole", arg=whole)
    both.page.keyboard.down("Control")
    both.page.mouse.wheel(0, -100)
    both.page.keyboard.up("Control")
    both.page.wait_for_function("whole => document.querySelector('#chart .axes').textContent !== whole", arg=whole)


def test_keys_reach_every_point(both: Opened) -> None:
    page_ = both.page
    page_.locator("#chart .point[tabindex='0']").focus()
    label = "document.activeElement.getAttribute('aria-label')"
    seen = {page_.evaluate(label)}
    for _ in range(4):
        page_.keyboard.press("Home")
        for _ in range(6):
            seen.add(page_.evaluate(label))
            page_.keyboard.press("ArrowRight")
            seen.add(page_.evaluate(label))
        page_.keyboard.press("ArrowDown")
    assert len(seen) == 22
    page_.keyboard.press("Enter")
    assert page_.locator("#pins .card").count() == 1
    assert page_.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert "pinned" in page_.inner_text("#status")
    assert page_.is_visible("#tip")
    page_.keyboard.press("Escape")
    assert page_.is_hidden("#tip")
    page_.keyboard.press("+")
    assert page_.evaluate("document.activeElement.closest('#chart') !== null"), "focus survives the redrawing"


def test_levels_are_edited_added_removed_and_reset(both: Opened) -> None:
    page_ = both.page
    first = page_.input_value(f"{LEVEL} >> nth=0")
    page_.click("text=Add a level")
    assert page_.locator(LEVEL).count() == 4
    page_.click("#comparison .levels button >> nth=0")
    assert page_.locator(LEVEL).count() == 3
    assert page_.input_value(f"{LEVEL} >> nth=0") != first
    box = page_.locator(LEVEL).first
    box.fill("-3")
    box.press("Enter")
    assert float(page_.input_value(f"{LEVEL} >> nth=0")) > 0
    page_.click("text=Reset levels")
    assert page_.input_value(f"{LEVEL} >> nth=0") == first
    assert page_.locator("#chart .ruler").count() == 3


def test_two_runs_are_compared_curve_by_curve(both: Opened) -> None:
    choices = both.page.locator("#comparison-choice option").all_inner_texts()
    assert [choice.split(":")[0] for choice in choices] == [
        "MTP 3 against Off",
        "MTP 3 (baseline) against Off (baseline)",
        "Off now against Off baseline",
        "MTP 3 now against MTP 3 baseline",
    ]
    both.page.select_option("#comparison-choice", label=choices[3])
    now, before = (
        [m for m in run.measurements if m.cell.engine.mtp and m.cell.workload.isl == 1024] for run in two_runs()
    )
    level = float(both.page.input_value(f"{LEVEL} >> nth=0"))
    value, _ = both.number("#comparison .levels tbody tr:first-child > :nth-child(4)")
    gain = curve_of(now).at(level).throughput.value / curve_of(before).at(level).throughput.value
    assert value == pytest.approx(gain, rel=1e-9)
    assert gain == pytest.approx(0.82, abs=0.01)
    assert "version differs (0.20.0 against 0.19.0)" in both.page.inner_text("#comparison .notes")


def test_verdicts_are_counted_and_the_bad_ones_come_first(both: Opened) -> None:
    assert re.sub(r"\s+", " ", both.page.inner_text("#counts")).strip() == "1 ▼ regressed 2 ✓ pass"
    assert both.page.inner_text("#headline").startswith("FAIL: 1 regressed, 2 pass of 3 cells")
    found = rows(both, "#verdicts")
    assert found[0][0] == "model-fp8-1k1k-off-c4"
    assert found[0][5].startswith("-20.0 %")
    assert found[1] == ["it lost"]


def test_environments_name_what_differs(both: Opened) -> None:
    found = {row[0]: row[1:] for row in rows(both, "#environments")}
    assert found["driver"] == ["differs", "560.2", "550.1"] or found["driver"][0] == "differs"
    assert found["version"][0] == "differs"
    assert found["engine"][0] == "same"
    both.page.check("#environments input")
    assert both.page.locator("#environments tbody tr.same >> visible=true").count() == 0


def test_themes_change_the_colours(both: Opened) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = both.page.evaluate(paper)
    both.page.select_option("#theme", "dark")
    dark = both.page.evaluate(paper)
    assert light != dark
    both.page.select_option("#theme", "light")
    assert both.page.evaluate(paper) == light
    both.page.emulate_media(color_scheme="dark")
    assert both.page.evaluate(paper) == light, "the choice holds against the system's"
    both.page.select_option("#theme", "auto")
    assert both.page.evaluate(paper) == dark


# ---- exports


def test_the_csv_holds_the_points_in_full(both: Opened) -> None:
    with both.page.expect_download() as waiting:
        both.page.click("#csv")
    table = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
    assert len(table) == 22
    mine = {
        m.cell.concurrency: m
        for m in two_runs()[0].measurements
        if not m.cell.engine.mtp and m.cell.workload.isl == 1024
    }
    for row in table:
        if row["run"] == "now" and row["mode"] == "Off":
            measurement = mine[int(row["load"])]
            assert float(row[Y]) == measurement.throughput.value
            assert float(row[f"{X}_half_width"]) == measurement.interactivity.half_width
            assert row["acceptance_length"] == "", "missing is missing"


def test_the_chart_is_saved_as_svg_and_png(both: Opened) -> None:
    with both.page.expect_download() as waiting:
        both.page.click("#svg")
    text = Path(waiting.value.path()).read_text()
    assert text.startswith("<svg")
    assert "var(--" not in text
    assert text.count("class=") == 0
    with both.page.expect_download() as waiting:
        both.page.click("#png")
    assert Path(waiting.value.path()).read_bytes().startswith(b"\x89PNG")


# ---- what must never happen


INJECTED = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028"


def test_a_script_in_a_name_stays_text(show: Show) -> None:
    measurements = [point(c, 100 / c, 50 * c, mtp=mtp, model=INJECTED) for c in (1, 2, 4) for mtp in (0, 3)]
    noted = [type(m)(**{**{f: getattr(m, f) for f in m.__struct_fields__}, "notes": (INJECTED,)}) for m in measurements]
    opened = show(page(run_of(noted, not_measured={"cell": INJECTED})))
    assert opened.page.locator("script").count() == 2
    assert opened.page.locator("img").count() == 0
    assert "<script>alert(1)</script>" in opened.page.inner_text("#remark-list")
    assert INJECTED.strip("\u2028") in opened.page.inner_text("#model")
    with opened.page.expect_download() as waiting:
        opened.page.click("#csv")
    assert "<script>" in Path(waiting.value.path()).read_text()


def test_a_spreadsheet_takes_no_name_for_a_formula(show: Show) -> None:
    opened = show(page(run_of([point(4, 100, 100, model="=HYPERLINK(1)")])))
    with opened.page.expect_download() as waiting:
        opened.page.click("#csv")
    assert next(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))["model"] == "'=HYPERLINK(1)"


def test_the_policy_lets_no_other_script_run(both: Opened) -> None:
    both.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = 1";
            document.body.append(script);
        }"""
    )
    assert both.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in complaint for complaint in both.complaints)
    both.complaints.clear()


def open_loop() -> list[Measurement]:
    """Points by requests per second: they have no concurrency, and no curve is read between them."""
    made = [point(4, 100 / rate, 100 * rate, mtp=mtp) for rate in (1.0, 2.5) for mtp in (0, 3)]
    cells = [replace(m.cell, concurrency=0, rate=100 / m.interactivity.value) for m in made]
    return [replace(m, cell=cell) for m, cell in zip(made, cells, strict=True)]


@pytest.mark.parametrize(
    "measurements",
    [[], [point(4, 100, 100)], [point(4, 100, 100), point(4, 90, 100, mtp=3)], open_loop()],
    ids=["nothing", "one point", "one each", "open loop"],
)
def test_little_or_nothing_measured_is_a_page_all_the_same(show: Show, measurements: list[Measurement]) -> None:
    opened = show(page(run_of(measurements)))
    assert points(opened) == len(measurements)
    for view in ("#view-table", "#view-chart"):
        opened.page.click(view)
    for key in options(opened, "#y"):
        opened.page.select_option("#y", key)


def test_simulated_results_say_so(show: Show) -> None:
    run = run_of([])
    simulated = Run(**{f: getattr(run, f) for f in run.__struct_fields__} | {"measurements": simulated_points()})
    opened = show(page(simulated))
    assert opened.page.is_visible("#simulated")
    assert "SIMULATED" in (opened.page.locator("#chart .watermark").text_content() or "")
    assert "(simulated)" in opened.page.inner_text("#legend")
    assert "SIMULATED" in opened.page.inner_text("#comparison .notes")


def simulated_points() -> tuple[Measurement, ...]:
    environment = point(4, 1, 1).environment
    named = type(environment)(hardware="simulated-h200", engine="simulated", version="1", simulated="a preset")
    return tuple(curves(environment=named))


# ---- size


def test_five_thousand_points_are_usable(show: Show) -> None:
    html = page(large_run())
    opened = show(html)
    assert opened.page.locator("#legend button").count() == 2, "one model and sequence at first"
    opened.page.select_option("#model", "")
    opened.page.select_option("#sequence", "")
    assert points(opened) == 5000
    opened.page.click("#view-table")
    assert len(rows(opened, "#points")) == 200
    opened.page.click("text=Show all points")
    assert opened.page.locator("#points tbody tr").count() == 5000
