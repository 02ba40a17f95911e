"""Decisions of the rule -> a verdict for every cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.likeness import likeness
from pytest_specdec.domain.metric import METRICS, keys_as
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.gate.evidence import Case, CellEvidence
from pytest_specdec.gate.judgement import conclude_checks
from pytest_specdec.gate.presets import PRESETS
from pytest_specdec.gate.ruling import Pair
from pytest_specdec.gate.terms import Terms
from pytest_specdec.results.decision import Decision, Evidence, SuiteDecision
from pytest_specdec.results.verdict import MetricVerdict, Verdict, loss_of
from pytest_specdec.speculation.diagnosis import diagnose

SHOWN = keys_as("verdict")
"""Shown with every cell, gated or not."""
_SPEED = frozenset(key for key, limits in PRESETS.items() if limits.speed)
"""A cell is judged by one of these, or not at all: a steady TTFT says nothing about the speed of tokens."""
_WORST_FIRST = (Outcome.REGRESSED, Outcome.INCONCLUSIVE, Outcome.WARN, Outcome.IMPROVED)


def verdicts(case: Case, decision: SuiteDecision, pairs: Mapping[str, Pair] | None = None) -> dict[Cell, Verdict]:
    """Give each cell of a case its verdict; where `pairs` were measured, the diagnosis rests on them."""
    by_cell: dict[str, list[Decision]] = {name: [] for name in case.cells}
    for one in decision.decisions:
        by_cell[one.cell].append(one)
    return {
        evidence.cell: _verdict(evidence, by_cell[name], (pairs or {}).get(name))
        for name, evidence in case.cells.items()
    }


def judge_checks(case: Case, terms: Terms) -> dict[Cell, Verdict]:
    """Verdicts of a suite whose client was the limit of every cell: only acceptance can be judged."""
    return verdicts(case, conclude_checks(case.extras, terms))


def _verdict(one: CellEvidence, decisions: Sequence[Decision], pair: Pair | None) -> Verdict:
    if one.measured.client_limited:
        return limited_verdict(one, decisions)
    stored, now = one.baseline.values(), one.measured.values
    of_metric = {d.metric: d for d in decisions if d.evidence is not Evidence.OWN}
    checks = tuple(d for d in decisions if d.evidence is Evidence.OWN)
    keys = [k for k in dict.fromkeys((*of_metric, *SHOWN)) if k in stored and k in now]
    before, after = (pair[0].values, pair[1].values) if pair else (stored, now)
    metrics = []
    for key in keys:
        decision = of_metric.get(key)
        # Where pairs decided, the report shows the values of the pairs: those of the screen may differ.
        paired = key in before and key in after and (decision is None or decision.pairs > 0)
        sides = (after[key], before[key]) if paired else (now[key], stored[key])
        metrics.append(_metric(key, *sides, decision))
    outcome, reason = _outcome(decisions)
    changed = outcome in (Outcome.REGRESSED, Outcome.IMPROVED)
    like = likeness(one.measured.environment, one.baseline.environment)
    noisy = [f"{METRICS[d.metric].title} {_detects(d)}" for d in of_metric.values() if _noisy(d) and not d.advisory]
    other = _other_version(one, pair) if pair else ""
    notes = [*like.warned, *filter(None, (other,)), *([f"too noisy to gate: {', '.join(noisy)}"] if noisy else [])]
    notes += [d.reason for d in checks if d.outcome is not Outcome.PASS and d.reason != reason]
    return Verdict(
        cell=one.cell,
        outcome=outcome,
        metrics=tuple(metrics),
        reason=reason,
        checks=checks,
        confirmed=any(d.improvement == "confirmed" for d in decisions),
        notes=tuple(notes),
        diagnosis=diagnose(before, after) if changed else None,
    )


def _other_version(one: CellEvidence, pair: Pair) -> str:
    """Note that the pairs compare with another version than the baseline."""
    beside, stored = pair[0].environment.version, one.baseline.environment.version
    return "" if beside == stored else f"the reference engine has version {beside!r}, the baseline {stored!r}"


def limited_verdict(one: CellEvidence, checks: Sequence[Decision]) -> Verdict:
    """Verdict of a client-limited cell: acceptance can be judged all the same, for the client does not change it."""
    limited = f"client-limited, so the speed is not the server's: {one.measured.client_limited}"
    fell = [check for check in checks if check.outcome is Outcome.FAIL]
    return Verdict(
        cell=one.cell,
        outcome=Outcome.REGRESSED if fell else Outcome.INCONCLUSIVE,
        reason=fell[0].reason if fell else limited,
        checks=tuple(checks),
        notes=(f"speed not judged: {limited}",) if fell else (),
    )


def _metric(key: str, measured: Estimate, baseline: Estimate, decision: Decision | None) -> MetricVerdict:
    loss = loss_of(key, measured, baseline)
    if decision is None:
        return MetricVerdict(metric=key, baseline=baseline, measured=measured, loss=loss, tolerance=None, outcome=None)
    if decision.loss is not None and decision.low is not None and decision.high is not None:
        value, low, high = (_shown(key, share) for share in (decision.loss, decision.low, decision.high))
        loss = Estimate(value, (high - low) / 2)
    return MetricVerdict(
        metric=key,
        baseline=baseline,
        measured=measured,
        loss=loss,
        tolerance=PRESETS[key].margin,
        outcome=_of_cell(decision),
        decision=decision,
    )


def _shown(key: str, loss: float) -> float:
    """A loss in terms of its metric: for the rule's loss of 10 % of speed a latency grows by 11 %."""
    return loss / (1 - loss) if METRICS[key].better == "lower" and loss < 1 else loss


