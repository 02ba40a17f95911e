"""The page that a reviewer reads: verdict first, only what changed, the rest folded, and never too long."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from golden import same_as_golden
from hypothesis import given
from hypothesis import strategies as st
from measured import measured

from pytest_specdec.domain.cell import Cell, EngineSpec
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.outputs.verdict import OutputVerdict
from pytest_specdec.report.mermaid import frontier_chart
from pytest_specdec.report.pull_request import COMMENT_BYTES, headline, pull_request_page
from pytest_specdec.report.render import Table, escaped, markdown
from pytest_specdec.report.run_report import report_run
from pytest_specdec.report.step_summary import LIMIT_BYTES, append_step_summary
from pytest_specdec.results.cost import Cost
from pytest_specdec.results.decision import Decision, Evidence, SuiteDecision
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import RawRun, Run, compare_modes
from pytest_specdec.results.verdict import MetricVerdict, Verdict
from pytest_specdec.speculation.diagnosis import diagnose

HOSTILE = '0.22|<script>alert(1)</script>\n\n# ![x](http://evil/x.png) `code` @team "]'


def points(factor: float = 1.0, *, simulated: str = "", version: str = "0.22.0") -> tuple[Measurement, ...]:
    return tuple(
        in_environment(
            measured(
                c,
                mtp=mtp,
                throughput=20 * c**0.7 * (1 + mtp / 4) * (factor if mtp else 1),
                interactivity=200 / c**0.4 * (1 + mtp / 5),
                half=0.005,
                acceptance=2.6 * factor if mtp else None,
            ),
            simulated=simulated,
            version=version,
        )
        for mtp in (0, 3)
        for c in (4, 8, 16)
    )


def in_environment(measurement: Measurement, **changes: str) -> Measurement:
    environment = msgspec.structs.replace(measurement.environment, **changes)
    output = measurement.throughput.scaled(0.5)
    return msgspec.structs.replace(
        measurement, environment=environment, values={**measurement.values, "output_tok_s_gpu": output}
    )


def metric(key: str, before: float, now: float, outcome: Outcome | None) -> MetricVerdict:
    return MetricVerdict(
        metric=key,
        baseline=Estimate(before, before * 0.005),
        measured=Estimate(now, now * 0.005),
        loss=Estimate(METRICS[key].loss(now, before), 0.0071),
        tolerance=None if outcome is None else 0.05,
        outcome=outcome,
    )


def verdict(measurement: Measurement, outcome: Outcome, reason: str = "", *, change: float = 1.0) -> Verdict:
    if reason:
        return Verdict(cell=measurement.cell, outcome=outcome, reason=reason)
    before = {key: value.scaled(1 / change) for key, value in measurement.values.items() if key != "ttft_p50_ms"}
    found = outcome if outcome is not Outcome.UNHEALTHY else Outcome.REGRESSED
    metrics = (
        metric("total_tok_s_gpu", before["total_tok_s_gpu"].value, measurement.throughput.value, found),
        metric("interactivity_tok_s_user", 50.0, 50.0, Outcome.PASS),
        metric("ttft_p50_ms", 80.0, 99.0, None),
    )
    why = None if outcome is Outcome.PASS else diagnose(before, measurement.values)
    return Verdict(cell=measurement.cell, outcome=outcome, metrics=metrics, diagnosis=why)


def a_run(measurements: tuple[Measurement, ...], *verdicts: Verdict, **changes: object) -> Run:
    run = Run(
        tool_version="0.1.0",
        started_at="2026-11-23T12:00:00+00:00",
        complete=True,
        measurements=measurements,
        verdicts=verdicts,
    )
    return msgspec.structs.replace(run, **changes)


def own_check() -> Decision:
    return Decision(
        cell="a",
        metric="acceptance by prompt",
        outcome=Outcome.FAIL,
        evidence=Evidence.OWN,
        reason="fewer drafts are accepted on 88 of 96 prompts",
    )


def decision() -> SuiteDecision:
    passed = Decision(cell="a", metric="total_tok_s_gpu", outcome=Outcome.PASS, evidence=Evidence.SCREEN, high=0.023)
    return SuiteDecision(
        outcome=Outcome.FAIL,
        decisions=(passed,),
        alpha=0.01,
        alpha_spent=0.01,
        miss_at_margin=0.05,
        runner_factor={},
        noisy_runner=False,
        suspects=1,
        looks=2,
    )


def passing() -> Run:
    found = points(simulated="tiny")
    return a_run(found, *(verdict(m, Outcome.PASS) for m in found))


def confirmed(verdict: Verdict) -> Verdict:
    """The same, with throughput decided by pairs."""
    by_pairs = Decision(
        cell="a", metric="total_tok_s_gpu", outcome=Outcome.FAIL, evidence=Evidence.PAIRS, loss=0.12, pairs=8
    )
    first, *others = verdict.metrics
    return msgspec.structs.replace(verdict, metrics=(msgspec.structs.replace(first, decision=by_pairs), *others))


def failing() -> Run:
    found = points(0.88)
    broken = "the first draft token is accepted in 3 % of the steps"
    lost = Cell(EngineSpec(model="org/Model-FP8", precision="fp8", mtp=2), found[0].cell.workload, 4)
    outcomes = (
        verdict(found[0], Outcome.PASS),
        verdict(found[1], Outcome.NO_BASELINE, "no baseline is stored for this cell"),
        verdict(found[2], Outcome.NO_BASELINE, "no baseline is stored for this cell"),
        msgspec.structs.replace(
            confirmed(verdict(found[3], Outcome.REGRESSED, change=0.88)),
            checks=(own_check(),),
            notes=("driver differs: measured '570', baseline '550'",),
        ),
        verdict(found[4], Outcome.IMPROVED, change=1.2),
        verdict(found[5], Outcome.UNHEALTHY, broken),
    )
    asked = OutputVerdict(check="same text", outcome=Outcome.FAILED, reasons=("9 of 220 texts part hard",), numbers={})
    old = in_environment(found[3], version="0.20.0")
    return a_run(
        found,
        *outcomes,
        complete=False,
        raw=(RawRun(measurement=found[3]), RawRun(measurement=old, arm="reference", stage="confirm")),
        decision=decision(),
        cost=Cost(server_starts=12, seconds=2040.0, gpu_hours=4.53, usd=6.39),
        not_measured={str(lost): "vllm died while it loaded: CUDA out of memory"},
        outputs={"model-fp8-mtp3": (asked,)},
    )


def unfolded(run: Run, failed: int) -> str:
    """The page without what is folded: those tables are other reports', and have their own tests."""
    page = pull_request_page(run, failed_tests=failed)
    return re.sub(r"(<details><summary>[^\n]*</summary>\n).*?(?=</details>)", r"\1", page, flags=re.DOTALL)


