"""A client that did not keep up says so; one that did says nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.domain import client_health as client_module
from pytest_specdec.domain.client_health import ClientHealth, client_limited
from pytest_specdec.load import vitals as vitals_module
from pytest_specdec.load.vitals import Vitals

KERNEL = ClientHealth(
    clock="kernel",
    arrival_lag_p99_ms=0.3,
    arrival_lag_max_ms=2.0,
    send_lag_p99_ms=0.2,
    send_lag_max_ms=1.0,
    lost_load=0.001,
    loop_lag_p99_ms=1.0,
    loop_lag_max_ms=2.0,
    cpu_share=0.1,
    cpu_wait_share=0.02,
)
PROCESS = msgspec.structs.replace(KERNEL, clock="process", arrival_lag_p99_ms=None, arrival_lag_max_ms=None)


def changed(health: ClientHealth, **changes: Any) -> ClientHealth:
    return msgspec.structs.replace(health, **changes)


# ---- words


@pytest.mark.parametrize("health", [KERNEL, PROCESS, changed(KERNEL, cpu_wait_share=None)])
def test_a_client_that_keeps_up_is_not_marked(health: ClientHealth) -> None:
    assert client_limited(health) == ""


@pytest.mark.parametrize(
    ("health", "field", "bound", "words"),
    [
        (KERNEL, "lost_load", "MOST_LOST_LOAD", "late sends lost"),
        (KERNEL, "arrival_lag_p99_ms", "MOST_LAG_MS", "received data waited"),
        (PROCESS, "loop_lag_p99_ms", "MOST_BLUR_MS", "arrivals are stamped up to"),
        (KERNEL, "cpu_share", "MOST_CPU_SHARE", "the client used"),
        (KERNEL, "cpu_wait_share", "MOST_CPU_WAIT_SHARE", "the client waited for a CPU"),
    ],
)
def test_every_bound_has_its_words_and_nothing_else(health: ClientHealth, field: str, bound: str, words: str) -> None:
    most = getattr(client_module, bound)
    assert client_limited(changed(health, **{field: most})) == ""
    reason = client_limited(changed(health, **{field: 1.2 * most}))
    assert reason.startswith(words)
    assert "; " not in reason


def test_every_reason_is_named() -> None:
    starved = changed(KERNEL, lost_load=0.25, arrival_lag_p99_ms=120.0, cpu_share=0.97, cpu_wait_share=0.4)
    assert client_limited(starved) == (
        "late sends lost 25.0% of the load; received data waited 120 ms (p99) to be read; "
        "the client used 97% of its CPU; the client waited for a CPU 40% of the time"
    )
    assert client_limited(changed(PROCESS, loop_lag_p99_ms=35.0)) == "arrivals are stamped up to 35 ms (p99) late"


def test_a_loop_that_is_blocked_again_and_again_is_marked_also_where_the_kernel_stamps() -> None:
    """As measured: 100 ms of every 400 ms blocked, eight streams of 3.5 ms steps, requests of 4 s."""
    measured = changed(
        KERNEL, arrival_lag_p99_ms=3.2, arrival_lag_max_ms=98.0, lost_load=0.006, loop_lag_p99_ms=99.6, cpu_share=0.04
    )
    assert client_limited(measured)


LAGS = [
    "arrival_lag_p99_ms",
    "arrival_lag_max_ms",
    "send_lag_p99_ms",
    "send_lag_max_ms",
    "lost_load",
    "loop_lag_p99_ms",
    "loop_lag_max_ms",
    "cpu_share",
    "cpu_wait_share",
]
amounts = st.floats(0, 1000)
shares = st.floats(0, 1.5)
healths = st.builds(
    lambda stamped, lags, rest, waited: changed(
        KERNEL if stamped else PROCESS,
        cpu_wait_share=waited,
        **dict(zip(LAGS[2:8], [*lags[:2], rest[0], *lags[2:], rest[1]], strict=True)),
        **(dict(zip(LAGS[:2], sorted(lags[:2]), strict=True)) if stamped else {}),
    ),
    st.booleans(),
    st.lists(amounts, min_size=4, max_size=4),
    st.lists(shares, min_size=2, max_size=2),
    st.none() | shares,
)


@given(health=healths, field=st.sampled_from(LAGS), more=amounts)
def test_more_lag_never_unmarks(health: ClientHealth, field: str, more: float) -> None:
    value = getattr(health, field)
    if value is None:
        return
    worse = changed(health, **{field: value + more})
    assert bool(client_limited(worse)) >= bool(client_limited(health))
    assert client_limited(worse).count(";") >= client_limited(health).count(";")


# ---- the pulse


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_blocked_loop_shows_in_the_pulse(loop: Any) -> None:
    async def main() -> ClientHealth:
        async with Vitals() as vitals:
            for _ in range(5):
                await asyncio.sleep(0.03)
                time.sleep(0.1)  # noqa: ASYNC251 - it is to block
            await asyncio.sleep(0.03)
            health = vitals.health(arrival_lags=[], send_lags=[], lost_load=0.0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return health

    with asyncio.Runner(loop_factory=loop) as runner:
        health = runner.run(main())
    assert health.loop_lag_max_ms >= health.loop_lag_p99_ms > 60
    assert health.clock == "process"
    assert client_limited(health).startswith("arrivals are stamped up to")


def test_a_client_that_computes_all_the_time_shows_in_its_cpu_share() -> None:
    async def main() -> tuple[ClientHealth, float]:
        async with Vitals() as vitals:
            begin, cpu = time.perf_counter(), time.process_time()
            for _ in iter(lambda: time.process_time() - cpu < 0.2, False):
                await asyncio.sleep(0)
            seconds = time.perf_counter() - begin
            return vitals.health(arrival_lags=[0.001], send_lags=[], lost_load=0.0), seconds

    health, seconds = asyncio.run(main())
    assert health.clock == "kernel"
    assert 0.1 / seconds < health.cpu_share < 0.4 / seconds
    if health.cpu_wait_share is not None:
        assert health.cpu_share + health.cpu_wait_share < 1.2


def test_lags_are_summed_up_in_milliseconds() -> None:
    async def main() -> ClientHealth:
        async with Vitals() as vitals:
            lags = [0.001] * 980 + [0.2] * 20
            return vitals.health(arrival_lags=lags, send_lags=[0.003, 0.001], lost_load=0.25)

    health = asyncio.run(main())
    assert [health.arrival_lag_p99_ms, health.arrival_lag_max_ms] == pytest.approx([200, 200])
    assert [health.send_lag_p99_ms, health.send_lag_max_ms] == pytest.approx([2.98, 3])
    assert health.lost_load == 0.25


class Machine:
    """The clocks that the vitals read, wound by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = self.cpu_s = self.waited_s = 100.0
        clocks = SimpleNamespace(perf_counter=lambda: self.now_s, process_time=lambda: self.cpu_s)
        monkeypatch.setattr(vitals_module, "time", clocks)
        monkeypatch.setattr(vitals_module, "_waited_s", lambda: self.waited_s)

    async def spend(self, seconds: float, *, cpu: float, waiting: float) -> ClientHealth:
        async with Vitals() as vitals:
            self.now_s += seconds
            self.cpu_s += cpu
            self.waited_s += waiting
            return vitals.health(arrival_lags=[0.0003], send_lags=[0.0002], lost_load=0.001)


