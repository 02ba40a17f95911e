"""The regression catalogue over HTTP in real time: each fault once, through the real load path.

The simulated engine is a process of its own, or for the small one a thread of this; it runs SPEED times as fast as the
engine that it simulates, so that a point takes seconds.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any, Protocol

from catalogue import MTP, PRICE, QWEN, Caught, judge, point_of, reason_of, stored
from catalogue_text import caught
from expected import SPEED, START, TEXT, Expected

from pytest_specdec.domain import client_health as client
from pytest_specdec.domain.cell import Cell, EngineSpec, Interview, Workload
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.errors import EngineError, SpecdecError
from pytest_specdec.estimators.window import StopRule
from pytest_specdec.load.point import Limits
from pytest_specdec.measure.budget import Bill, Budget
from pytest_specdec.measure.http_engine import GpuOptions, HttpEngines
from pytest_specdec.measure.interview import Answers
from pytest_specdec.measure.judge_answers import judge_answers
from pytest_specdec.measure.live_engine import OpenEngine, PointOptions
from pytest_specdec.measure.runner import Runner
from pytest_specdec.results.baseline import BaselinePoint
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.simulator.faults.fault import Fault
from pytest_specdec.simulator.model import Preset
from pytest_specdec.simulator.server import SimulatorOptions, start
from pytest_specdec.suite.plan import Plan

SPEED_UP, MOST_STREAMS = 4.0, 32
"""With more streams than that the engine is not so quick: this is one process."""
WINDOW_S = 6.0
LIMITS = Limits(settle_s=0.3, warm_up_s=3.0, no_progress_s=8.0, deadline_s=90.0)
SESSIONS = 4
MORE = 6
"""Sessions of either engine that the gate may ask for."""
WINDOWS_S = {"prefills-stall": 30.0, "steps-stall": 12.0, "hang": 30.0}
DIALECTS = {"gauge-lies": "sglang"}
"""vLLM has no gauge of the acceptance length."""
OVER_HTTP = {
    # Beside Off only: measured alone, prompts are made to length with the template that there is.
    "template-changed": Expected("EngineError", "different chat templates"),
    # The endpoint tells its limit, and a baseline of another one is no baseline.
    "queued": Expected("queue-limited", "max_running differs"),
    # A client has patience; in virtual time the window ends.
    "hang": Expected("EngineError", "no progress"),
}
"""What is told otherwise than in virtual time, where there are no templates and no settings to read back."""
BESIDE_OFF = {"template-changed"}


PATIENCE_S = 60.0
"""For what takes no time."""


class Serve(Protocol):
    """A way to start the simulated engine: `serving` or `serving_here`."""

    def __call__(
        self, fault: str, *, mtp: int, seed: int, preset: str = ..., speed: float = ...
    ) -> AbstractContextManager[Endpoint]: ...


class Collected:
    """What a measuring tells."""

    def __init__(self) -> None:
        self.measurements: list[Measurement] = []
        self.answers: Answers | None = None
        self.error: SpecdecError | None = None

    def measured(self, measurement: Measurement) -> None:
        self.measurements.append(measurement)

    def answered(self, _: Interview, answers: Answers) -> None:
        self.answers = answers

    def not_answered(self, _: Interview, error: SpecdecError) -> None:
        self.error = error

    def not_measured(self, _: Sequence[Cell], error: SpecdecError) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        """Whatever else there is to tell."""
        return lambda *_: None


@contextmanager
def serving(fault: str, *, mtp: int, seed: int, preset: str = QWEN.name, speed: float = SPEED_UP) -> Iterator[Endpoint]:
    """Start the simulated engine.

    Raises:
        EngineError: it does not start.
    """
    command = [sys.executable, "-m", "pytest_specdec", "simulate", "--preset", preset, "--mtp", str(mtp), "--port", "0"]
    command += ["--seed", str(seed), "--speed", str(speed), "--dialect", DIALECTS.get(fault, "vllm")]
    command += ["--exit-with-parent", *(["--fault", fault] if fault else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        try:
            if " ready at " not in line:
                raise EngineError(process.stderr.read().strip().splitlines()[-1])
            yield Endpoint(url=line.rpartition(" ready at ")[2].strip())
        finally:
            process.terminate()


@contextmanager
def serving_here(
    fault: str, *, mtp: int, seed: int, preset: str = QWEN.name, speed: float = SPEED_UP
) -> Iterator[Endpoint]:
    """Start the simulated engine in a thread, which saves the start of a process; for the small one it is enough.

    Raises:
        EngineError: it does not start.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    options = SimulatorOptions(
        preset=preset, mtp=mtp, seed=seed, speed=speed, dialect=DIALECTS.get(fault, "vllm"), fault=fault or None
    )
    try:
        server = asyncio.run_coroutine_threadsafe(start(options), loop).result(PATIENCE_S)
        try:
            yield Endpoint(url=server.url)
        finally:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def unlimited_client() -> Iterator[None]:
    """The machine may be busy, and that is not what is looked for."""
    bounds = {name: value for name, value in vars(client).items() if name.startswith("MOST_")}
    for name in bounds:
        setattr(client, name, float("inf"))
    try:
        yield
    finally:
        for name, value in bounds.items():
            setattr(client, name, value)


