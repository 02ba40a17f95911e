"""Measurement against baseline -> verdict.

The suite is judged as a whole, so that a rule which spends its false alarms over all cells has one place to stand.
This first rule gives each gated metric a tolerance and decides by the 95 % interval of the loss: regressed when the
whole interval lies beyond the tolerance, within when none of it does, inconclusive otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from pytest_specdec.baseline import BaselinePoint, why_not_comparable
from pytest_specdec.cell import Cell
from pytest_specdec.estimate import Estimate
from pytest_specdec.measurement import Measurement
from pytest_specdec.metric import METRICS
from pytest_specdec.speculation.diagnosis import Diagnosis, diagnose

TOLERANCES: Mapping[str, float] = {
    "total_tok_s_gpu": 0.05,
    "interactivity_tok_s_user": 0.05,
    "acceptance_length": 0.05,
    "step_rate_s": 0.05,
}
"""Gated metrics and the loss that each may show; the others are shown beside them. Cost follows from throughput."""

SHOWN = ("total_tok_s_gpu", "interactivity_tok_s_user", "acceptance_length", "ttft_p50_ms", "cost_usd_mtok")


class Outcome(StrEnum):
    """What a comparison with a baseline came to."""

    PASS = "pass"  # noqa: S105 - not a password
    IMPROVED = "improved"
    REGRESSED = "regressed"
    UNHEALTHY = "unhealthy"
    """Speculation is broken, off, or not what was asked: wrong by itself, whatever the baseline says."""
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARABLE = "not comparable"
    NO_BASELINE = "no baseline"


class MetricVerdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric of one cell against its baseline."""

    metric: str
    baseline: Estimate
    measured: Estimate
    loss: Estimate
    """Relative change in the bad direction: 0.05 is 5 % worse."""
    tolerance: float | None
    """None: shown, not gated."""
    outcome: Outcome | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one cell came to."""

    cell: Cell
    outcome: Outcome
    metrics: tuple[MetricVerdict, ...] = ()
    reason: str = ""
    """Why there is nothing to compare."""
    diagnosis: Diagnosis | None = None
    """What the change of a point that regressed or improved is made of."""


def judge_suite(
    pairs: Iterable[tuple[Measurement, BaselinePoint | None]], tolerances: Mapping[str, float] = TOLERANCES
) -> dict[Cell, Verdict]:
    """Judge all cells of a suite at once."""
    return {measured.cell: _judge(measured, baseline, tolerances) for measured, baseline in pairs}


def loss_of(metric: str, measured: Estimate, baseline: Estimate) -> Estimate:
    """Relative loss with the uncertainty of both sides."""
    ratio = measured / baseline
    return Estimate(METRICS[metric].loss(measured.value, baseline.value), ratio.half_width)


def _judge(measured: Measurement, baseline: BaselinePoint | None, tolerances: Mapping[str, float]) -> Verdict:
    broken = [finding.words for finding in measured.findings if finding.severity == "broken"]
    if broken:
        return Verdict(cell=measured.cell, outcome=Outcome.UNHEALTHY, reason="; ".join(broken))
    if baseline is None:
        return Verdict(cell=measured.cell, outcome=Outcome.NO_BASELINE, reason="no baseline is stored for this cell")
    difference = why_not_comparable(measured, baseline)
    if difference:
        return Verdict(cell=measured.cell, outcome=Outcome.NOT_COMPARABLE, reason=difference)
    if measured.client_limited:
        reason = f"client-limited, so the numbers are not the server's: {measured.client_limited}"
        return Verdict(cell=measured.cell, outcome=Outcome.INCONCLUSIVE, reason=reason)
    values = baseline.values()
    missing = [key for key in tolerances if key in values and key not in measured.values]
    if missing:
        return Verdict(
            cell=measured.cell,
            outcome=Outcome.INCONCLUSIVE,
            reason=f"the baseline has {', '.join(missing)}, this measurement has not",
        )
    keys = [key for key in dict.fromkeys((*tolerances, *SHOWN)) if key in values and key in measured.values]
    metrics = tuple(_judge_metric(key, measured.values[key], values[key], tolerances.get(key)) for key in keys)
    outcome = _worst(metrics)
    changed = outcome in (Outcome.REGRESSED, Outcome.IMPROVED)
    why = diagnose(values, measured.values) if changed else None
    return Verdict(cell=measured.cell, outcome=outcome, metrics=metrics, diagnosis=why)


def _judge_metric(key: str, measured: Estimate, baseline: Estimate, tolerance: float | None) -> MetricVerdict:
    loss = loss_of(key, measured, baseline)
    outcome = None
    if tolerance is not None:
        if not math.isfinite(loss.value) or (loss.low <= tolerance < loss.high):
            outcome = Outcome.INCONCLUSIVE
        elif loss.low > tolerance:
            outcome = Outcome.REGRESSED
        else:
            outcome = Outcome.IMPROVED if loss.high < -tolerance else Outcome.PASS
    return MetricVerdict(
        metric=key, baseline=baseline, measured=measured, loss=loss, tolerance=tolerance, outcome=outcome
    )


def _worst(metrics: tuple[MetricVerdict, ...]) -> Outcome:
    outcomes = {metric.outcome for metric in metrics}
    for outcome in (Outcome.REGRESSED, Outcome.INCONCLUSIVE, Outcome.IMPROVED):
        if outcome in outcomes:
            return outcome
    return Outcome.PASS
