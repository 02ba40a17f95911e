"""The suite rule: one promise about false alarms over all cells; suspects are confirmed before they fail."""

from __future__ import annotations

from pytest_specdec.gate.dialogue import drive
from pytest_specdec.gate.evidence import Case, terms_of
from pytest_specdec.gate.rule import decide
from pytest_specdec.gate.ruling import Answer, Pairs, RuleOptions, Ruling
from pytest_specdec.gate.terms import Terms
from pytest_specdec.gate.verdicts import judge_checks, verdicts


def judge(case: Case, options: RuleOptions, answer: Answer, pairs: Pairs) -> Ruling:
    """Screen all cells, confirm the suspects, and give each cell its verdict."""
    terms = terms_of(
        case,
        Terms(
            alpha=options.alpha,
            exhaustive=options.exhaustive,
            improvements=options.improvements,
            restarts=options.restarts,
            confirms=options.confirms,
        ),
    )
    if not case.noise.hypotheses:
        return Ruling(verdicts=judge_checks(case, terms))
    decision = drive(decide(case.noise, terms=terms, engines=case.engines, paired=options.paired), answer)
    return Ruling(verdicts=verdicts(case, decision, pairs()), decision=decision)
