"""The regression catalogue against the checks: which check flags each fault, and what the diagnosis says.

python tests/unit/catalogue.py [SEEDS]      prints the table of docs/regressions.md, over 20 seeds by default
"""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tabulate import tabulate

from pytest_specdec.baseline import BaselinePoint, BaselineRun
from pytest_specdec.cell import Cell, EngineSpec, Workload
from pytest_specdec.cost import Price
from pytest_specdec.errors import SpecdecError
from pytest_specdec.estimators.summary import summarize
from pytest_specdec.gate.verdict import Outcome, judge_suite
from pytest_specdec.measurement import Environment, Measurement
from pytest_specdec.simulator.fault import HEALTHY, Fault
from pytest_specdec.simulator.faults import FAULTS, HEALTHY_CONTROLS, UNSEEN, find_fault
from pytest_specdec.simulator.presets import find_preset
from pytest_specdec.simulator.virtual import run_closed_loop
from pytest_specdec.speculation.acceptance import acceptance_from
from pytest_specdec.speculation.health import find
from pytest_specdec.speculation.signs import signs_of
from pytest_specdec.tokens import token_truth

QWEN = find_preset("h200-qwen3.5-397b-fp8")
PRICE = Price(usd_per_gpu_hour=1.41, kw_per_gpu=1.73)
WINDOW_S = 60.0
MTP = 3

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
TEXT_ONLY = "the text alone tells it: output checks against Off"
ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(
        [
            *("answers-wrong", "text-differs", "anothers-text", "gibberish", "replacement-characters", "invalid-utf8"),
            *("endless", "loops-in-long-context", "structured-stuck", "structured-invalid"),
        ],
        TEXT_ONLY,
    ),
    **dict.fromkeys(["start-fails", "start-fails-above-k1", "start-fails-sometimes"], "the launcher tells it"),
    "gauge-lies": "a gauge is a hint, labelled as one, and neither stored nor gated where counters exist",
    "tokens-lost": "1 % of the tokens, under what cut streams leave open: drained runs (token truth) tell it",
}
"""Faults that a run in virtual time has no words for."""


@dataclass(frozen=True, slots=True)
class Caught:
    """What came of one run."""

    checks: tuple[str, ...]
    """Checks that flagged it: findings, and metrics that regressed."""
    cause: str
    """What the diagnosis, or the finding, says."""
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
    first, last = run.looks[0], run.looks[-1]
    counters = last.speculation - first.speculation if last.speculation and first.speculation else run.counters
    acceptance = acceptance_from(counters) if counters else None
    values, counts = summarize(run.traffic, workload, gpus=8, acceptance=acceptance, price=PRICE)
    tokens = token_truth(run.traffic.samples, last.generation_tokens, last.prompt_tokens)
    signs = signs_of(
        run.traffic,
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


@cache
def baseline(isl: int, osl: int, concurrency: int, seed: int) -> BaselinePoint:
    """The healthy engine, measured with another seed."""
    measured = measure(HEALTHY, Workload(isl=isl, osl=osl), concurrency, 1000 + seed)
    run = BaselineRun(measured_at="", version="1", values=measured.values)
    return BaselinePoint(
        cell=measured.cell, environment=measured.environment, price=PRICE, runs=(run,), path=Path("baseline.json")
    )


def catch(fault: Fault, seed: int) -> Caught:
    """Measure an engine with a fault and let every check look at it."""
    workload, concurrency = point_of(fault)
    try:
        measured = measure(fault, workload, concurrency, seed)
    except SpecdecError as error:
        return Caught((type(error).__name__,), "not measured", failed=True)
    stored = baseline(workload.isl, workload.osl, concurrency, seed)
    (verdict,) = judge_suite([(measured, stored)]).values()
    regressed = [m.metric for m in verdict.metrics if m.outcome is Outcome.REGRESSED]
    findings = [finding.check for finding in measured.findings]
    cause: str = verdict.diagnosis.cause if verdict.diagnosis else ""
    if verdict.outcome is Outcome.UNHEALTHY:
        cause = next(f.check for f in measured.findings if f.severity == "broken")
    failed = verdict.outcome in (Outcome.REGRESSED, Outcome.UNHEALTHY)
    return Caught((*findings, *regressed), cause, failed)


def job(name: str, seed: int) -> tuple[str, Caught]:
    return name, catch(find_fault(name), seed)


def table(seeds: int) -> str:
    """Every fault and every control."""
    faults = [fault for fault in FAULTS.values() if fault.id not in ELSEWHERE]
    names = [fault.id for fault in (*faults, *HEALTHY_CONTROLS.values())] * seeds
    numbers = [seed for seed in range(seeds) for _ in range(len(names) // seeds)]
    caught: dict[str, list[Caught]] = {}
    with ProcessPoolExecutor() as pool:
        for name, found in pool.map(job, names, numbers, chunksize=4):
            caught.setdefault(name, []).append(found)
    rows = []
    for fault in (*faults, *HEALTHY_CONTROLS.values()):
        runs = caught[fault.id]
        flagged = sum(bool(c.checks) for c in runs)
        checks = Counter(check for c in runs for check in c.checks)
        causes = Counter(c.cause for c in runs if c.cause)
        rows.append(
            [
                fault.id,
                ", ".join(fault.threads) or "-",
                fault.magnitude or "-",
                f"{flagged}/{len(runs)}",
                f"{sum(c.failed for c in runs)}/{len(runs)}",
                ", ".join(check for check, _ in checks.most_common(3)) or "nothing",
                causes.most_common(1)[0][0] if causes else "-",
            ]
        )
    headers = ["fault", "published as", "magnitude", "flagged", "red", "by", "diagnosis"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def left_out() -> str:
    """What no run in virtual time tells, with the reason."""
    rows = [[f, ", ".join(FAULTS[f].threads) or "-", why] for f, why in ELSEWHERE.items()]
    rows += [[one.what, one.thread, one.reason] for one in UNSEEN]
    return tabulate(rows, ["fault", "published as", "why not here"], tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    print(table(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
    print()
    print(left_out())
