"""Findings of the rule -> decisions with numbers and reasons, and the summary of the suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scipy import special

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.gate.confirm import Question
from pytest_specdec.gate.dialogue import ExtraHypothesis
from pytest_specdec.gate.family import Family
from pytest_specdec.gate.holm import holm
from pytest_specdec.gate.screen import Screened, passes
from pytest_specdec.gate.terms import Terms
from pytest_specdec.results.decision import CommonShift, Decision, Evidence, Improvement, SuiteDecision, loss_of_log

NOISY = 1.5
"""Factor from which the runner counts as noisier than its baseline."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """State of the rule: its findings in a suite so far."""

    family: Family
    terms: Terms
    able: frozenset[str]
    """Cells that the reference engine can measure too."""
    screened: Screened = field(init=False)
    factors: dict[str, float] = field(default_factory=dict)
    """phi by metric."""
    common: list[CommonShift] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    fresh: dict[int, tuple[float, float, float, int]] = field(default_factory=dict)
    """Loss, standard error, degrees of freedom and count of the last interim analysis, by hypothesis."""
    extras: list[ExtraHypothesis] = field(default_factory=list)
    interims: int = 0
    spent: float = 0.0
    """Part of alpha."""
    stopped: str = ""


def conclude(found: Findings) -> SuiteDecision:
    """Decide every hypothesis and the suite."""
    passed = passes(found.family, found.screened, found.terms)
    loss = {q.row: q for q in found.questions if q.sign == 1}
    gain = {q.row: q for q in found.questions if q.sign == -1}
    rows = range(len(found.family.hypotheses))
    decisions = [_decide(found, row, bool(passed[row]), loss.get(row), gain.get(row)) for row in rows]
    decisions += _decide_extras(found.extras, found.terms)
    decisions.sort(key=lambda decision: (decision.cell, decision.metric))
    failed = any(shift.failed for shift in found.common)
    extra_spent = found.terms.alpha * found.terms.extra_share if found.extras else 0.0
    return SuiteDecision(
        outcome=Outcome.FAIL if failed else _suite_outcome(decisions),
        decisions=tuple(decisions),
        common=tuple(found.common),
        alpha=found.terms.alpha,
        alpha_spent=found.spent + extra_spent,
        miss_at_margin=found.terms.screen_miss + found.terms.confirm_miss,
        runner_factor=found.factors,
        noisy_runner=max(found.factors.values(), default=1.0) > NOISY,
        suspects=len({q.row for q in found.questions}),
        looks=found.interims,
        stopped=found.stopped,
    )


def conclude_checks(extras: Sequence[ExtraHypothesis], terms: Terms) -> SuiteDecision:
    """Decide a suite that has checks with tests of their own and nothing else to judge: never a PASS."""
    decisions = sorted(_decide_extras(extras, terms), key=lambda decision: (decision.cell, decision.metric))
    failed = any(decision.outcome is Outcome.FAIL for decision in decisions)
    return SuiteDecision(
        outcome=Outcome.FAIL if failed else Outcome.INCONCLUSIVE,
        decisions=tuple(decisions),
        alpha=terms.alpha,
        alpha_spent=terms.alpha * terms.extra_share,
        miss_at_margin=terms.confirm_miss,
        runner_factor={},
        noisy_runner=False,
        suspects=0,
        looks=0,
    )


def _suite_outcome(decisions: list[Decision]) -> Outcome:
    gated = [decision for decision in decisions if not decision.advisory]
    if any(decision.outcome is Outcome.FAIL for decision in gated):
        return Outcome.FAIL
    decided = [decision for decision in gated if decision.outcome is not Outcome.INCONCLUSIVE]
    if not decided or any(decision.gateable for decision in gated if decision.outcome is Outcome.INCONCLUSIVE):
        return Outcome.INCONCLUSIVE
    return Outcome.WARN if any(decision.outcome is Outcome.WARN for decision in gated) else Outcome.PASS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One hypothesis at the end of the rule, on the log scale."""

    row: int
    loss: float
    half: float
    """Half-width of the 95 % interval."""
    passed: bool
    """By the screen."""
    lost: Question | None
    gained: Question | None