@pytest.mark.parametrize(
    ("cpu", "waiting", "words"),
    [
        (1.0, 0.05, ""),
        (9.9, 0.05, "the client used 99% of its CPU"),
        (1.0, 7.0, "the client waited for a CPU 70% of the time"),
    ],
)
def test_shares_are_of_the_time_that_went_by(
    monkeypatch: pytest.MonkeyPatch, cpu: float, waiting: float, words: str
) -> None:
    """By clocks of the test's own: the machine that runs it may be as busy as it likes."""
    health = asyncio.run(Machine(monkeypatch).spend(10.0, cpu=cpu, waiting=waiting))
    assert (health.cpu_share, health.cpu_wait_share) == pytest.approx((cpu / 10, waiting / 10))
    assert client_limited(health) == words


# ---- real load

CHILD = """
import asyncio, os, sys, time, msgspec, uvloop
from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.load.point import Limits, put_under_load
from pytest_specdec.load.writers import PromptWriter
from pytest_specdec.load.target import Target
from pytest_specdec.estimators.window import Reviewer, StopRule

WORKLOAD = Workload(isl=256, osl=64)

async def block():
    while True:
        await asyncio.sleep(0.1)
        time.sleep(0.1)

async def main(url, trouble):
    target = Target(base_url=url, model="tiny")
    writer = await PromptWriter.calibrate(target, WORKLOAD)
    if trouble == "starved":
        print("ready", flush=True)
        input()
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.nice(5)
    blocking = asyncio.create_task(block()) if trouble == "blocked" else None
    limits = Limits(settle_s=0.1, warm_up_s=0.3, no_progress_s=10.0, deadline_s=50.0)
    review = Reviewer(StopRule(floor_s=1.5, ceiling_s=1.5, precision=0.01), WORKLOAD)
    cell = Cell(EngineSpec(model="m", precision="fp8"), WORKLOAD, 8)
    result = await put_under_load(target, cell, writer, limits=limits, review=review)
    print(msgspec.json.encode(result.client).decode(), flush=True)

uvloop.run(main(*sys.argv[1:]))
"""
HOG = """
import os, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print("running", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    pass
"""
HOGS = 3


