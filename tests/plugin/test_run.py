"""Measure once, judge once, then test: outcomes, baselines, reports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest
from small_suite import HOLDS, PAYS, Suite


def test_all_is_measured_in_one_phase_and_each_engine_starts_once(suite: Suite) -> None:
    suite.write(HOLDS, PAYS, "def test_curve(curve):\n    assert curve.at(curve.range[0]).throughput > 0\n")
    result = suite.run("--specdec-update")
    lines = result.stdout.lines
    starts = [line for line in lines if line.startswith("specdec: toy-fp8-")]
    assert starts == ["specdec: toy-fp8-off on 1 GPU (tp1)", "specdec: toy-fp8-mtp3 on 1 GPU (tp1)"]
    last_point = max(i for i, line in enumerate(lines) if "tok/s/user" in line and "/4]" in line)
    first_test = next(i for i, line in enumerate(lines) if line.startswith("test_suite.py "))
    assert last_point < first_test
    result.assert_outcomes(passed=7)


def test_a_missing_baseline_fails_and_names_the_command(suite: Suite) -> None:
    suite.write(HOLDS)
    result = suite.run("-v", "-k", "off-c2")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*test_holds[[]toy-fp8-64x48-off-c2[]] NO BASELINE*",
            "E  *no baseline is stored; measure and store one: pytest * --specdec-update=new",
        ]
    )


def test_update_writes_baselines_that_say_simulated_and_the_next_run_reads_them(suite: Suite) -> None:
    suite.write(HOLDS)
    result = suite.run("--specdec-update")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["baseline written: baselines/simulated-h200/toy/simulated-tp1-fp8-64x48-off.json (2 points): review the diff"]
    )
    assert sorted(suite.baselines) == ["simulated-tp1-fp8-64x48-mtp3.json", "simulated-tp1-fp8-64x48-off.json"]
    stored = json.loads(suite.baselines["simulated-tp1-fp8-64x48-mtp3.json"].read_text())
    assert stored["environment"]["simulated"] == "tiny"
    assert "127.0.0.1" not in json.dumps(stored)

    suite.doctor(lambda value: [value[0] / 1000, value[0] * 1e-6])
    suite.run("-v").assert_outcomes(passed=4)


def test_a_regression_has_its_own_word_and_a_table_of_metrics(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update")
    suite.doctor(lambda value: [value[0] * 1000, value[0]])
    result = suite.run("-v")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*test_holds[[]toy-fp8-64x48-off-c2[]] REGRESSED*",
            "E  *assert toy-fp8-64x48-off-c2: regressed: 1 of 1 gated metrics",
            "E  *throughput/GPU * -> * tok/s/GPU * -99.9% ± *% (margin 5%) regressed",
            "E  *cost * (not gated)",
            "toy-fp8-64x48-off-c2 *regressed *throughput/GPU -99.9%*",
            "REGRESSED test_suite.py::test_holds*",
        ]
    )


@pytest.mark.parametrize(("policy", "passed"), [("fail", False), ("warn", True)])
def test_what_the_interval_does_not_decide_is_inconclusive(suite: Suite, *, policy: str, passed: bool) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", "-k", "off-c2")
    suite.doctor(lambda value: [value[0], value[0] * 5])
    result = suite.run("-v", "-k", "off-c2", "--specdec-inconclusive", policy)
    result.stdout.fnmatch_lines(["*test_holds[[]toy-fp8-64x48-off-c2[]] INCONCLUSIVE*"])
    assert result.ret == (pytest.ExitCode.OK if passed else pytest.ExitCode.TESTS_FAILED)
    assert "Traceback" not in result.stdout.str()


def test_a_cell_that_cannot_be_measured_as_asked_is_never_green(suite: Suite) -> None:
    suite.write("@pytest.mark.specdec(sequence='4x48', mtp=0)\ndef test_it(measurement): pass\n")
    result = suite.run("-k", "c2", "--specdec-inconclusive", "warn")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "is too short: the chat template and the prompt's frame alone cost" in result.stdout.str()
    assert "INCONCLUSIVE" not in result.stdout.str()


def test_an_undecided_ratio_is_inconclusive_too(suite: Suite) -> None:
    suite.write(
        "from pytest_specdec.domain.estimate import Estimate\n"
        "def test_it(measurement):\n    assert Estimate(1.0, 0.5) > measurement.throughput.value * 0 + 1.2\n"
    )
    result = suite.run("-v", "-k", "off-c2")
    result.stdout.fnmatch_lines(["*INCONCLUSIVE*", "inconclusive: 1 ± 0.5 > 1.2 is not decided by the 95 % interval*"])


def test_update_new_keeps_and_update_all_replaces(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update")
    suite.doctor(lambda value: [value[0] * 1000, value[0]])
    before = {name: path.read_text() for name, path in suite.baselines.items()}
    result = suite.run("--specdec-update=new")
    assert {name: path.read_text() for name, path in suite.baselines.items()} == before
    result.assert_outcomes(failed=4)
    assert "every point has one already" in result.stdout.str()
    refused = suite.run("--specdec-update=all")
    refused.assert_outcomes(failed=4)
    refused.stdout.fnmatch_lines(["no baseline stored: 4 of 4 points failed their gate: *"])
    assert {name: path.read_text() for name, path in suite.baselines.items()} == before
    suite.run("--specdec-update=all", "--specdec-reason=the toy got slower").assert_outcomes(passed=4)
    assert all("the toy got slower" in path.read_text() for path in suite.baselines.values())
    assert {name: path.read_text() for name, path in suite.baselines.items()} != before


def test_a_broken_baseline_is_one_sentence_and_is_not_overwritten(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", "-k", "off")
    (path,) = suite.baselines.values()
    path.write_text("{")
    for arguments in ((), ("--specdec-update=all",)):
        result = suite.run("-k", "off", *arguments)
        assert "broken baseline" in result.stdout.str() + result.stderr.str()
        assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
        assert result.ret != 0
        assert path.read_text() == "{"


def test_the_summary_has_the_tables_and_says_simulated(suite: Suite) -> None:
    suite.write(PAYS)
    result = suite.run("--specdec-at", "100000")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*= speculative decoding =*",
            "MTP 3 against Off at matched interactivity: toy simulated-h200 simulated * tp1 fp8 64x48",
            "*100000  not measured*",
            "*note: SIMULATED: no hardware was measured*",
            "MTP 3 against Off at matched concurrency: *",
            "measured points *",
            "SIMULATED: these numbers come from the simulated engine*",
            "run saved: .specdec/runs/*.json*",
        ]
    )


def test_reports_are_written_by_the_name_of_the_file(suite: Suite) -> None:
    suite.write(PAYS)
    result = suite.run(*(f"--specdec-report=out/report{suffix}" for suffix in (".md", ".json", ".csv")))
    result.assert_outcomes(passed=1)
    folder = suite.pytester.path / "out"
    assert "MTP 3 against Off at matched concurrency" in (folder / "report.md").read_text()
    assert "SIMULATED" in (folder / "report.md").read_text()
    assert json.loads((folder / "report.json").read_text()) == suite.saved_run()
    header, *rows = (folder / "report.csv").read_text().splitlines()
    assert header.startswith("model,precision,parallelism,mtp,sequence,concurrency,hardware")
    assert len(rows) == 4


def test_measured_values_reach_junit(suite: Suite) -> None:
    suite.write("def test_it(measurement):\n    assert measurement.throughput > 0\n")
    suite.run("-k", "mtp3-c4", "--junitxml=out.xml")
    assert 'name="acceptance_length"' in (suite.pytester.path / "out.xml").read_text()


def test_a_spent_budget_leaves_the_rest_undecided_and_not_green(suite: Suite) -> None:
    suite.write("def test_it(measurement):\n    assert measurement.throughput > 0\n")
    result = suite.run("-v", "--specdec-budget", "0.001min")
    assert "the budget of 0.001 min is spent" in result.stdout.str()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "INCONCLUSIVE" in result.stdout.str()
    assert suite.saved_run()["complete"] is False


def test_an_incomplete_run_updates_no_baseline(suite: Suite) -> None:
    suite.write(HOLDS)
    result = suite.run("--specdec-update", "--specdec-budget", "0.001min")
    assert "no baseline stored" in result.stdout.str()
    assert suite.baselines == {}


def test_a_cell_of_ones_own_is_measured_and_not_stored(suite: Suite) -> None:
    suite.write(
        "def test_it(specdec_measure):\n"
        "    found = specdec_measure(mtp=1, sequence='64x32', concurrency=3)\n"
        "    assert found.cell.concurrency == 3\n"
        "    assert found.acceptance.draft_tokens == 1\n"
    )
    suite.run("--specdec-update").assert_outcomes(passed=1)
    assert suite.baselines == {}


def test_tests_without_specdec_are_left_alone(suite: Suite) -> None:
    suite.pytester.makepyfile("def test_it(): pass")
    result = suite.run()
    result.assert_outcomes(passed=1)
    assert "specdec plan" not in result.stdout.str()
    assert "speculative decoding" not in result.stdout.str()
    assert not (suite.pytester.path / ".specdec").exists()


def test_ctrl_c_keeps_what_was_measured_and_leaves_no_engine_behind(suite: Suite) -> None:
    model = f"held{os.getpid()}"
    marker = f"@pytest.mark.specdec(model={model!r}, concurrency=[1, 2, 3, 4, 5, 6, 7, 8])"
    suite.write(HOLDS.replace("def", f"{marker}\ndef", 1))
    process, said = suite.start("--specdec-simulate=tiny", "--specdec-update", until=b"[2/16]")
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=30)[0]
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    run = suite.saved_run()
    assert len(run["measurements"]) >= 2
    assert run["complete"] is False
    assert b"measured points" in said
    assert suite.baselines == {}
    deadline = time.monotonic() + 10
    while (
        f"--model {model}"
        in subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True).stdout
    ):
        assert time.monotonic() < deadline, "an engine was left behind"
        time.sleep(0.2)
