"""`$GITHUB_STEP_SUMMARY` and `--specdec-report x.md`: the page of the run, and never a reason to fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_suite import HOLDS, PAYS, Suite


def test_the_page_is_appended_to_the_step_summary(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("an earlier step's line")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    suite.write(HOLDS)
    result = suite.run("-k", "off-c2", "--specdec-report", "page.md")
    result.stdout.fnmatch_lines(["step summary written", "report written: page.md"])
    page = (suite.pytester.path / "page.md").read_text()
    assert page.startswith("## FAIL: 1 no baseline of 1 cell; 1 test failed (SIMULATED)\n")
    assert summary.read_text() == f"an earlier step's line\n{page}\n"


@pytest.mark.parametrize("where", ["nowhere/summary.md", "."])
def test_a_step_summary_that_cannot_be_written_fails_nothing(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / where))
    suite.write("@pytest.mark.specdec(mtp=0)\ndef test_it(measurement): pass\n")
    result = suite.run("-k", "c2")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["step summary not written: *"])


def test_what_became_a_baseline_is_said_to_be_accepted(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("-k", "off-c2", "--specdec-update", "--specdec-report", "page.md")
    assert len(suite.baselines) == 1
    first = (suite.pytester.path / "page.md").read_text().splitlines()[0]
    assert first == "## ACCEPTED: 1 no baseline of 1 cell; stored as baselines (SIMULATED)"


def test_a_test_of_the_users_own_makes_the_page_say_fail(suite: Suite) -> None:
    suite.write(PAYS.replace("> 0.01", "> 1000"))
    suite.run("--specdec-report", "page.md")
    first = (suite.pytester.path / "page.md").read_text().splitlines()[0]
    assert first == "## FAIL: 4 points measured, none judged against a baseline; 1 test failed (SIMULATED)"


def test_without_the_variable_nothing_is_said_of_a_summary(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    suite.write("@pytest.mark.specdec(mtp=0)\ndef test_it(measurement): pass\n")
    assert "step summary" not in suite.run("-k", "c2").stdout.str()
