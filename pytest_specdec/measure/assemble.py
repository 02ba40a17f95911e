"""Traffic, counters and facts of one point -> its measurement; no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.client_health import client_limited
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.facts import Facts
from pytest_specdec.domain.price import Price
from pytest_specdec.domain.traffic import Traffic
from pytest_specdec.estimators.batches import batch_seconds
from pytest_specdec.estimators.goodput import goodput
from pytest_specdec.estimators.slo import Slo
from pytest_specdec.estimators.summary import summarize
from pytest_specdec.estimators.window import StopRule
from pytest_specdec.load.point import LoadResult
from pytest_specdec.measure.crosscheck import Snapshots, account_for
from pytest_specdec.results.measurement import Certainty, Measurement
from pytest_specdec.speculation.prompt_acceptance import acceptance_by_prompt
from pytest_specdec.telemetry.readings import GpuTelemetry, cautions, measured_j_tok


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Raw data of one point."""

    load: LoadResult
    snapshots: Snapshots
    wording: str
    """Digest of the prompts' text; counts by prompt are compared only where it is the same."""
    counted_on_every_chunk: bool
    """The server puts token counts on every chunk."""
    measured_at: str
    """Start of the point, UTC."""
    gpu: GpuTelemetry | None = None


def assemble(  # noqa: PLR0913 - the four sides of a point, and the user's settings
    cell: Cell,
    environment: Environment,
    facts: Facts,
    evidence: Evidence,
    *,
    rule: StopRule,
    price: Price,
    slo: Slo | None = None,
) -> Measurement:
    """Join the client's and the server's account of one point.

    Raises:
        EngineError: the server's counters fell, or a pinned acceptance did not take effect.
        NotMeasuredError: the window saw too little of every stream.
    """
    load, telemetry = evidence.load, evidence.gpu
    traffic = load.traffic
    account = account_for(cell, facts, load, evidence.snapshots)
    values, counts = summarize(
        traffic, cell.workload, gpus=cell.engine.gpus, acceptance=account.acceptance, price=price
    )
    window_s = traffic.window_s
    certainty = _certainty(rule, load)
    limited = client_limited(load.client)
    notes = [*account.notes, *certainty.notes(window_s), *([f"client-limited: {limited}"] if limited else [])]
    notes += cautions(telemetry, cell.engine.gpus) if telemetry else ()
    return Measurement(
        cell=cell,
        environment=environment,
        price=price,
        window_s=window_s,
        requests=counts,
        values=values | _energy(cell, telemetry, values["total_tok_s_gpu"]) | _within(slo, traffic),
        batches_s=batch_seconds(traffic),
        acceptance=account.acceptance,
        by_prompt=acceptance_by_prompt(
            traffic.samples, wording=evidence.wording, counted=evidence.counted_on_every_chunk
        ),
        tokens=account.tokens,
        server_ttft=account.ttft,
        signs=account.signs,
        findings=account.findings,
        client=load.client,
        certainty=certainty,
        gpu=telemetry,
        slo=None if slo is None else str(slo),
        measured_at=evidence.measured_at,
        notes=tuple(notes),
    )


def _energy(cell: Cell, telemetry: GpuTelemetry | None, throughput: Estimate) -> dict[str, Estimate]:
    joules = measured_j_tok(telemetry, throughput, cell.engine.gpus) if telemetry else None
    return {} if joules is None else {"measured_j_tok": joules}


def _within(slo: Slo | None, traffic: Traffic) -> dict[str, Estimate]:
    good = goodput(traffic, slo) if slo else None
    return {} if good is None else {"goodput_req_s": good.requests_s, "goodput_share": good.share}


def _certainty(rule: StopRule, result: LoadResult) -> Certainty:
    reached = result.review.precision
    return Certainty(
        # A refinement asks for the precision that its neighbour reached.
        asked=reached if result.review.aimed and reached is not None else rule.precision,
        reached=reached,
        fixed=rule.floor_s == rule.ceiling_s,
        drift=result.review.drift,
        warm=result.warm,
    )
