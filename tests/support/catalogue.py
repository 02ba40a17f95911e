"""The regression catalogue against the checks of speed and of counters, in virtual time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from virtual import run_closed_loop

from pytest_specdec.domain.acceptance import acceptance_from
from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.domain.price import Price
from pytest_specdec.domain.token_check import token_truth
from pytest_specdec.domain.traffic import RequestSample
from pytest_specdec.errors import SpecdecError
from pytest_specdec.estimators.summary import summarize
from pytest_specdec.gate.admission import settled
from pytest_specdec.gate.dialogue import Block, Observed, PairBlocks, Request, ScreenRuns, drive
from pytest_specdec.gate.evidence import CellEvidence, build, observed, terms_of
from pytest_specdec.gate.noise import Run
from pytest_specdec.gate.rule import decide
from pytest_specdec.gate.terms import PAIRS_PER_BLOCK, Terms
from pytest_specdec.gate.verdicts import verdicts
from pytest_specdec.results.baseline import BaselinePoint, BaselineRun
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.verdict import Verdict
from pytest_specdec.simulator.faults.fault import HEALTHY, Fault
from pytest_specdec.simulator.presets import find_preset
from pytest_specdec.speculation.health import find
from pytest_specdec.speculation.signs import signs_of

QWEN = find_preset("h200-qwen3.5-397b-fp8")
PRICE = Price(usd_per_gpu_hour=1.41, kw_per_gpu=1.73)
WINDOW_S = 60.0
MTP = 3
SESSIONS = 6
"""Of the baseline."""
BASELINES = 4
MeasureIn = Callable[[int], Measurement]
"""Measures an engine in one session; the number tells sessions apart."""
_REASON = re.compile("CUDA error|ended early|no progress|failed to start|different chat templates")

WHERE: dict[str, tuple[str, int]] = {
    "dynamic-k-thrashes": ("1k1k", 8),
    "drafter-gaps": ("1k1k", 32),
    "slower-with-every-request": ("1k1k", 64),
    "acceptance-falls-with-context": ("8k1k", 8),
    "slow-on-long-context": ("8k1k", 8),
    "crash-on-long-context": ("8k1k", 8),
    "off-above-batch": ("1k1k", 32),
    "crash-at-high-concurrency": ("1k1k", 64),
    "queued": ("1k1k", 64),
    "slow-prefill": ("8k1k", 32),
}
"""Sequence and concurrency at which a fault shows that does not show at 16 requests of 1k1k."""
WINDOWS_S = {"prefills-stall": 240.0}
"""Longer than usual, for what happens once in 20 s."""


@dataclass(frozen=True, slots=True)
class Caught:
    """What came of one run."""

    checks: tuple[str, ...]
    """Checks that flagged it: findings, and metrics that regressed."""
    cause: str
    """What the diagnosis, the finding or the error says."""
    failed: bool
    """Whether a test would be red."""


def point_of(fault: Fault) -> tuple[Workload, int]:
    sequence, concurrency = WHERE.get(fault.id, ("1k1k", 16))
    isl = 8192 if sequence == "8k1k" else 1024
    return Workload(isl=isl, osl=1024), concurrency


def measure(fault: Fault, workload: Workload, concurrency: int, seed: int) -> Measurement:
    """One point, with all that the real measuring derives from it.

    Raises:
        SpecdecError: it could not be measured.
    """
    run = run_closed_loop(
        QWEN,
        mtp=MTP,
        workload=workload,
        concurrency=concurrency,
        window_s=WINDOWS_S.get(fault.id, WINDOW_S),
        seed=seed,
        fault=fault,
    )
    traffic = replace(run.traffic, samples=[_as_the_load_has_it(s) for s in run.traffic.samples])
    first, last = run.looks[0], run.looks[-1]
    counters = last.speculation - first.speculation if last.speculation and first.speculation else run.counters
    acceptance = acceptance_from(counters) if counters else None
    values, counts = summarize(traffic, workload, gpus=8, acceptance=acceptance, price=PRICE)
    tokens = token_truth(traffic.samples, last.generation_tokens, last.prompt_tokens)
    signs = signs_of(
        traffic,
        speculation=counters,
        generated=last.generation_tokens - first.generation_tokens,
        waiting=[look.waiting for look in run.looks],
        preemptions=last.preemptions,
        prefix_queries=last.prefix_queries,
        prefix_hits=last.prefix_hits,
        gauge_lengths=[look.gauge_length for look in run.looks if look.gauge_length],
    )
    cell = Cell(EngineSpec(model="qwen", precision="fp8", mtp=MTP), workload, concurrency)
    return Measurement(
        cell=cell,
        environment=Environment(hardware="simulated"),
        price=PRICE,
        window_s=WINDOW_S,
        requests=counts,
        values=values,
        acceptance=acceptance,
        tokens=tokens,
        signs=signs,
        findings=find(cell, acceptance, signs, tokens),
    )


def _as_the_load_has_it(sample: RequestSample) -> RequestSample:
    """A request that ends before its time has failed, as over HTTP."""
    if sample.status != "ok" or sample.output_tokens >= sample.request.osl:
        return sample
    error = f"ended early: {sample.output_tokens} of {sample.request.osl} tokens"
    return replace(sample, status="failed", error=error)


@cache
def baseline(isl: int, osl: int, concurrency: int, number: int) -> BaselinePoint:
    """The healthy engine, measured in several sessions."""
    workload = Workload(isl=isl, osl=osl)
    runs = [measure(HEALTHY, workload, concurrency, 1000 + 100 * number + session) for session in range(SESSIONS)]
    return stored(runs)


def stored(runs: Sequence[Measurement]) -> BaselinePoint:
    """Runs as a baseline has them, each on a start of its own."""
    return BaselinePoint(
        cell=runs[0].cell,
        environment=runs[0].environment,
        price=runs[0].price,
        runs=tuple(
            BaselineRun(measured_at="", version="1", session=str(i), requests=run.requests.finished, values=run.values)
            for i, run in enumerate(runs)
        ),
        path=Path("baseline.json"),
    )


def catch(fault: Fault, seed: int) -> Caught:
    """Measure an engine with a fault and let every check look at it."""
    workload, concurrency = point_of(fault)
    known = baseline(workload.isl, workload.osl, concurrency, seed % BASELINES)
    return judge(
        lambda session: measure(fault, workload, concurrency, seed + 10_000 * session),
        lambda session: healthy(workload.isl, workload.osl, concurrency, seed + 10_000 * session + 5_000),
        known,
    )


@cache
def healthy(isl: int, osl: int, concurrency: int, seed: int) -> Measurement:
    """The old engine, beside the new one."""
    return measure(HEALTHY, Workload(isl=isl, osl=osl), concurrency, seed)


def judge(new_in: MeasureIn, old_in: MeasureIn, known: BaselinePoint, *, most: int = 1000) -> Caught:
    """Let the findings and the gate speak; the gate may ask for so many more sessions of either engine."""
    try:
        measured = new_in(0)
    except SpecdecError as error:
        return Caught((type(error).__name__,), reason_of(error), failed=True)
    findings = tuple(finding.check for finding in measured.findings)
    verdict = settled(measured, known, ()) or _weighed(measured, new_in, old_in, known, most)
    if verdict.outcome is Outcome.UNHEALTHY:
        return Caught(findings, next(f.check for f in measured.findings if f.severity == "broken"), failed=True)
    if verdict.outcome is Outcome.NOT_COMPARABLE:
        return Caught((*findings, verdict.outcome.value), verdict.reason.partition(": ")[0], failed=True)
    regressed = [m.metric for m in verdict.metrics if m.outcome is Outcome.REGRESSED]
    cause = verdict.diagnosis.cause if verdict.diagnosis else ""
    return Caught((*findings, *regressed), cause, failed=verdict.outcome is Outcome.REGRESSED)


def _weighed(measured: Measurement, new_in: MeasureIn, old_in: MeasureIn, known: BaselinePoint, most: int) -> Verdict:
    case = build([CellEvidence(measured=measured, runs=(measured,), baseline=known)])
    (name,) = case.cells
    left = iter(range(1, most + 1))

    def new(session: int) -> Run:
        return observed(new_in(session), known, by_prompt=False)

    def old(session: int) -> Run:
        return observed(old_in(session), known, by_prompt=False)

    def answer(request: Request) -> Observed:
        if isinstance(request, ScreenRuns):
            more = [new(session) for session in itertools.islice(left, request.runs[name] - 1)]
            return Observed(runs={name: [*case.runs[name], *more]}, extras=case.extras)
        if not isinstance(request, PairBlocks):
            return Observed(runs={name: [new(session) for session in itertools.islice(left, request.sessions)]})
        sessions = list(itertools.islice(left, PAIRS_PER_BLOCK * request.blocks))
        if len(sessions) < PAIRS_PER_BLOCK * request.blocks:
            return Observed(exhausted="the catalogue measures no more")
        pairs = zip(sessions[::2], sessions[1::2], strict=True)
        return Observed(blocks={name: [Block(old=(old(a), old(b)), new=(new(a), new(b))) for a, b in pairs]})

    rule = decide(case.noise, terms=terms_of(case, Terms(exhaustive=True)), engines=case.engines)
    return verdicts(case, drive(rule, answer))[measured.cell]


def reason_of(error: SpecdecError) -> str:
    """What most requests failed of, or why an engine did not start, in its first words."""
    found = _REASON.search(str(error))
    return found[0] if found else str(error)
