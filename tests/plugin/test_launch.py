"""Engines that the suite starts: one tree of processes each, and every way in which a start or an engine can fail."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from small_suite import HOLDS, PAYS, Suite

pytestmark = pytest.mark.usefixtures("unlimited_client")

TREE, STUCK = f"sleep 4242.{os.getpid()}", f"sleep 4343.{os.getpid()}"
"""Of this process: another one on this machine may run the same tests."""
SIMULATED = "{python} -m pytest_specdec simulate --preset tiny --model {model} --mtp {mtp} --port {port}"
# A launcher that starts the engine and a helper in a session of its own, as container runtimes and Ray do.
NESTED = f"""
import subprocess, sys
subprocess.Popen({TREE.split()}, start_new_session=True)
subprocess.run(sys.argv[1:], check=False)
"""


def arguments(command: str, *more: str) -> list[str]:
    return ["--specdec-launch=vllm", "-o", f"specdec_launch_command={command}", *more]


def run(suite: Suite, command: str, *more: str) -> pytest.RunResult:
    return suite.run(*arguments(command, *more), simulate=False)


def own(model: str) -> str:
    """Name a model so that its engines are told from those of other test runs on this machine."""
    return f"{model}{os.getpid()}"


def running(text: str) -> list[int]:
    lines = subprocess.run(["ps", "axww", "-o", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in lines.splitlines() if text in line and "ps ax" not in line]


def wait_until_gone(text: str) -> None:
    deadline = time.monotonic() + 30
    while running(text):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.1)


def test_each_engine_is_launched_once_and_stopped_with_its_whole_tree(suite: Suite) -> None:
    model = own("tree")
    suite.write(f"pytestmark = [pytest.mark.specdec(model={model!r}), pytestmark]", HOLDS, PAYS)
    suite.pytester.makepyfile(nested=NESTED)
    result = run(suite, f"A_VARIABLE=1 {{python}} {suite.pytester.path / 'nested.py'} {SIMULATED}", "--specdec-update")
    result.assert_outcomes(passed=5)
    assert len([line for line in result.stdout.lines if " is healthy after " in line]) == 2
    assert len(list((suite.pytester.path / ".specdec" / "runs" / "logs").iterdir())) == 2
    assert running(TREE) == []
    assert running(f"--model {model} --mtp") == []


def test_an_engine_that_dies_at_start_shows_its_last_words(suite: Suite) -> None:
    suite.write(HOLDS)
    result = run(suite, "echo 'CUDA error: out of memory' && exit 7", "-k", "off-c2")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*toy-fp8-off died at start (exit code 7). Its log: *", "  CUDA error: out of memory"])


def test_an_engine_that_never_becomes_healthy_is_given_up(suite: Suite) -> None:
    suite.write(HOLDS)
    result = run(suite, f"echo loading && {STUCK}", "-k", "off-c2", "-o", "specdec_launch_timeout_s=1")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*was not healthy after 1 s (ini key specdec_launch_timeout_s)*", "  loading"])
    assert running(STUCK) == []


def test_a_port_in_use_is_the_engines_own_last_words(suite: Suite) -> None:
    suite.write(HOLDS)
    bind = "import socket; a = socket.create_server(('127.0.0.1', 0)); socket.create_server(a.getsockname())"
    result = run(suite, f'{{python}} -c "{bind}"', "-k", "off-c2")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*died at start (exit code 1)*", "*Address already in use*"])


def test_an_unknown_placeholder_is_a_usage_error_before_anything_starts(suite: Suite) -> None:
    suite.write(HOLDS)
    result = run(suite, "serve {modle}", "-k", "off-c2")
    assert "launch command: unknown placeholder {modle}; there are: acceptance, arguments, " in result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_the_stop_command_runs_with_the_same_values(suite: Suite) -> None:
    suite.write(HOLDS)
    told = suite.pytester.path / "stopped"
    stop = f"specdec_launch_stop=echo {{name}} {{port}} > {told}"
    run(suite, SIMULATED, "-k", "off-c2", "--specdec-update", "-o", stop).assert_outcomes(passed=1)
    name, port = told.read_text().split()
    assert name == f"specdec-{port}"


@pytest.mark.parametrize("how", ["variable", "header"])
def test_an_engine_that_was_started_with_a_key_is_asked_with_it(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    suite.write(HOLDS)
    keyed = (f"{SIMULATED} {{arguments}}", "-o", "specdec_launch_arguments=--api-key sesame-open", "-k", "off-c2")
    refused = run(suite, *keyed)
    assert "refused the API key (HTTP 401): set SPECDEC_API_KEY" in refused.stdout.str()
    if how == "variable":
        monkeypatch.setenv("SPECDEC_API_KEY", "sesame-open")
    header = ["--specdec-header", "Authorization: Bearer sesame-open"] if how == "header" else []
    run(suite, *keyed, "--specdec-update", *header).assert_outcomes(passed=1)


def test_logs_that_cannot_be_written_are_one_sentence(suite: Suite) -> None:
    suite.write(HOLDS)
    runs = suite.pytester.path / ".specdec" / "runs"
    runs.mkdir(parents=True)
    (runs / "logs").touch()
    result = run(suite, SIMULATED, "-k", "off-c2")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*cannot write *off-*.log: *; the ini key specdec_runs names another folder*"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_command_may_go_over_several_lines_of_the_ini_file(suite: Suite) -> None:
    suite.write(HOLDS)
    ini = suite.pytester.path / "tox.ini"
    first, second = SIMULATED.split(" --model")
    ini.write_text(f"{ini.read_text()}\nspecdec_launch_command = {first}\n    --model{second}\n")
    result = suite.run("--specdec-launch=vllm", "-k", "off-c2", "--specdec-update", simulate=False)
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("name", ["vllm", "sglang", "trtllm"])
def test_a_launched_engine_is_read_as_what_it_was_launched_as(suite: Suite, name: str) -> None:
    suite.write("def test_it(measurement):\n    assert measurement.throughput > 0\n")
    command = f"-o specdec_launch_command={SIMULATED} --dialect {name}"
    result = suite.run(f"--specdec-launch={name}", "-k", "c2", *command.split(maxsplit=1), simulate=False)
    result.assert_outcomes(passed=2, deselected=2)
    for found in suite.saved_run()["measurements"]:
        assert found["environment"]["facts"]["draft_tokens"] == str(found["cell"]["engine"]["mtp"])
        assert found["tokens"]["reason"] == ""


def test_a_conftest_chooses_the_command_of_each_engine(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.pytester.makeconftest(f"""
        import dataclasses

        def pytest_specdec_launch(name, version, engine, values, default):
            if engine.mtp:
                print("HOOK", name, repr(version), engine, values["model"], default.stop)
                return dataclasses.replace(default, start="{SIMULATED}")
    """)
    result = run(suite, "exit 5", "-k", "c2", "--specdec-update", "-s")
    result.assert_outcomes(passed=1, errors=1, deselected=2)
    result.stdout.fnmatch_lines(["HOOK vllm '' toy-fp8-mtp3 toy *", "*toy-fp8-off died at start (exit code 5)*"])


def test_one_source_of_engines_at_a_time(suite: Suite) -> None:
    suite.write(HOLDS)
    result = suite.run("--specdec-launch=vllm")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "cannot go together" in result.stderr.str()


def started(suite: Suite, model: str) -> subprocess.Popen[bytes]:
    """Start pytest on six points in a process of its own and return when one is measured."""
    suite.write(HOLDS.replace("def", f"@pytest.mark.specdec(model={model!r}, concurrency=[1, 2, 3])\ndef", 1))
    return suite.start(*arguments(SIMULATED), until=b"[1/6]")[0]


def test_a_killed_engine_ends_its_points_at_once_and_keeps_the_measured_ones(suite: Suite) -> None:
    model = own("shot")
    process = started(suite, model)
    for pid in running(f"simulate --preset tiny --model {model} --mtp 0"):
        os.kill(pid, signal.SIGKILL)
    said = process.communicate(timeout=60)[0].decode()
    assert f"{model}-fp8-off died while it was measured" in said
    run_ = suite.saved_run()
    assert {m["cell"]["engine"]["mtp"] for m in run_["measurements"]} == {0, 3}, "the other engine is still measured"
    assert len(run_["measurements"]) in (4, 5)
    wait_until_gone(f"--model {model}")


def test_a_killed_pytest_leaves_no_engine_behind(suite: Suite) -> None:
    model = own("orphan")
    process = started(suite, model)
    process.kill()
    process.communicate()
    wait_until_gone(f"--model {model}")
    assert len(suite.saved_run()["measurements"]) >= 1


def test_ctrl_c_stops_the_engine(suite: Suite) -> None:
    model = own("stopped")
    process = started(suite, model)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert running(f"--model {model}") == []
