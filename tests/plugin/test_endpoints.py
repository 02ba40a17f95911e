"""Attached endpoints: modes named and detected, stored Off, two hosts, and every kind of trouble."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_suite import HOLDS, PAYS, Suite
from virtual_engines import VirtualHost

from pytest_specdec.pipeline import engines
from pytest_specdec.results import run as run_files
from pytest_specdec.results.run import Run

Serve = Callable[..., str]


def test_both_modes_are_measured_on_the_endpoints_that_were_named(suite: Suite, serve: Serve) -> None:
    suite.write(PAYS)
    endpoints = [f"off={serve(mtp=0)}", f"toy@mtp=3={serve(mtp=3)}"]
    result = suite.run(*(f"--specdec-endpoint={e}" for e in endpoints), simulate=False)
    result.assert_outcomes(passed=1)
    assert {m["environment"]["simulated"] for m in suite.saved_run()["measurements"]} == {"tiny"}


def test_one_url_alone_is_asked_for_its_mode_and_the_others_are_deselected(suite: Suite, serve: Serve) -> None:
    suite.write("def test_it(measurement):\n    assert measurement.throughput > 0\n")
    result = suite.run(f"--specdec-endpoint={serve(mtp=3)}", simulate=False)
    result.assert_outcomes(passed=2, deselected=2)
    result.stdout.fnmatch_lines(["specdec: deselected: no endpoint serves off of toy (endpoints: mtp3)"])


def test_mtp_is_compared_with_a_stored_off_and_labelled(suite: Suite, serve: Serve) -> None:
    suite.write(HOLDS, PAYS)
    off, mtp = serve(mtp=0), serve(mtp=3)
    suite.run(f"--specdec-endpoint={off}", "--specdec-update", "-k", "holds", simulate=False)
    result = suite.run(f"--specdec-endpoint={mtp}", "-k", "pays", simulate=False)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["MTP 3 against Off (stored *) at matched *", "*note: Off is the stored baseline of *"])


@pytest.mark.parametrize("mtp", [0, 3])
def test_a_comparison_that_cannot_be_made_does_not_look_green(suite: Suite, serve: Serve, mtp: int) -> None:
    suite.write(PAYS)
    result = suite.run(f"--specdec-endpoint={serve(mtp=mtp)}", simulate=False)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "no endpoint serves" in result.stdout.str()


def test_a_server_in_another_mode_than_named_is_engine_trouble_and_no_regression(suite: Suite, serve: Serve) -> None:
    suite.write(HOLDS)
    result = suite.run(f"--specdec-endpoint=off={serve(mtp=3)}", "-v", simulate=False)
    result.assert_outcomes(errors=2, deselected=2)
    result.stdout.fnmatch_lines(
        ["*ENGINE TROUBLE*", "*the test wants off and the endpoint runs mtp3", "ENGINE TROUBLE test_suite.py*"]
    )
    assert "REGRESSED" not in result.stdout.str()


@pytest.mark.parametrize(
    ("endpoint", "code", "message"),
    [
        ("off=http://127.0.0.1:9/v1", pytest.ExitCode.TESTS_FAILED, "cannot be reached"),
        ("http://127.0.0.1:9/v1", pytest.ExitCode.USAGE_ERROR, "cannot be reached"),
    ],
)
def test_an_endpoint_that_is_down_is_one_sentence(suite: Suite, endpoint: str, code: int, message: str) -> None:
    suite.write(HOLDS)
    result = suite.run(f"--specdec-endpoint={endpoint}", simulate=False)
    assert result.ret == code
    output = result.stdout.str() + result.stderr.str()
    assert message in output
    assert "is the server up?" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("option", "url"),
    [
        ("--specdec-endpoint", "http://host:port/v1"),
        ("--specdec-endpoint", "off=http://[::1/v1"),
        ("--specdec-reference-endpoint", "http://256.0.0.1/v1"),
        ("--specdec-dcgm", "http://[::1/metrics"),
    ],
)
def test_a_mistyped_url_is_a_usage_error_of_one_sentence(suite: Suite, option: str, url: str) -> None:
    suite.write(HOLDS)
    result = suite.run(f"{option}={url}", simulate=False)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"argument {option}: " in result.stderr.str()
    assert "does not name a server" in result.stderr.str()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_wrong_model_and_its_remedy(suite: Suite, serve: Serve) -> None:
    suite.write("@pytest.mark.specdec(model='big', mtp=0)\ndef test_it(measurement): pass\n")
    url = serve(mtp=0)
    result = suite.run(f"--specdec-endpoint=off={url}", simulate=False)
    assert "does not serve 'big'; it serves toy." in result.stdout.str()
    result.assert_outcomes(errors=2)
    suite.run(f"--specdec-endpoint=off={url}", "--specdec-served-model=big=toy", simulate=False).assert_outcomes(
        passed=2
    )


def test_the_api_key_comes_from_the_environment_and_stays_there(
    suite: Suite, serve_http: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.write(HOLDS)
    arguments = [f"--specdec-endpoint=off={serve_http(mtp=0, api_key='sesame')}", "--specdec-update", "-k", "c2"]
    refused = suite.run(*arguments, simulate=False)
    assert "refused the API key (HTTP 401): set SPECDEC_API_KEY" in refused.stdout.str()
    monkeypatch.setenv("SPECDEC_API_KEY", "sesame")
    result = suite.run(
        *arguments, "--specdec-report=a.md", "--specdec-report=a.json", "--specdec-report=a.csv", simulate=False
    )
    result.assert_outcomes(passed=1, deselected=3)
    assert "sesame" not in result.stdout.str() + result.stderr.str()
    for path in suite.pytester.path.rglob("*"):
        if path.is_file() and path.suffix in (".md", ".json", ".csv"):
            assert "sesame" not in path.read_text(), path


def test_a_server_that_ends_answers_early_is_engine_trouble(suite: Suite, serve: Serve) -> None:
    suite.write(HOLDS)
    result = suite.run(f"--specdec-endpoint=off={serve(mtp=0, stop_after=10)}", simulate=False)
    result.assert_outcomes(errors=2, deselected=2)
    assert "ended early: 10 of " in result.stdout.str()


def test_two_hosts_are_told_apart_from_mtp_and_swap_measures_both_ways_round(suite: Suite, serve: Serve) -> None:
    suite.write(PAYS)
    off, mtp = serve(mtp=0), serve(mtp=3).replace("127.0.0.1", "localhost")
    result = suite.run(f"--specdec-endpoint=off={off}", f"--specdec-endpoint=mtp=3={mtp}", simulate=False)
    result.stdout.fnmatch_lines(["*note: MTP ran on localhost and Off on 127.0.0.1: the difference may be the node's*"])


def test_a_stored_off_that_cannot_be_compared_is_told_and_no_report_is_lost(suite: Suite, serve: Serve) -> None:
    suite.write(HOLDS, PAYS)
    off, mtp = serve(mtp=0), serve(mtp=3)
    stored = (f"--specdec-endpoint={off}", "--specdec-update", "--specdec-hardware=h200", "-k", "holds")
    suite.run(*stored, simulate=False).assert_outcomes(passed=2, deselected=3)
    report = ("--specdec-hardware=H200", "--specdec-report=a.md", "-k", "pays")
    result = suite.run(f"--specdec-endpoint={mtp}", *report, simulate=False)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["toy-fp8-64x48-mtp3: not comparable: hardware differs, *H200* against *h200*"])
    assert "hardware differs" in (suite.pytester.path / "a.md").read_text()


MEASURES = """
def test_more(specdec_measure):
    found = specdec_measure(mtp=3, concurrency=2)
    assert found.environment.endpoint == "{}"