def carried_out(
    endpoints: Mapping[int, Endpoint], plan: Plan, window_s: float = WINDOW_S, limits: Limits = LIMITS
) -> Collected:
    """Carry a plan out on engines that run, by their draft tokens."""
    collected = Collected()
    rule = StopRule(floor_s=window_s, ceiling_s=window_s, precision=0.05)
    runner = Runner(
        point=PointOptions(limits=limits, rule=rule, price=lambda _: PRICE),
        connect=HttpEngines(prompt_files={}, gpu=GpuOptions(), said=collected.said).connect,
        results=collected,
        listener=collected,
        bill=Bill(budget=Budget(), usd_per_gpu_hour=PRICE.usd_per_gpu_hour),
    )

    @contextmanager
    def opened(engine: EngineSpec) -> Iterator[OpenEngine]:
        yield OpenEngine(endpoint=endpoints[engine.mtp], hardware="h200")

    runner.carry_out(plan, opened, starts=False)
    return collected


def measure(  # noqa: PLR0913 - a point of a start is all of these
    fault: str,
    workload: Workload,
    concurrency: int,
    seed: int,
    *,
    preset: Preset = QWEN,
    window_s: float = WINDOW_S,
    limits: Limits = LIMITS,
    serve: Serve = serving,
) -> Measurement:
    """One point of one start of the engine.

    Raises:
        SpecdecError: it could not be measured.
    """
    cell = Cell(EngineSpec(model=preset.model, precision="fp8", mtp=MTP), workload, concurrency)
    speed = SPEED_UP * min(1.0, MOST_STREAMS / concurrency)
    with serve(fault, mtp=MTP, seed=seed, preset=preset.name, speed=speed) as endpoint:
        found = carried_out({MTP: endpoint}, Plan.of([cell], seed), WINDOWS_S.get(fault, window_s), limits)
    if found.error is not None:
        raise found.error
    return found.measurements[0]


@cache
def healthy(workload: Workload, concurrency: int, number: int) -> Measurement:
    """The old engine."""
    return measure("", workload, concurrency, 1000 + number)


@cache
def baseline(workload: Workload, concurrency: int) -> BaselinePoint:
    """Several sessions of the old engine."""
    return stored([healthy(workload, concurrency, number) for number in range(SESSIONS)])


def catch_beside_off(  # noqa: PLR0913 - a point of two starts is all of these
    fault: str,
    workload: Workload,
    concurrency: int,
    *,
    preset: Preset = QWEN,
    window_s: float = WINDOW_S,
    limits: Limits = LIMITS,
    serve: Serve = serving,
) -> Caught:
    """Measure Off and an engine with a fault: prompts are made to length on Off, and must be as long on the other."""
    engine = EngineSpec(model=preset.model, precision="fp8", mtp=MTP)
    cells = [Cell(one, workload, concurrency) for one in (engine.off(), engine)]
    with (
        serve("", mtp=0, seed=0, preset=preset.name) as off,
        serve(fault, mtp=MTP, seed=0, preset=preset.name) as mtp,
    ):
        error = carried_out({0: off, MTP: mtp}, Plan.of(cells, 0), window_s, limits).error
    return Caught((type(error).__name__,), reason_of(error), failed=True) if error else Caught((), "", failed=False)


def catch(fault: Fault) -> Caught:
    """Measure an engine with a fault."""
    workload, concurrency = point_of(fault)
    if fault.id in BESIDE_OFF:
        return catch_beside_off(fault.id, workload, concurrency)
    known = baseline(workload, concurrency)
    return judge(
        lambda session: measure(fault.id, workload, concurrency, session),
        lambda session: healthy(workload, concurrency, SESSIONS + session),
        known,
        most=MORE,
    )


def answers(fault: str, mtp: int) -> Answers:
    """What an engine says.

    Raises:
        SpecdecError: it could not be asked.
    """
    spec = EngineSpec(model="tiny", precision="fp8", parallelism="tp1", mtp=mtp)
    with serving(fault, mtp=mtp, seed=0, preset="tiny", speed=20.0) as endpoint:
        found = carried_out({mtp: endpoint}, Plan.of([], 0, [Interview(spec)]))
    if found.answers is None:
        raise found.error or EngineError("nothing was said")
    return found.answers


@cache
def off() -> Answers:
    """The answers of Off."""
    return answers("", 0)


def catch_text(fault: Fault) -> Caught:
    """Ask an engine with a fault."""
    return caught(judge_answers(off(), answers(fault.id, MTP)))


def catch_start(fault: Fault, serve: Serve = serving) -> Caught:
    """Start an engine with a fault until it does not start."""
    for seed in range(20):
        try:
            with serve(fault.id, mtp=MTP, seed=seed):
                pass
        except EngineError as error:
            return Caught(("EngineError",), reason_of(error), failed=True)
    return Caught((), "", failed=False)


def catch_all(fault: Fault) -> dict[str, Caught]:
    """Whatever can be tried of it: speed, text, start."""
    ways = {"speed": (SPEED, catch), "text": (TEXT, catch_text), "start": (START, catch_start)}
    return {name: look(fault) for name, (known, look) in ways.items() if fault.id in known}
