"""Verdicts of measurements against baselines where no further run can be had."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pytest_specdec.domain.cell import Cell
from pytest_specdec.gate.admission import settled
from pytest_specdec.gate.dialogue import Observed, Request, ScreenRuns
from pytest_specdec.gate.evidence import Case, CellEvidence, build
from pytest_specdec.gate.rules import RULES
from pytest_specdec.gate.ruling import RuleOptions, Ruling
from pytest_specdec.results.baseline import BaselinePoint
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.verdict import Verdict


def judge_suite(
    pairs: Iterable[tuple[Measurement, BaselinePoint | None]], *, required: Collection[str] = ()
) -> dict[Cell, Verdict]:
    """Judge all cells at once, each by one run; what that does not decide is inconclusive."""
    found: dict[Cell, Verdict] = {}
    evidence = []
    for measured, baseline in sorted(pairs, key=lambda pair: pair[0].cell):
        verdict = settled(measured, baseline, required)
        if verdict is not None or baseline is None:
            found |= {} if verdict is None else {measured.cell: verdict}
        else:
            evidence.append(CellEvidence(measured=measured, runs=(measured,), baseline=baseline))
    return found | rule_on(build(evidence)).verdicts if evidence else found


def rule_on(case: Case, rule: str = "suite", options: RuleOptions | None = None) -> Ruling:
    """A rule's ruling on the runs that a case has."""

    def answer(request: Request) -> Observed:
        if isinstance(request, ScreenRuns):
            return Observed(runs=case.runs, extras=case.extras)
        return Observed(exhausted="one run does not decide it")

    return RULES[rule].judge(case, options or RuleOptions(), answer, dict)
