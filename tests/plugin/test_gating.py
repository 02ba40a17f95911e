"""The gate over a suite: sessions, pairs with the old engine, fresh starts, resuming, a fixed margin, a selftest.

Losses are far larger than what a busy machine does to a window of half a second.
"""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest
from small_suite import HOLDS, Suite

from pytest_specdec.results.measurement import Measurement

ONE = ("-k", "mtp3-c4")
SLOW = "tiny@slow-at-good-acceptance"
"""Each step with MTP takes 2.7 times as long."""


def stored_runs(suite: Suite) -> list[dict[str, Any]]:
    (path,) = suite.baselines.values()
    (runs,) = json.loads(path.read_text())["points"].values()
    found: list[dict[str, Any]] = runs
    return found


def test_a_baseline_keeps_every_run_of_every_session(suite: Suite) -> None:
    suite.write(HOLDS)
    result = suite.run("--specdec-update", "--specdec-sessions=3x2", *ONE)
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(
        [
            "specdec plan: 1 engine, 1 point measured 6 times on 3 server starts, *",
            "specdec: server start 3 of 3",
            "*metrics can be gated at their margin; minimum detectable losses are *",
        ]
    )
    runs = stored_runs(suite)
    assert len(runs) == 6
    assert [run["session"].rpartition(".")[2] for run in runs] == ["1", "1", "2", "2", "3", "3"]
    assert all(run["requests"] > 0 for run in runs)
    assert len(suite.saved_run()["raw"]) == 6
    assert suite.saved_run()["cost"]["server_starts"] == 3