@contextlib.contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that is ended at the latest here."""
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """A simulated engine in a process of its own."""
    options = ["--preset", "tiny", "--mtp", "3", "--port", "0", "--exit-with-parent"]
    with child("-m", "pytest_specdec", "simulate", *options) as process:
        found = re.search(r"http://\S+", line_of(process))
        assert found is not None
        yield found[0]


def under_load(engine: str, trouble: str) -> ClientHealth:
    with contextlib.ExitStack() as stack:
        load = stack.enter_context(child("-c", CHILD, engine, trouble))
        if trouble == "starved":
            assert line_of(load) == "ready\n"
            hogs = [stack.enter_context(child("-c", HOG)) for _ in range(HOGS)]
            assert [line_of(hog) for hog in hogs] == ["running\n"] * HOGS
            assert load.stdin is not None
            load.stdin.write("\n")
            load.stdin.flush()
        return msgspec.json.decode(line_of(load), type=ClientHealth)


@pytest.mark.study
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be tied to a CPU here")
def test_a_client_that_shares_its_cpu_with_busy_processes_is_marked(engine: str) -> None:
    health = under_load(engine, "starved")
    assert client_limited(health), health
    if health.cpu_wait_share is not None:
        assert "waited for a CPU" in client_limited(health)


def test_a_client_whose_loop_is_blocked_again_and_again_is_marked(engine: str) -> None:
    health = under_load(engine, "blocked")
    assert health.loop_lag_p99_ms > 50
    assert "late sends lost" in client_limited(health), health


def _idle_share(since: list[int] | None = None) -> tuple[float, list[int]]:
    """Share of all CPUs' time that nobody used, and what to give to ask again; 1 where it is not told."""
    try:
        now = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 1.0, []
    spent = [b - a for a, b in zip(since, now, strict=True)] if since else [0, 0, 0, 1]
    return spent[3] / (sum(spent) or 1), now


@pytest.mark.study
def test_a_client_on_an_idle_machine_is_not_marked(engine: str) -> None:
    """A machine that others keep busy starves this client in truth: three tries, and only a mark in idleness counts."""
    idle = 0.0
    for _ in range(3):
        _, before = _idle_share()
        health = under_load(engine, "none")
        idle, _ = _idle_share(before)
        reason = client_limited(health)
        if not reason:
            return
    if idle < 0.6:
        pytest.skip(f"this machine is too busy for a healthy client: {1 - idle:.0%} of its CPUs are in use; {reason}")
    raise AssertionError(f"marked although {idle:.0%} of the machine was idle: {reason}; {health}")
