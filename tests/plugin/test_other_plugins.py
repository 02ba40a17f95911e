"""Plug-ins that people have installed: pytest-html, pytest-json-report, rerunfailures, annotations."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from small_suite import HOLDS, Suite
from test_surfaces import FIXED, READS, properties, regressed


@pytest.fixture(autouse=True)
def _installed(suite: Suite) -> None:
    suite.plugins = (
        "benchmark",
        "metadata",
        "pytest_html.fixtures",
        "pytest_html.plugin",
        "pytest_github_actions_annotate_failures",
        "pytest_jsonreport",
        "rerunfailures",
    )


def html_table(suite: Suite) -> tuple[list[str], list[list[str]]]:
    """Headings, and the cells of each row, out of a page of pytest-html."""
    page = (suite.pytester.path / "out.html").read_text()
    blob = re.search(r'data-jsonblob="([^"]*)"', page)
    assert blob is not None
    data: dict[str, Any] = json.loads(html.unescape(blob[1]))
    rows = [test["resultsTableRow"] for tests in data["tests"].values() for test in tests]
    headings = re.findall(r"<th[^>]*>([^<]*)</th>", page)
    return headings, [[re.sub(r"<[^>]*>", "", cell) for cell in row] for row in rows]


def test_html_has_columns_of_verdict_and_numbers(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--html=out.html", "-k", "c2")
    headings, rows = html_table(suite)
    assert headings[1:6] == ["Test", "Verdict", "tok/s/GPU", "tok/s/user", "Acceptance length"]
    mtp = next(row for row in rows if "mtp3" in row[1])
    assert len(mtp) == len(headings)
    assert mtp[2] == "no baseline"
    point = next(p for p in suite.saved_run()["measurements"] if p["cell"]["engine"].get("mtp"))
    value, half_width = point["values"]["total_tok_s_gpu"]
    assert mtp[3] == f"{value:.1f} ± {half_width:.1f}"
    off = next(row for row in rows if "-off-" in row[1])
    assert off[5] == "", "Off accepts no drafts: the number is missing, not 0"
    assert "SIMULATED: no hardware was measured" in (suite.pytester.path / "out.html").read_text()


def test_html_of_other_suites_is_left_alone(suite: Suite) -> None:
    suite.pytester.makepyfile("def test_it(): pass")
    suite.run("--html=out.html").assert_outcomes(passed=1)
    headings, rows = html_table(suite)
    assert headings == ["Result", "Test", "Duration", "Links"]
    assert {len(row) for row in rows} == {4}
    assert "<p>specdec" not in (suite.pytester.path / "out.html").read_text()


def test_json_report_has_the_numbers_and_our_outcome(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--json-report", "--json-report-file=out.json", "-k", "off-c2")
    content = json.loads((suite.pytester.path / "out.json").read_text())
    (test,) = content["tests"]
    found = {key: value for pair in test["user_properties"] for key, value in pair.items()}
    (point,) = suite.saved_run()["measurements"]
    assert found["total_tok_s_gpu"] == point["values"]["total_tok_s_gpu"][0]
    assert (test["outcome"], found["verdict"]) == ("failed", "no baseline")
    assert content["specdec"]["simulated"].startswith("SIMULATED")


def test_annotations_on_the_pull_request_say_what_regressed(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    regressed(suite)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    errors = [line for line in suite.run(FIXED).stderr.lines if line.startswith("::error ")]
    assert len(errors) == 2
    for line in errors:
        assert re.match(r"::error file=\S*test_suite.py,line=\d+::test_holds\[toy-fp8-64x48-mtp3-c[24]\]", line)
        assert "regressed: 1 of" in line


def test_a_rerun_reads_the_same_numbers_and_does_not_heal_a_regression(suite: Suite) -> None:
    regressed(suite)
    result = suite.run("--reruns=2", "-v", "--junitxml=out.xml", FIXED)
    assert result.parseoutcomes() == {"passed": 2, "failed": 2, "rerun": 4}
    result.stdout.fnmatch_lines(
        [
            "*mtp3-c2* RERUN after REGRESSED*",
            "*mtp3-c2* REGRESSED*",
            "rerun: *mtp3-c2*: regressed, then regressed, then regressed",
        ]
    )
    assert len(suite.saved_run()["measurements"]) == 4
    attempts = suite.saved_run()["attempts"]
    assert attempts["test_suite.py::test_holds[toy-fp8-64x48-mtp3-c2]"] == ["regressed"] * 3
    last = properties(suite.pytester.path / "out.xml", "mtp3-c2")
    assert last["attempts"] == "regressed; regressed"


def test_a_pass_after_another_attempt_is_no_plain_pass(suite: Suite) -> None:
    suite.write("tried = []\ndef test_flaky(measurement):\n    tried.append(1)\n    assert len(tried) > 1\n")
    result = suite.run("--reruns=2", "-v", "-k", "off-c2")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*test_flaky*off-c2* PASSED ON RERUN*", "rerun: *test_flaky*: failed, then passed"])


def test_a_cell_of_ones_own_is_measured_again_by_a_rerun_and_both_attempts_are_told(suite: Suite) -> None:
    suite.write(
        "tried = []\n"
        "def test_own(specdec_measure):\n"
        "    tried.append(specdec_measure(mtp=1, concurrency=2))\n"
        "    assert len(tried) > 1\n"
    )
    result = suite.run("--reruns=1", "-v")
    result.stdout.fnmatch_lines(["*test_own PASSED ON RERUN*", "rerun: test_suite.py::test_own: failed, then passed"])


def test_reruns_of_other_tests_are_rerunfailures_business(suite: Suite) -> None:
    suite.pytester.makepyfile("tried = []\ndef test_it():\n    tried.append(1)\n    assert len(tried) > 1\n")
    result = suite.run("--reruns=1", "-v")
    assert result.parseoutcomes() == {"passed": 1, "rerun": 1}
    assert "rerun: " not in result.stdout.str()
    assert "PASSED ON RERUN" not in result.stdout.str()


def test_nothing_of_it_is_needed(suite: Suite) -> None:
    suite.write(READS)
    absent = [f"-pno:{name}" for name in ("html", "pytest_jsonreport", "rerunfailures", "benchmark", "junitxml")]
    suite.run(*absent, "-k", "off-c2").assert_outcomes(passed=1)


def test_fixtures_of_the_same_names_are_the_users(suite: Suite) -> None:
    """A project that has our plugin installed for another of its suites keeps its own `baseline` and `measurement`."""
    suite.pytester.makeconftest('pytest_plugins = ["mine"]')
    suite.pytester.makepyfile(
        mine="""
        import pytest

        @pytest.fixture
        def baseline():
            return 1

        @pytest.fixture
        def measurement(baseline):
            return baseline + 1
        """,
        test_it="def test_it(measurement, baseline):\n    assert (measurement, baseline) == (2, 1)\n",
    )
    suite.run().assert_outcomes(passed=1)