"""


def test_after_a_swap_the_servers_are_looked_for_where_they_are(
    suite: Suite, serve: Serve, host: VirtualHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    off, mtp = serve(mtp=0), serve(mtp=3)
    arguments = [f"--specdec-endpoint=off={off}", f"--specdec-endpoint=mtp=3={mtp}", "-k", "more or mtp3-c4"]
    suite.write(HOLDS)
    suite.run(*arguments, "--specdec-update", simulate=False).assert_outcomes(passed=1, deselected=3)
    # A loss of a fifth: more than one run proves, less than it forgives.
    suite.doctor(lambda value: [value[0] * 1.25, value[0] * 0.1])

    def swap(command: str, **_: object) -> subprocess.CompletedProcess[str]:
        host.exchange(off, mtp)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(engines, "subprocess", SimpleNamespace(run=swap))
    suite.write(HOLDS, MEASURES.format(off))
    result = suite.run(*arguments, "--specdec-swap=true", "--specdec-confirm=auto", "-rp", simulate=False)
    assert "PASSED test_suite.py::test_more" in result.stdout.str()
    raw = suite.saved_run()["raw"]
    found = {(run.get("stage", "screen"), run["measurement"]["environment"]["endpoint"]) for run in raw}
    assert found == {("screen", mtp), ("confirm", off)}


SERVERS = """
import signal, subprocess, sys, time, pathlib
ports, modes = sys.argv[1:3], sys.argv[3:5]
pids = pathlib.Path("pids")
for pid in pids.read_text().split() if pids.exists() else ():
    subprocess.run(["kill", pid], check=True)
    while subprocess.run(["kill", "-0", pid], stderr=subprocess.DEVNULL).returncode == 0:
        time.sleep(0.05)
