"""Supervisor process: runs an engine, outlives pytest by seconds, and stops the engine's whole process tree.

`python -m pytest_specdec.engine.supervise START [STOP]`: two shell commands. The engine ends when standard input
closes, which happens also when pytest is killed: the STOP command runs (killing `docker run` leaves the container
behind), for `STOP_S` at most, then every process of the engine gets SIGTERM, and after `GRACE_S` SIGKILL.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_S = 10.0
"""From SIGTERM to SIGKILL."""
STOP_S = 120.0
"""Limit of the STOP command: enough for a pod's whole grace period. One that hangs must not keep the GPUs."""
_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.2


def main(start: str, stop: str = "") -> int:
    """Run the engine until it ends or standard input closes; return its exit code."""
    # Orphans of the engine become children of this process instead of init's, so that none escapes.
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    engine = subprocess.Popen(  # noqa: S602 - the user's own command
        start,
        shell=True,
        stdin=subprocess.DEVNULL,
        preexec_fn=_heed_signals,  # noqa: PLW1509 - there are no threads here
    )
    while engine.poll() is None and not _closed(sys.stdin.fileno()):
        pass
    try:
        if stop:
            _run_stop(stop)
    finally:
        _stop_descendants(engine)
    return engine.wait()


def _heed_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def _run_stop(command: str) -> None:
    try:
        subprocess.run(command, shell=True, check=False, timeout=STOP_S)  # noqa: S602 - the user's own command
    except subprocess.TimeoutExpired:
        # Its processes are descendants of this one like the engine's, and are stopped with them.
        sys.stderr.write(f"the stop command did not end within {STOP_S:g} s; the engine's processes are stopped now\n")


def _closed(descriptor: int) -> bool:
    ready, _, _ = select.select([descriptor], [], [], _POLL_S)
    return bool(ready) and not os.read(descriptor, 4096)


def _stop_descendants(engine: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        told: set[int] = set()
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline:
            engine.poll()
            running = descendants(os.getpid())
            if not running:
                return
            for pid in running:
                # Once each: a second SIGTERM makes some servers skip their orderly end.
                _signal_or_reap(pid, number if pid not in told else None, engine.pid)
            told.update(running)
            time.sleep(_POLL_S)


def _signal_or_reap(pid: int, number: signal.Signals | None, engine: int) -> None:
    try:
        if number is not None:
            os.kill(pid, number)
        if pid != engine:
            os.waitpid(pid, os.WNOHANG)
    except (ProcessLookupError, ChildProcessError):
        pass


def descendants(pid: int) -> list[int]:
    """Ids of all processes below a process; none below one that has ended."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                found += [child, *descendants(child)]
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
