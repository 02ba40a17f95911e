"""Measurements for tests."""

from __future__ import annotations

from msgspec.structs import replace

from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.domain.client_health import ClientHealth
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.price import Price
from pytest_specdec.domain.traffic import RequestCounts
from pytest_specdec.results.measurement import Measurement

ENGINE = EngineSpec(model="org/Model-FP8", precision="fp8")
WORKLOAD = Workload(isl=1024, osl=1024)
ENVIRONMENT = Environment(hardware="h200", engine="vllm", version="0.20.0", endpoint="http://a:8000/v1")
PRICE = Price(usd_per_gpu_hour=1.41, kw_per_gpu=1.73)
LATE = ClientHealth(
    clock="kernel",
    arrival_lag_p99_ms=0.3,
    arrival_lag_max_ms=2.0,
    send_lag_p99_ms=0.2,
    send_lag_max_ms=1.0,
    lost_load=0.5,
    loop_lag_p99_ms=1.0,
    loop_lag_max_ms=2.0,
    cpu_share=0.1,
    cpu_wait_share=0.02,
)
"""Of a client that was the limit."""


def measured(  # noqa: PLR0913 - a measurement is all of these
    concurrency: int = 8,
    *,
    mtp: int = 0,
    throughput: float = 100.0,
    interactivity: float = 50.0,
    half: float = 0.001,
    acceptance: float | None = None,
    environment: Environment = ENVIRONMENT,
    workload: Workload = WORKLOAD,
) -> Measurement:
    values = {
        "total_tok_s_gpu": Estimate(throughput, throughput * half),
        "interactivity_tok_s_user": Estimate(interactivity, interactivity * half),
        "ttft_p50_ms": Estimate(80.0),
    }
    if acceptance is not None:
        values["acceptance_length"] = Estimate(acceptance, acceptance * half)
    engine = EngineSpec(model=ENGINE.model, precision=ENGINE.precision, mtp=mtp)
    return Measurement(
        cell=Cell(engine, workload, concurrency),
        environment=environment,
        price=PRICE,
        window_s=30.0,
        requests=RequestCounts(finished=10, failed=0, cut=2, observed=9),
        values=values,
        measured_at="2026-11-23T12:00:00+00:00",
    )


def at_rate(measurement: Measurement, rate: float) -> Measurement:
    """The same where requests come by the clock."""
    cell = measurement.cell
    workload = replace(cell.workload, arrivals="poisson")
    return replace(measurement, cell=replace(cell, workload=workload, concurrency=0, rate=rate))
