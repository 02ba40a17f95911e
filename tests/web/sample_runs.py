"""Runs for the page: two modes, two sequences, an earlier run beside a later one."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.domain.price import Price
from pytest_specdec.domain.traffic import RequestCounts
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Run
from pytest_specdec.results.verdict import MetricVerdict, Verdict

ENVIRONMENT = Environment(hardware="h200", engine="vllm", version="0.20.0", endpoint="http://a:8000/v1")
PRICE = Price(usd_per_gpu_hour=1.41, kw_per_gpu=1.73, source="a list")
OFF = {4: (122.3, 121.4), 8: (97.1, 192.6), 16: (69.7, 277.9), 32: (49.2, 386.1), 64: (33.9, 541.7), 65: (30.0, 500.0)}
"""Concurrency -> interactivity, throughput; the last point lies behind the frontier."""
MTP = {4: (167.2, 162.4), 8: (139.3, 290.8), 16: (96.1, 378.2), 32: (64.4, 512.3), 128: (25.2, 913.6)}
"""c64 is missing, so that the last bracket is wide."""


def point(  # noqa: PLR0913 - a point is all of these
    concurrency: int,
    x: float,
    y: float,
    *,
    mtp: int = 0,
    model: str = "org/Model-FP8",
    sequence: tuple[int, int] = (1024, 1024),
    precision: str = "fp8",
    environment: Environment = ENVIRONMENT,
) -> Measurement:
    values = {
        "total_tok_s_gpu": Estimate(y, y * 0.012),
        "interactivity_tok_s_user": Estimate(x, x * 0.012),
        "output_tok_s_gpu": Estimate(y / 2.02, y * 0.005),
        "input_tok_s_gpu": Estimate(y / 1.98, y * 0.005),
        "ttft_p50_ms": Estimate(40 + 3.7 * concurrency, 1.5),
        "e2e_p50_ms": Estimate(1000 * 1024 / x, 20),
        "tpot_p50_ms": Estimate(1000 / x, 10 / x),
        **({"acceptance_length": Estimate(2.61 - concurrency / 1000, 0.02)} if mtp else {}),
        **({"measured_j_tok": Estimate(5100 / y, 0.1)} if concurrency != 4 else {}),
    }
    cell = Cell(
        EngineSpec(model=model, precision=precision, parallelism="tp8", mtp=mtp),
        Workload(isl=sequence[0], osl=sequence[1]),
        concurrency,
    )
    return Measurement(
        cell=cell,
        environment=environment,
        price=PRICE,
        window_s=30.0,
        requests=RequestCounts(finished=10, failed=0, cut=2, observed=9),
        values=values,
        measured_at="2026-11-23T12:00:00+00:00",
    )


def curves(scale: float = 1.0, **options: object) -> list[Measurement]:
    """Off and MTP 3; `scale` is of MTP's throughput."""
    off = [point(c, x, y, **options) for c, (x, y) in OFF.items()]  # type: ignore[arg-type]
    return off + [point(c, x, y * scale, mtp=3, **options) for c, (x, y) in MTP.items()]  # type: ignore[arg-type]


def run_of(measurements: Iterable[Measurement], **fields: object) -> Run:
    return Run(
        tool_version="0.1.0",
        started_at="2026-11-23T12:00:00+00:00",
        command="pytest suites",
        complete=True,
        measurements=tuple(measurements),
        **fields,  # type: ignore[arg-type]
    )


def verdicts(measurements: Iterable[Measurement]) -> tuple[Verdict, ...]:
    """The first regressed, the others passed."""
    made = []
    for place, measurement in enumerate(measurements):
        baseline = Estimate(measurement.throughput.value * (1.25 if place == 0 else 1.0), 1.0)
        loss = Estimate(1 - measurement.throughput.value / baseline.value, 0.01)
        outcome = Outcome.PASS if place else Outcome.REGRESSED
        metric = MetricVerdict(
            metric="total_tok_s_gpu",
            baseline=baseline,
            measured=measurement.throughput,
            loss=loss,
            tolerance=0.05,
            outcome=outcome,
        )
        made.append(
            Verdict(cell=measurement.cell, outcome=outcome, metrics=(metric,), reason="" if place else "it lost")
        )
    return tuple(made)


def two_runs() -> tuple[Run, Run]:
    """Now, with a slower MTP and another driver, and the baseline."""
    other = replace(ENVIRONMENT, version="0.19.0", facts={"driver": "550.1", "draft_tokens": "3"})
    mine = replace(ENVIRONMENT, facts={"driver": "560.2", "draft_tokens": "3"})
    now = [*curves(0.82, environment=mine), *curves(0.9, environment=mine, sequence=(8192, 1024))]
    before = [*curves(environment=other), *curves(environment=other, sequence=(8192, 1024))]
    return run_of(now, verdicts=verdicts(now[:3])), run_of(before)


def large_run(models: int = 10, points: int = 50) -> Run:
    """100 curves of 50 points with 10 models: MTP 3 and Off at 5 sequences."""
    found = []
    for model in range(models):
        for sequence in ((1024, 1024), (8192, 1024), (1024, 8192), (2048, 1024), (4096, 1024)):
            for mtp in (0, 3):
                for n in range(1, points + 1):
                    x = 200.0 / (1 + 0.09 * n) * (1 + 0.3 * bool(mtp)) * (1 + model / 40)
                    y = 60.0 * n**0.6 * (1 + 0.2 * bool(mtp)) * (1 + sequence[0] / 20000)
                    found.append(point(n, x, y, mtp=mtp, model=f"org/Model-{model}", sequence=sequence))
    return run_of(found)
