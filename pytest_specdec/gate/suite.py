"""A whole suite judged by what was measured, without asking for more."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pytest_specdec.domain.cell import Cell
from pytest_specdec.gate.admission import settled
from pytest_specdec.gate.dialogue import Observed, Request, ScreenRuns, drive
from pytest_specdec.gate.evidence import CellEvidence, build, terms_of
from pytest_specdec.gate.judgement import conclude_checks
from pytest_specdec.gate.rule import decide
from pytest_specdec.gate.terms import Terms
from pytest_specdec.gate.verdicts import verdicts
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
    if not evidence:
        return found
    case = build(evidence)
    if not case.noise.hypotheses:
        return found | verdicts(case, conclude_checks(case.extras, terms_of(case, Terms())))

    def answer(request: Request) -> Observed:
        if isinstance(request, ScreenRuns):
            return Observed(runs=case.runs, extras=case.extras)
        return Observed(exhausted="one run does not decide it")

    rule = decide(case.noise, terms=terms_of(case, Terms()), engines=case.engines, paired=frozenset())
    decision = drive(rule, answer)
    return found | verdicts(case, decision)
