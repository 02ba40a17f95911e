"""How baselines move: merged, accepted from a saved run, checked against the suites, pruned."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_suite import HOLDS, PAYS, Suite

from pytest_specdec.__main__ import main
from pytest_specdec.cli import suite_cells

ONE = ("-k", "off-c2")


def the_run(suite: Suite) -> Path:
    return max((suite.pytester.path / ".specdec" / "runs").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture
def collects_here(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Suites are collected by pytest in this process; one test below leaves it to a process, as for a user."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[1:3] == ["-m", "pytest"]
        done = suite.run(*command[3:], simulate=False)
        return subprocess.CompletedProcess(command, done.ret, done.stdout.str(), done.stderr.str())

    monkeypatch.setattr(suite_cells, "subprocess", SimpleNamespace(run=run))


def test_sessions_of_several_invocations_are_merged(suite: Suite) -> None:
    suite.write(HOLDS)
    for _ in range(2):
        suite.run("--specdec-update=merge", "--specdec-sessions=1x2", *ONE)
    (path,) = suite.baselines.values()
    stored = json.loads(path.read_text())
    assert len(stored["points"]["2"]) == 4
    assert len({run["session"] for run in stored["points"]["2"]}) == 2
    assert stored["accepted"][0]["points"] == {"2": "new"}


def test_who_moved_a_baseline_and_from_where_stays_in_the_file(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    suite.doctor(lambda value: [value[0] * 1000, value[0]])
    suite.run("--specdec-update=all", "--specdec-reason=a smaller GPU", *ONE)
    (path,) = suite.baselines.values()
    stored = json.loads(path.read_text())
    assert (stored["accepted"][-1]["who"], stored["accepted"][-1]["reason"]) == ("ada", "a smaller GPU")
    assert stored["accepted"][-1]["points"]["2"].startswith("throughput/GPU -99.9%")
    # The anchor is the first baseline, as it was stored.
    assert stored["anchors"]["2"]["measured_at"] < stored["points"]["2"][0]["measured_at"]
    suite.run("--specdec-update=all", "--specdec-reason=start over", "--specdec-new-anchor", *ONE)
    stored = json.loads(path.read_text())
    assert stored["anchors"]["2"]["measured_at"] == stored["points"]["2"][0]["measured_at"]


def test_losses_since_the_first_baseline_add_up(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    (path,) = suite.baselines.values()
    stored = json.loads(path.read_text())
    stored["anchors"]["2"]["measured_at"] = "2026-01-01T00:00:00+00:00"
    stored["anchors"]["2"]["values"]["total_tok_s_gpu"][0] *= 1000
    path.write_text(json.dumps(stored))
    result = suite.run(*ONE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*throughput -99.9% since the first baseline of 2026-01-01*"])


def test_a_saved_run_is_accepted_without_measuring_again(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    suite.write(HOLDS)
    suite.run(*ONE)
    folder = suite.pytester.path / "accepted"
    assert main(["baselines", "accept", str(the_run(suite)), "--baselines", str(folder), "--reason", "from CI"]) == 0
    assert "(1 point): review the diff" in capsys.readouterr().out
    (path,) = folder.rglob("*.json")
    assert json.loads(path.read_text())["accepted"][0]["reason"] == "from CI"
    assert main(["baselines", "accept", str(the_run(suite)), "--baselines", str(folder), "--how", "new"]) == 0
    assert "nothing changed: every point has a baseline already" in capsys.readouterr().out


def test_a_run_that_failed_its_gate_needs_a_reason(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    suite.doctor(lambda value: [value[0] * 1000, value[0]])
    suite.run(*ONE)
    folder = str(suite.pytester.path / "baselines")
    assert main(["baselines", "accept", str(the_run(suite)), "--baselines", folder]) == 10
    assert "not accepted: 1 of 1 points failed their gate" in capsys.readouterr().err
    assert main(["baselines", "accept", str(the_run(suite)), "--baselines", folder, "--reason", "known"]) == 0


def test_an_interrupted_run_is_not_accepted(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-budget", "0.001min")
    assert main(["baselines", "accept", str(the_run(suite))]) == 10
    assert "is not complete" in capsys.readouterr().err


@pytest.mark.usefixtures("collects_here")
def test_check_names_what_is_missing_and_prune_removes_what_nobody_wants(
    suite: Suite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(suite.pytester.path)
    suite.write(HOLDS)
    suite.run("--specdec-update", "-k", "off")
    assert main(["baselines", "check", "test_suite.py"]) == 13
    out = capsys.readouterr().out
    assert "2 points stored, 2 missing, 0 orphaned" in out
    assert "missing on simulated-h200: toy-fp8-64x48-mtp3-c2 (store it with" in out
    suite.write("@pytest.mark.specdec(mtp=0, concurrency=[2])\n" + HOLDS.strip())
    assert main(["baselines", "check", "test_suite.py"]) == 13
    assert "orphaned: toy-fp8-64x48-off-c4 in " in capsys.readouterr().out
    assert main(["baselines", "prune", "test_suite.py", "--dry-run"]) == 0
    assert "would remove: toy-fp8-64x48-off-c4" in capsys.readouterr().out
    assert main(["baselines", "prune", "test_suite.py"]) == 0
    assert main(["baselines", "check", "test_suite.py"]) == 0
    (path,) = suite.baselines.values()
    assert list(json.loads(path.read_text())["points"]) == ["2"]


def test_an_off_that_a_comparison_may_need_is_no_orphan(
    suite: Suite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(suite.pytester.path)
    suite.write(PAYS)
    suite.run("--specdec-update")
    assert len(suite.baselines) == 2
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p specdec")
    monkeypatch.setattr(suite_cells, "TIERS", ("smoke",))
    assert main(["baselines", "check", "test_suite.py"]) == 0
    assert "4 points stored, 0 missing, 0 orphaned" in capsys.readouterr().out


@pytest.mark.usefixtures("collects_here")
def test_suites_that_cannot_be_collected_are_one_sentence(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    broken = suite.pytester.path / "test_broken.py"
    broken.write_text("import nowhere\n")
    assert main(["baselines", "check", str(broken)]) == 10
    assert "test_broken.py cannot be collected:" in capsys.readouterr().err
    assert main(["baselines", "check", "no_such_folder"]) == 10
    assert "there is no no_such_folder" in capsys.readouterr().err