@pytest.mark.parametrize(("name", "run", "failed"), [("pass", passing(), 0), ("fail", failing(), 5)])
def test_the_page_is_what_the_golden_file_has(name: str, run: Run, failed: int) -> None:
    same_as_golden(f"pull_request_{name}.md", unfolded(run, failed))


def test_what_is_folded_is_every_table_of_the_run() -> None:
    page = pull_request_page(failing())
    _, tables, _ = report_run(failing())
    for table in tables:
        for row in table.rows:
            assert escaped(row[0]) in page


@pytest.mark.parametrize(
    ("outcomes", "failed", "said"),
    [
        ((Outcome.PASS,), 0, "PASS: 1 pass of 1 cell"),
        ((Outcome.PASS, Outcome.IMPROVED), 0, "PASS: 1 improved, 1 pass of 2 cells"),
        ((Outcome.PASS, Outcome.REGRESSED), 1, "FAIL: 1 regressed, 1 pass of 2 cells; 1 test failed"),
        ((Outcome.UNHEALTHY, Outcome.REGRESSED), 0, "FAIL: 1 unhealthy, 1 regressed of 2 cells"),
        ((Outcome.PASS, Outcome.INCONCLUSIVE), 0, "UNDECIDED: 1 inconclusive, 1 pass of 2 cells"),
        ((Outcome.NOT_COMPARABLE, Outcome.PASS), 0, "UNDECIDED: 1 not comparable, 1 pass of 2 cells"),
        ((Outcome.NO_BASELINE,), 0, "FAIL: 1 no baseline of 1 cell"),
        ((Outcome.PASS, Outcome.WARN), 0, "PASS: 1 warn, 1 pass of 2 cells"),
        # The gate may be green and a test of the user's own red.
        ((Outcome.PASS,), 2, "FAIL: 1 pass of 1 cell; 2 tests failed"),
        ((), 0, "PASS: 6 points measured, none judged against a baseline"),
    ],
)
def test_the_first_line_is_the_verdict_with_counts(outcomes: tuple[Outcome, ...], failed: int, said: str) -> None:
    found = points()
    judged = [verdict(m, outcome, "because") for m, outcome in zip(found, outcomes, strict=False)]
    assert headline(a_run(found, *judged), failed) == said


def test_what_became_a_baseline_is_accepted_and_no_failure() -> None:
    found = points()
    run = a_run(found, verdict(found[0], Outcome.NO_BASELINE, "no baseline is stored for this cell"))
    assert headline(run, accepted=True) == "ACCEPTED: 1 no baseline of 1 cell; stored as baselines"
    assert headline(run, 1, accepted=True).startswith("FAIL: ")


def test_an_interrupted_run_is_no_pass() -> None:
    found = points()
    run = a_run(found, verdict(found[0], Outcome.PASS), complete=False, not_measured={"a": "interrupted"})
    assert headline(run) == "UNDECIDED: 1 pass of 1 cell; 1 cell not measured"


def test_only_what_changed_stands_before_the_fold() -> None:
    before_fold = pull_request_page(failing()).partition("<details>")[0]
    changed = before_fold.partition("### What changed")[2].partition("###")[0]
    assert "off-c4" not in changed  # it passed
    assert "TTFT" not in changed  # it is not gated
    assert "2 cells, such as model-fp8-1k1k-off-c8: no baseline is stored" in changed
    assert re.search(
        r"mtp3-c4 +\| regressed +\| throughput/GPU +\| +92\.4 \| +81\.3 tok/s/GPU \| +\+12\.0% ± 0\.7%", changed
    )
    assert "- model-fp8-1k1k-mtp3-c4: output -12.0%: acceptance length" in changed