started = [
    subprocess.Popen(
        [sys.executable, "-m", "pytest_specdec", "simulate", "--preset", "tiny", "--model", "toy",
         "--port", port, "--mtp", mode],
        stdout=subprocess.DEVNULL, start_new_session=True,
    )
    for port, mode in zip(ports, modes)
]
pids.write_text(" ".join(str(p.pid) for p in started))
"""


@pytest.mark.usefixtures("unlimited_client")
def test_a_swap_cancels_the_hosts(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    save = run_files.save_run

    def counted(run: Run, path: Path) -> None:
        kept.append(len(run.swapped))
        save(run, path)

    monkeypatch.setattr(run_files, "save_run", counted)
    suite.write(PAYS.replace("mtp=3", "mtp=3, concurrency=[4]"))
    suite.pytester.makefile(".py", servers=SERVERS)
    ports = [str(port) for port in _free_ports(2)]
    script = [sys.executable, "servers.py", *ports]
    off, mtp = (f"http://127.0.0.1:{port}/v1" for port in ports)
    try:
        subprocess.run([*script, "0", "3"], check=True)
        for url in (off, mtp):
            _wait_for(url)
        result = suite.run(
            f"--specdec-endpoint=off={off}",
            f"--specdec-endpoint=mtp=3={mtp}",
            f"--specdec-swap={' '.join([*script, '3', '0'])}",
            simulate=False,
        )
    finally:
        for pid in Path("pids").read_text().split():
            os.kill(int(pid), signal.SIGTERM)
    result.assert_outcomes(passed=1)
    run = suite.saved_run()
    assert len(run["measurements"]) == len(run["swapped"]) == 2
    assert {m["environment"]["endpoint"] for m in run["measurements"]} == {"both hosts"}
    assert {0, 1, 2} <= set(kept), "each point is on disk when its measurement ends"
    assert "the difference may be the node's" not in result.stdout.str()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"{url}/models", timeout=5).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


def test_a_swap_command_shows_no_secret(suite: Suite, serve: Serve) -> None:
    suite.write(PAYS)
    arguments = [f"--specdec-endpoint=off={serve(mtp=0)}", f"--specdec-endpoint=mtp=3={serve(mtp=3)}"]
    result = suite.run(*arguments, "--specdec-swap", "exit 3 # --token open-sesame", simulate=False)
    said = result.stdout.str() + result.stderr.str()
    assert "exchanging the servers: exit 3 # --token ***" in said
    assert "open-sesame" not in said


def test_a_swap_command_that_fails_is_one_sentence(suite: Suite, serve: Serve) -> None:
    suite.write(PAYS)
    arguments = [f"--specdec-endpoint=off={serve(mtp=0)}", f"--specdec-endpoint=mtp=3={serve(mtp=3)}"]
    result = suite.run(*arguments, "--specdec-swap", "exit 3", simulate=False)
    assert "the swap command failed with exit code 3" in result.stdout.str() + result.stderr.str()
    assert len(suite.saved_run()["measurements"]) == 4, "the first round is kept"
