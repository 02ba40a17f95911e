"""One run that never changes, for the golden files: two modes, five loads, two verdicts, a point that was lost."""

from __future__ import annotations

from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.domain.price import Price, cost_usd_mtok
from pytest_specdec.domain.traffic import RequestCounts
from pytest_specdec.results.measurement import Certainty, Measurement, ServerTtft
from pytest_specdec.results.run import Run
from pytest_specdec.results.verdict import Verdict

_ENGINE = EngineSpec(model="Qwen/Qwen3.5-397B-A17B-FP8", precision="fp8", parallelism="tp8ep8")
_WORKLOAD = Workload(isl=1024, osl=1024)
_ENVIRONMENT = Environment(hardware="h200", engine="vllm", version="0.20.0", endpoint="http://a:8000/v1")
_PRICE = Price(usd_per_gpu_hour=1.41, kw_per_gpu=1.73)
_OFF = {4: (105.0, 113.0), 8: (96.0, 205.0), 16: (83.0, 352.0), 32: (66.0, 561.0), 64: (49.0, 832.0)}
_MTP = {4: (171.0, 184.0), 8: (149.0, 318.0), 16: (124.0, 527.0), 32: (97.0, 824.0), 64: (70.0, 1189.0)}
"""Concurrency -> tok/s/user, tok/s/GPU."""


def golden_run() -> Run:
    points = [_point(0, c, *at) for c, at in _OFF.items()] + [_point(3, c, *at) for c, at in _MTP.items()]
    reasons = {Outcome.NO_BASELINE: "no baseline is stored for this cell", Outcome.UNHEALTHY: _UNHEALTHY}
    return Run(
        tool_version="0.1.0",
        started_at="2026-11-23T12:00:00+00:00",
        command="pytest suites",
        measurements=tuple(points),
        verdicts=tuple(
            Verdict(cell=point.cell, outcome=outcome, reason=reasons[outcome])
            for point, outcome in ((points[0], Outcome.NO_BASELINE), (points[5], Outcome.UNHEALTHY))
        ),
        not_measured={"qwen3.5-397b-a17b-fp8-8k1k-mtp3-c64": "the budget of 30 min is spent"},
    )


_UNHEALTHY = (
    "the drafter's second position is accepted as often as its first one says nothing about it: 0.31 of drafts at "
    "position 1, 0.30 at position 2, 0.30 at position 3"
)


def _point(mtp: int, concurrency: int, interactivity: float, throughput: float) -> Measurement:
    engine = EngineSpec(model=_ENGINE.model, precision="fp8", parallelism="tp8ep8", mtp=mtp)
    total = Estimate(throughput, throughput * 0.008)
    values = {
        "total_tok_s_gpu": total,
        "output_tok_s_gpu": total.scaled(0.5),
        "interactivity_tok_s_user": Estimate(interactivity, interactivity * 0.006),
        "ttft_p50_ms": Estimate(60.0 + 4 * concurrency, 1.5),
        "cost_usd_mtok": cost_usd_mtok(_PRICE, total),
    }
    if mtp:
        values["acceptance_length"] = Estimate(2.61, 0.03)
        values["measured_j_tok"] = Estimate(3.1)
    return Measurement(
        cell=Cell(engine, _WORKLOAD, concurrency),
        environment=_ENVIRONMENT,
        price=_PRICE,
        window_s=42.0,
        requests=RequestCounts(finished=5 * concurrency, failed=0, cut=concurrency, observed=6 * concurrency),
        values=values,
        server_ttft=ServerTtft(server_mean_ms=61.0 + 4 * concurrency, client_mean_ms=62.5 + 4 * concurrency),
        certainty=Certainty(asked=0.01, reached=0.008, fixed=False, drift=0.0, warm=True),
        measured_at="2026-11-23T12:00:00+00:00",
        notes=("queue-limited: 3 requests were waiting, so concurrency was lower than asked",)
        if concurrency == 64 and mtp
        else (),
    )