def test_simulated_results_say_so_in_the_first_line_and_below_it() -> None:
    first, _, second, *_ = pull_request_page(passing()).splitlines()
    assert first == "## PASS: 6 pass of 6 cells (SIMULATED)"
    assert second.startswith("> **SIMULATED**")
    assert "SIMULATED" not in pull_request_page(a_run(points()))


def test_a_page_of_any_run_fits_into_a_comment_and_says_what_is_left_out() -> None:
    base = points()
    many = tuple(
        msgspec.structs.replace(
            m,
            cell=Cell(
                msgspec.structs.replace(m.cell.engine, model=f"org/Model-{n}"), m.cell.workload, m.cell.concurrency
            ),
        )
        for n in range(40)
        for m in base
    )
    run = a_run(many, *(verdict(m, Outcome.REGRESSED, change=0.9) for m in many), not_measured={"x": "y" * 100_000})
    page = pull_request_page(run)
    assert len(page.encode()) <= COMMENT_BYTES
    assert "more tables are too long for a comment: `specdec report RUN` prints them" in page
    assert "and 440 more: all verdicts are below" in page
    assert page.count("<details>") == page.count("</details>") > 0


def test_text_from_a_server_stays_text() -> None:
    found = points(version=HOSTILE)
    lines = pull_request_page(a_run(found, verdict(found[0], Outcome.INCONCLUSIVE, HOSTILE))).splitlines()
    page = "\n".join(lines)
    assert "<script" not in page
    assert set(re.findall(r"\S*\[x\S*", page)) == {"!\\[x\\](http://evil/x.png)"}
    assert "@team" not in page
    assert not [line for line in lines if line.startswith("# ")]
    rows = [line for line in lines if line.startswith("| model-fp8-1k1k-off-c4")]
    assert rows
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) in (
            len(re.findall(r"(?<!\\)\|", line)) for line in lines if "---" in line
        )


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_breaks_a_table(one: str, two: str) -> None:
    table = markdown(Table(title="t", headers=("a", "b"), rows=[[one, two]]))
    row = table.rstrip("\n").split("\n")[-1]
    # An escaped backslash escapes nothing.
    assert len(re.findall(r"\|", re.sub(r"\\.", "", row))) == 3
    assert "<" not in escaped(one)


def test_the_chart_reads_both_curves_over_what_both_cover() -> None:
    (comparison,), _ = compare_modes(points())
    drawn = frontier_chart(comparison, "m fp8 1k1k")
    low, high = comparison.overlap
    assert f"{low:.1f} --> {high:.1f}" in drawn
    first, second = ([float(value) for value in values.split(",")] for values in re.findall(r"line \[(.*)\]", drawn))
    assert len(first) == len(second) == 11
    assert first[0] == pytest.approx(comparison.at(low).candidate.throughput.value, abs=0.05)
    assert second[-1] == pytest.approx(comparison.at(high).reference.throughput.value, abs=0.05)


def test_a_hostile_name_opens_nothing_in_the_chart() -> None:
    found = tuple(
        msgspec.structs.replace(
            m,
            cell=Cell(msgspec.structs.replace(m.cell.engine, model=HOSTILE), m.cell.workload, m.cell.concurrency),
        )
        for m in points()
    )
    (comparison,), _ = compare_modes(found)
    drawn = frontier_chart(comparison, HOSTILE)
    assert drawn.count("```") == 2
    (title,) = re.findall(r"    title (.*)", drawn)
    assert re.fullmatch(r'"[^"<>`|]*"', title)


def test_curves_without_a_common_range_have_no_chart_and_say_so() -> None:
    slow = [measured(c, interactivity=20 / c) for c in (4, 8)]
    fast = [measured(c, mtp=3, interactivity=900 / c) for c in (4, 8)]
    page = pull_request_page(a_run((*slow, *fast)))
    assert "mermaid" not in page
    assert "no overlap: MTP 3 covers" in page.partition("<details>")[0]


def test_a_step_summary_is_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    assert append_step_summary("## one\n", file) == "step summary written"
    assert append_step_summary("## two\n", file) == "step summary written"
    assert file.read_text() == "## one\n\n\n## two\n\n"


def test_a_step_summary_without_room_or_place_fails_nothing(tmp_path: Path) -> None:
    full = tmp_path / "full.md"
    full.write_text("x" * (LIMIT_BYTES - 10))
    assert append_step_summary("a long page", full).startswith(
        "step summary not written: 1048566 bytes are there already"
    )
    assert full.stat().st_size == LIMIT_BYTES - 10
    assert "No such file" in append_step_summary("a page", tmp_path / "nowhere" / "summary.md")
    assert "Is a directory" in append_step_summary("a page", tmp_path)