def _decide(found: Findings, row: int, passed: bool, lost: Question | None, gained: Question | None) -> Decision:  # noqa: FBT001
    family, hypothesis, fresh = found.family, found.family.hypotheses[row], found.fresh.get(row)
    d, se, freedom = (float(of[row]) for of in (found.screened.loss, found.screened.se, found.screened.freedom))
    runs, pairs = int(found.screened.runs[row]), 0
    measured, evidence = runs > 0, Evidence.SCREEN if runs else Evidence.NONE
    if fresh is not None:
        d, se, freedom, count = fresh
        if hypothesis.cell in found.able:
            evidence, pairs = Evidence.PAIRS, count
        else:
            evidence, runs = Evidence.SESSIONS, runs + count
    elif lost is not None and lost.state == "proven":
        evidence = Evidence.SESSIONS
    half = float(special.stdtrit(freedom, 0.975)) * se
    case = _Case(row=row, loss=d, half=half, passed=passed, lost=lost, gained=gained)
    missing = f"not measured: {found.stopped or 'missing from the runs of the candidate'}"
    outcome, reason = _say(found, case) if measured else (Outcome.INCONCLUSIVE, missing)
    improvement: Improvement = ""
    if gained is not None and gained.state == "proven":
        improvement = "confirmed"
    elif measured and d + half < -family.near[row]:
        improvement = "suspected"
    of_common = reason == _COMMON
    return Decision(
        cell=hypothesis.cell,
        metric=hypothesis.metric,
        outcome=outcome,
        evidence=evidence,
        loss=loss_of_log(d) if measured else None,
        low=loss_of_log(d - half) if measured else None,
        high=loss_of_log(d + half) if measured else None,
        log_loss=d if measured else None,
        log_se=se if measured else None,
        runs=runs,
        pairs=pairs,
        p_adjusted=_adjusted(hypothesis.metric, lost, found.common, of_common=of_common),
        miss_at_margin=float(special.stdtr(freedom, (d - family.far[row]) / se)) if measured else None,
        detectable=float(family.detectable[row]),
        # A suspect that may not be measured again stays open, however noisy it is.
        gateable=bool(family.gateable[row]) or (lost is not None and not found.terms.confirms),
        advisory=family.advisory[row],
        improvement=improvement,
        reason=reason,
    )


_COMMON = "a loss that all cells share is proven"


def _say(found: Findings, case: _Case) -> tuple[Outcome, str]:
    """Outcome and reason of a measured hypothesis."""
    family, row = found.family, case.row
    above, below = case.loss - case.half > family.near[row], case.loss + case.half < family.far[row]
    if family.advisory[row]:
        quiet = Outcome.PASS if case.passed else Outcome.INCONCLUSIVE
        return Outcome.WARN if above else quiet, f"advisory: {family.advisory[row]}"
    if case.lost is not None and case.lost.state == "proven":
        return Outcome.FAIL, ""
    shared = any(shift.failed and shift.metric == family.hypotheses[row].metric for shift in found.common)
    if shared and found.screened.loss[row] > family.near[row]:
        return Outcome.FAIL, _COMMON
    if not (case.passed or (case.lost is not None and case.lost.state == "cleared")):
        return Outcome.INCONCLUSIVE, _why_open(found, row, case.lost)
    if case.gained is not None and case.gained.state == "proven":
        return Outcome.IMPROVED, ""
    return (Outcome.WARN, "the loss lies between tolerance and margin") if above and below else (Outcome.PASS, "")


def _why_open(found: Findings, row: int, loss: Question | None) -> str:
    if loss is None:
        return f"too noisy for its margin: minimum detectable loss {found.family.detectable[row]:.1%}"
    if found.stopped:
        return found.stopped
    if row not in found.fresh:
        lost = any(q.sign == 1 and q.state == "proven" for q in found.questions) or any(s.failed for s in found.common)
        return "not confirmed: another loss was proven first" if lost else "no pairs were measured"
    if found.family.hypotheses[row].cell not in found.able:
        return "suspect: only a reference engine proves smaller losses than the margin (--specdec-reference-endpoint)"
    return "the last interim analysis did not decide"


def _adjusted(metric: str, loss: Question | None, common: Sequence[CommonShift], *, of_common: bool) -> float | None:
    if of_common:
        return next(shift.p_adjusted for shift in common if shift.metric == metric)
    return None if loss is None else min(1.0, loss.p_adjusted)


def _decide_extras(extras: Sequence[ExtraHypothesis], terms: Terms) -> list[Decision]:
    if not extras:
        return []
    adjusted = [min(p / terms.extra_share, 1.0) for p in holm([extra.p_loss for extra in extras])]
    return [
        Decision(
            cell=extra.cell,
            metric=extra.name,
            outcome=_of_extra(extra, p, terms),
            evidence=Evidence.OWN,
            loss=extra.loss,
            p_adjusted=p,
            miss_at_margin=extra.p_margin,
            reason=extra.reason,
        )
        for extra, p in zip(extras, adjusted, strict=True)
    ]


def _of_extra(extra: ExtraHypothesis, p_adjusted: float, terms: Terms) -> Outcome:
    if p_adjusted <= terms.alpha:
        return Outcome.FAIL
    return Outcome.PASS if extra.p_margin < terms.confirm_miss else Outcome.INCONCLUSIVE