def _outcome(decisions: Sequence[Decision]) -> tuple[Outcome, str]:
    """The worst outcome that counts; a metric too noisy for its margin counts only where its loss is proven."""
    counted = [d for d in decisions if not d.advisory and not _noisy(d)]
    if not any(d.metric in _SPEED or d.outcome is Outcome.FAIL for d in counted):
        return Outcome.INCONCLUSIVE, f"every metric of this cell's speed is too noisy for its margin{_seems(decisions)}"
    found = {_of_cell(d): _said(d) for d in reversed(counted)}
    worst = next((outcome for outcome in _WORST_FIRST if outcome in found), Outcome.PASS)
    if worst is Outcome.PASS and any(d.improvement for d in counted):
        return Outcome.IMPROVED, ""
    return worst, found[worst]


def _seems(decisions: Sequence[Decision]) -> str:
    """The worst loss of speed that shows through the noise, and why it is not confirmed; else empty."""
    lost = [d for d in decisions if d.metric in _SPEED and d.low is not None and d.low > PRESETS[d.metric].tolerance]
    if not lost:
        return ""
    worst = max(lost, key=lambda d: d.low or 0.0)
    return (
        f"; {METRICS[worst.metric].title} is {worst.loss or 0:.0%} lower (95 % CI {worst.low or 0:.0%} to "
        f"{worst.high or 0:.0%}), not confirmed: {worst.reason}"
    )


def _said(decision: Decision) -> str:
    if decision.evidence is Evidence.OWN:
        return decision.reason
    title = METRICS[decision.metric].title if decision.metric in METRICS else decision.metric.replace("_", " ")
    return f"{title}: {decision.reason}" if decision.reason else ""


def _of_cell(decision: Decision) -> Outcome:
    return Outcome.REGRESSED if decision.outcome is Outcome.FAIL else decision.outcome


def _noisy(decision: Decision) -> bool:
    return not decision.gateable and decision.outcome is Outcome.INCONCLUSIVE


def _detects(decision: Decision) -> str:
    return "" if decision.detectable is None else f"(minimum detectable loss {decision.detectable:.0%})"
