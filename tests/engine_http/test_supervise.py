"""The end of a launched engine: its stop command has a limit, and no process of its tree is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_specdec.engine import launch
from pytest_specdec.engine.supervise import GRACE_S, STOP_S, descendants

# The engine, and a helper in a session of its own, both deaf to the polite signal.
TREE = "trap '' TERM; setsid sleep {name} & sleep {name}; sleep {name}"
SHORT = """
import sys
from pytest_specdec.engine import supervise
supervise.STOP_S, supervise.GRACE_S = 0.3, 0.3
sys.exit(supervise.main(*sys.argv[1:]))
"""


def running(text: str) -> list[str]:
    lines = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in lines.splitlines() if line.strip() == text]


def wait_for(text: str, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(running(text)) != count:
        assert time.monotonic() < deadline, f"{text}: {running(text)}"
        time.sleep(0.05)


def supervised(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SHORT, *command],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_a_stop_command_that_hangs_does_not_keep_the_engine() -> None:
    process = supervised(TREE.format(name="4501"), "setsid sleep 4502; sleep 4502")
    wait_for("sleep 4501", 2)
    said = process.communicate(timeout=60)[1].decode()  # it closes standard input, as a killed pytest does
    assert "the stop command did not end within 0.3 s; the engine's processes are stopped now" in said
    assert "Traceback" not in said
    wait_for("sleep 4501", 0)
    wait_for("sleep 4502", 0)


def test_a_stop_command_is_not_cut_short(tmp_path: Path) -> None:
    process = supervised("exit 7", f"sleep 0.01; touch {tmp_path / 'stopped'}")
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 7
    assert (tmp_path / "stopped").exists()


def test_a_supervisor_has_the_time_that_it_needs() -> None:
    assert launch._END_S > STOP_S + 2 * GRACE_S


def test_a_supervisor_that_hangs_is_killed_with_its_whole_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_END_S", 0.1)
    process = subprocess.Popen(["sh", "-c", TREE.format(name="4503")], stdin=subprocess.PIPE, start_new_session=True)
    wait_for("sleep 4503", 2)
    launch._end(process)
    assert process.returncode is not None
    wait_for("sleep 4503", 0)


def test_a_process_that_ends_while_it_is_looked_at_has_no_descendants(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Path) -> str:
        raise ProcessLookupError

    monkeypatch.setattr(Path, "read_text", gone)
    assert descendants(os.getpid()) == []