def test_only_what_has_no_baseline_is_measured_in_sessions(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", "-k", "mtp3-c2")
    suite.doctor(lambda value: [value[0], value[0] * 0.001])  # so sure that one run is enough for a first look
    (before,) = stored_runs(suite)
    result = suite.run("--specdec-update=new", "--specdec-sessions=3x2", "-k", "mtp3")
    result.stdout.fnmatch_lines(["specdec plan: 1 engine, 2 points measured 7 times on 3 server starts, *"])
    (path,) = suite.baselines.values()
    points = json.loads(path.read_text())["points"]
    assert points["2"] == [before]
    assert len(points["4"]) == 6
    assert len(suite.saved_run()["raw"]) == 7


def test_a_selftest_measures_stored_points_in_sessions_too(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    arguments = ("--specdec-selftest", "--specdec-update=new", "--specdec-sessions=2x1", "--collect-only")
    suite.run(*arguments, *ONE).stdout.fnmatch_lines(["specdec plan: 1 engine, 1 point measured 2 times on 2 *"])


def test_what_is_stored_already_has_no_say_in_what_is_new(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of new sessions are not void because one look at an old point failed."""
    suite.write(HOLDS)
    suite.run("--specdec-update", "-k", "mtp3-c2")
    late = property(lambda m: "it was late" if m.cell.concurrency == 2 and m.window_s else "")
    monkeypatch.setattr(Measurement, "client_limited", late)
    result = suite.run("--specdec-update=new", "-k", "mtp3")
    result.stdout.fnmatch_lines(["baseline written: *"])
    (path,) = suite.baselines.values()
    assert sorted(json.loads(path.read_text())["points"]) == ["2", "4"]


def test_two_curves_of_one_file_are_told_before_anything_is_measured(suite: Suite) -> None:
    suite.write(HOLDS, "@pytest.mark.specdec(seed=1)\ndef test_again(measurement, baseline): pass\n")
    result = suite.run("--specdec-update", *ONE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "toy-fp8-64x48-mtp3-c4 of two suites would share one baseline" in result.stderr.str()
    assert not list((suite.pytester.path / ".specdec").rglob("*.json"))


def test_cells_that_think_and_cells_that_do_not_say_go_together(suite: Suite) -> None:
    suite.write(HOLDS, "@pytest.mark.specdec(thinking=False)\ndef test_again(measurement, baseline): pass\n")
    suite.run("--collect-only", *ONE).stdout.fnmatch_lines(["specdec plan: 1 engine, 2 points, *"])


def test_a_baseline_of_other_hardware_is_none_of_this_one(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    arguments = ("--specdec-update=new", "--specdec-sessions=2x1", "--specdec-hardware=b200", "--collect-only")
    result = suite.run(*arguments, *ONE)
    result.stdout.fnmatch_lines(["specdec plan: 1 engine, 1 point measured 2 times on 2 server starts, *"])


def test_one_session_says_that_its_noise_is_assumed(suite: Suite) -> None:
    suite.write(HOLDS)
    result = suite.run("--specdec-update", *ONE)
    result.stdout.fnmatch_lines(["the noise is partly assumed: *(--specdec-sessions)"])


def test_a_loss_is_proven_by_pairs_of_old_and_new(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    result = suite.run(
        "--specdec-simulate", SLOW, "--specdec-reference-simulate=tiny", "--specdec-confirm=auto", *ONE, simulate=False
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "specdec: worst case of confirming: 48 repeats (12 blocks of reference, *) of every suspect, *",
            "specdec: confirming toy-fp8-64x48-mtp3-c4: * block* of reference, candidate, candidate, reference, *",
            "toy-fp8-64x48-mtp3-c4 *regressed*",
            "  FAIL: * metrics of 1 cells under one promise: *",
        ]
    )
    run = suite.saved_run()
    judged = {d["metric"]: d for d in run["decision"]["decisions"]}
    assert judged["total_tok_s_gpu"]["evidence"] == "paired"
    assert judged["total_tok_s_gpu"]["pairs"] >= 4
    pairs = [raw for raw in run["raw"] if raw.get("stage") == "confirm"]
    assert [raw.get("arm", "candidate") for raw in pairs[:4]] == ["reference", "candidate", "candidate", "reference"]
    # Each run of a pair has a start of its own; a noisy first look may have had a second one.
    looks = {raw["measurement"]["session"] for raw in run["raw"] if raw.get("stage") != "confirm"}
    assert run["cost"]["server_starts"] == len(looks) + len(pairs)
    # The verdict tells the change that the pairs have shown, and says so.
    told = {m["metric"]: m for m in run["verdicts"][0]["metrics"]}["total_tok_s_gpu"]
    old, new = (
        [r["measurement"]["values"]["total_tok_s_gpu"][0] for r in pairs if r.get("arm", "candidate") == arm]
        for arm in ("reference", "candidate")
    )
    assert told["baseline"][0] == pytest.approx(sum(old) / len(old))
    assert told["measured"][0] == pytest.approx(sum(new) / len(new))
    result.stdout.fnmatch_lines([f"E * throughput/GPU *(margin 5%; {len(old)} pairs) regressed"])
    # Only what is judged is shown as measured: the old engine's runs are not the candidate's.
    assert len(run["measurements"]) == 1


def test_what_is_declared_of_the_new_bundle_is_not_said_of_the_old_engine(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    suite.doctor(lambda value: [value[0] * 1.25, value[0] * 0.1])
    (suite.pytester.path / "facts.toml").write_text('image = "engine:new"\ndriver = "570.1"\n')
    suite.run("--specdec-facts=facts.toml", "--specdec-reference-simulate=tiny", "--specdec-confirm=auto", *ONE)
    known = {
        (raw.get("arm", "candidate"), name): raw["measurement"]["environment"]["facts"].get(name)
        for raw in suite.saved_run()["raw"]
        for name in ("image", "driver")
    }
    assert known == {
        ("candidate", "image"): "engine:new",
        ("candidate", "driver"): "570.1",
        ("reference", "image"): None,
        ("reference", "driver"): "570.1",
    }


def test_without_the_old_engine_a_large_loss_fails_and_says_on_what_it_stands(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    result = suite.run("--specdec-simulate", SLOW, *ONE, simulate=False)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    judged = {d["metric"]: d for d in suite.saved_run()["decision"]["decisions"]}
    assert judged["total_tok_s_gpu"]["evidence"] == "unpaired"


def test_a_collapse_is_proven_also_where_the_old_engine_is_named_and_not_asked(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    suite.doctor(lambda value: [value[0] * 1000, value[0]])
    result = suite.run("--specdec-reference-simulate=tiny", "--specdec-confirm=never", *ONE)
    result.stdout.fnmatch_lines(["REGRESSED *"])
    judged = {d["metric"]: d for d in suite.saved_run()["decision"]["decisions"]}
    assert judged["total_tok_s_gpu"]["evidence"] == "unpaired"


def test_suspects_of_an_engine_that_cannot_be_compared_get_fresh_starts(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    # A loss of a fifth: more than one run proves, less than it forgives.
    suite.doctor(lambda value: [value[0] * 1.25, value[0] * 0.1])
    result = suite.run("--specdec-confirm=auto", *ONE)
    result.stdout.fnmatch_lines(["specdec: confirming toy-fp8-64x48-mtp3-c4: 2 fresh server starts, *; * 1 of 3: *"])
    assert len([raw for raw in suite.saved_run()["raw"] if raw.get("stage") == "confirm"]) >= 2


def test_a_fixed_margin_judges_and_says_how_often_it_is_wrong(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    suite.doctor(lambda value: [value[0] * 10, value[0]])
    result = suite.run("--specdec-gate=fixed", *ONE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["  judged by a fixed margin of 5%: on this noise it fails *% of unchanged suites *"])
    assert suite.saved_run()["fixed"]["red"] == ["toy-fp8-64x48-mtp3-c4 total_tok_s_gpu"]


def test_what_was_measured_before_kill_9_is_not_measured_again(suite: Suite) -> None:
    suite.write(HOLDS)
    process, _ = suite.start("--specdec-simulate=tiny", "--specdec-window=1", until=b"[2/4]")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    run = suite.saved_run()
    assert run["complete"] is False
    done = [raw["measurement"]["cell"] for raw in run["raw"]]
    assert len(done) >= 2
    (path,) = (suite.pytester.path / ".specdec" / "runs").glob("*.json")
    result = suite.run("--specdec-window=1", f"--specdec-resume={path}", "--specdec-update")
    result.assert_outcomes(passed=4)
    resumed = suite.saved_run()
    assert resumed["complete"] is True
    assert [raw["measurement"]["cell"] for raw in resumed["raw"][: len(done)]] == done
    assert len(resumed["raw"]) == 4


def test_another_engine_is_not_resumed(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("-k", "off-c2")
    (path,) = (suite.pytester.path / ".specdec" / "runs").glob("*.json")
    content = json.loads(path.read_text())
    for raw in content["raw"]:
        raw["measurement"]["environment"]["version"] = "0.0.9"
    path.write_text(json.dumps(content))
    result = suite.run("-k", "off", f"--specdec-resume={path}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "version of toy-fp8-off changed within the run: '0.0.9' before" in result.stdout.str()


@pytest.mark.parametrize("content", ["{", '{"schema": "specdec-run/1", "tool_version": "1", "started_at": "x"}'])
def test_a_run_that_cannot_be_resumed_is_one_sentence(suite: Suite, content: str) -> None:
    suite.write(HOLDS)
    (suite.pytester.path / "run.json").write_text(content)
    result = suite.run("--specdec-resume=run.json")
    assert result.ret != pytest.ExitCode.OK
    assert "run.json" in result.stdout.str() + result.stderr.str()
    assert not list((suite.pytester.path / ".specdec").rglob("*.json"))
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


def test_a_run_that_is_killed_before_its_first_point_is_an_empty_one(suite: Suite) -> None:
    suite.write(HOLDS)
    process, _ = suite.start("--specdec-simulate=tiny", "--specdec-window=30", until=b"specdec plan:")
    folder = suite.pytester.path / ".specdec" / "runs"
    while not any(path.read_text() for path in folder.glob("*.json")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    run = suite.saved_run()
    assert (run["complete"], run["raw"], run["measurements"]) == (False, [], [])


def test_sigterm_keeps_what_was_measured_and_stops_the_engines(suite: Suite) -> None:
    suite.write(HOLDS)
    process, _ = suite.start("--specdec-simulate=tiny", "--specdec-window=1", until=b"[1/4]")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, out
    assert suite.saved_run()["measurements"]


def test_an_interrupted_session_becomes_no_baseline(suite: Suite) -> None:
    suite.write(HOLDS)
    arguments = ("--specdec-simulate=tiny", "--specdec-window=1", "--specdec-update", "--specdec-sessions=3x1", *ONE)
    process, _ = suite.start(*arguments, until=b"server start 2 of 3")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert b"no baseline stored: the run was interrupted" in out
    assert not suite.baselines
    run = suite.saved_run()
    assert len(run["raw"]) == 1
    assert run["complete"] is False


def test_a_server_that_is_not_restarted_has_no_selftest(suite: Suite) -> None:
    suite.write(HOLDS)
    endpoint = "--specdec-endpoint=off=http://127.0.0.1:9/v1"
    result = suite.run("--specdec-selftest", endpoint, "-k", "off", simulate=False)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--specdec-selftest needs several starts of the server" in result.stderr.str()


def test_an_old_engine_that_does_not_start_is_tried_once(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    suite.doctor(lambda value: [value[0] * 1.25, value[0] * 0.1])
    old = "--specdec-reference-endpoint=mtp=3=http://127.0.0.1:9/v1"
    result = suite.run("--specdec-confirm=auto", old, *ONE)
    result.stdout.fnmatch_lines(["*nothing could be confirmed: *127.0.0.1:9*"])
    assert result.stdout.str().count("confirming toy") == 1
    assert not [raw for raw in suite.saved_run()["raw"] if raw.get("stage") == "confirm"]


def test_a_selftest_runs_no_test_and_stores_the_noise(suite: Suite) -> None:
    suite.write(HOLDS)
    result = suite.run("--specdec-selftest", "--specdec-sessions=3x1", "-k", "mtp3")
    result.assert_outcomes(skipped=2, deselected=2)
    result.stdout.fnmatch_lines(
        [
            "minimum detectable effect of the gate (A/A)",
            "cell *pairs for 2x MDE *minutes *gated",
            "*toy-fp8-64x48-mtp3-c4 *throughput/GPU *%*",
            "  minutes: for one cell, *, * s per start and run",
            "*the last session, judged against the others *: * FAIL, *",
            "noise written: baselines/simulated-h200/noise-simulated.json: *",
        ]
    )
    noise = json.loads((suite.pytester.path / "baselines/simulated-h200/noise-simulated.json").read_text())
    assert {row["source"] for row in noise["common"]} <= {"selftest", "assumed"}
    suite.run("--specdec-update", "-k", "mtp3")
    suite.run("-k", "mtp3")
    assert suite.saved_run()["noise_source"] == "selftest"


def test_a_selftest_leaves_out_what_a_late_client_measured(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.write(HOLDS)
    monkeypatch.setattr(Measurement, "client_limited", property(lambda m: "it was late" if m.order % 2 else ""))
    suite.run("--specdec-selftest", "--specdec-sessions=3x2", *ONE)
    noise = json.loads((suite.pytester.path / "baselines/simulated-h200/noise-simulated.json").read_text())
    throughput = next(row for row in noise["hypotheses"] if row["metric"] == "total_tok_s_gpu")
    assert (throughput["runs"], throughput["sessions"]) == (3, 3)


def test_a_selftest_of_one_session_says_what_it_needs(suite: Suite) -> None:
    suite.write(HOLDS)
    result = suite.run("--specdec-selftest", "--specdec-sessions=1x2", *ONE)
    assert "no noise was fitted: it needs 2 server starts or more" in result.stdout.str()
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_required_fact_may_not_be_unknown(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", *ONE)
    result = suite.run("-o", "specdec_required_facts=driver", *ONE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*not comparable*driver is required (specdec_required_facts) and not known of *"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--specdec-sessions=0x2",), "'0x2' is not SESSIONSxREPEATS, such as 5x2"),
        (("-o", "specdec_required_facts=colour"), "ini key specdec_required_facts: unknown fact 'colour'"),
        (("-o", "specdec_gate=loose"), "ini key specdec_gate: 'loose' is not one of suite, fixed"),
        (
            ("--specdec-reference-simulate=tiny", "--specdec-reference-endpoint=http://127.0.0.1:9/v1"),
            "--specdec-reference-simulate cannot go together",
        ),
        (("--specdec-reference-simulate=big",), "unknown preset 'big'"),
        (("--specdec-reference-simulate=tiny@tired",), "tired"),
        # Also where what confirming takes is told before anything is measured.
        (("--specdec-reference-simulate=big", "--specdec-confirm=auto"), "unknown preset 'big'"),
        (("--specdec-reference-endpoint=http://127.0.0.1:9/v1", "--specdec-confirm=auto"), "127.0.0.1:9"),
    ],
)
def test_an_option_that_cannot_be_used_says_why(suite: Suite, arguments: tuple[str, ...], message: str) -> None:
    suite.write(HOLDS)
    result = suite.run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


def test_an_old_engine_that_would_be_the_new_one_is_refused(suite: Suite) -> None:
    suite.write(HOLDS)
    launched = ("--specdec-launch=vllm", "--specdec-reference-launch=vllm", "--collect-only")
    result = suite.run(*launched, simulate=False)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--specdec-reference-launch vllm would start" in result.stderr.str()
    for key in ("python", "command", "arguments"):
        # Whoever says where the old one is may also mean the same: a comparison of an engine with itself.
        result = suite.run(*launched, "-o", f"specdec_reference_launch_{key}=x", simulate=False)
        assert "would start" not in result.stderr.str()
