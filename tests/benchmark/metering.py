"""Run a command, and say what its whole process tree cost and what else the machine did meanwhile. Linux."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36
_QUIET = 0.9
_LOOK_S = 1.0
_MOST_ORPHANS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One command, seconds."""

    exit_code: int
    """-1 when its time was over."""
    wall_s: float
    cpu_s: float
    """User and system time of the command and of all that it started."""
    server_cpu_s: float
    others_cpu_s: float
    """CPU of everything else on the machine: what made the figures worse that were read on the clock."""
    steal_s: float
    load1: float
    idle_before: float
    """Share of the machine that was idle before it started."""
    orphans_killed: bool
    """Whether it left processes behind; what they cost is in `cpu_s`."""


def adopt_orphans() -> None:
    """Become the parent of processes whose parent ends, so that their CPU is counted too."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def measure(  # noqa: PLR0913 - a run is all of these
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    seconds: float,
    server_pid: int,
    patience_s: float,
) -> Meter:
    """Run a command for so long at most, once the machine is quiet or has not become so in time."""
    idle = _wait_until_quiet(patience_s)
    machine, server, children, began = _machine(), _process_cpu_s(server_pid), _children_cpu_s(), time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            exit_code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            exit_code = -1
        finally:
            wall_s = time.monotonic() - began
            orphans = _end_group(process)
    after = _machine()
    cpu_s = _children_cpu_s() - children
    server_cpu_s = _process_cpu_s(server_pid) - server
    return Meter(
        exit_code=exit_code,
        wall_s=wall_s,
        cpu_s=cpu_s,
        server_cpu_s=server_cpu_s,
        others_cpu_s=max(0.0, after.busy_s - machine.busy_s - cpu_s - server_cpu_s),
        steal_s=after.steal_s - machine.steal_s,
        load1=os.getloadavg()[0],
        idle_before=idle,
        orphans_killed=orphans,
    )


def _end_group(process: subprocess.Popen[bytes]) -> bool:
    """Kill what is left of the command's session and collect its CPU time; whether something was left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return any(_collected(process.pid))


def _collected(group: int) -> Iterator[bool]:
    for _ in range(_MOST_ORPHANS):
        try:
            os.waitpid(-group, 0)
        except ChildProcessError:
            return
        yield True


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _process_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass(frozen=True, slots=True)
class _Machine:
    total_s: float
    busy_s: float
    steal_s: float


def _machine() -> _Machine:
    """CPU seconds since boot; guest time is in user time already, and stolen time was nobody's here."""
    with Path("/proc/stat").open() as lines:
        user, nice, system, idle, iowait, irq, softirq, steal = (
            int(field) / _TICKS for field in lines.readline().split()[1:9]
        )
    busy = user + nice + system + irq + softirq
    return _Machine(total_s=busy + idle + iowait, busy_s=busy, steal_s=steal)


def _wait_until_quiet(patience_s: float) -> float:
    until = time.monotonic() + patience_s
    while True:
        before = _machine()
        time.sleep(_LOOK_S)
        after = _machine()
        idle = 1 - (after.busy_s - before.busy_s) / max(after.total_s - before.total_s, 1e-9)
        if idle >= _QUIET or time.monotonic() >= until:
            return idle
