"""A gate rule is one row and one module; a rule from outside the package judges like ours."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from judged_suites import rule_on
from measured import LATE, measured

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.gate.dialogue import PairBlocks
from pytest_specdec.gate.evidence import Case, CellEvidence, build
from pytest_specdec.gate.rules import RULES, GateRule
from pytest_specdec.gate.ruling import Answer, Pairs, RuleOptions, Ruling
from pytest_specdec.results.baseline import Baselines
from pytest_specdec.results.baseline_update import Acceptor, update
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.verdict import Verdict

BY = Acceptor(when="2026-11-24T10:00:00+00:00", who="tests")


def judge(case: Case, options: RuleOptions, answer: Answer, pairs: Pairs) -> Ruling:
    """Fail each cell that was not confirmed."""
    answer(PairBlocks(cells=tuple(case.cells), blocks=1, why="the dummy rule asks for it"))
    words = f"{len(pairs())} pairs at alpha {options.alpha}"
    return Ruling(
        verdicts={
            one.cell: Verdict(cell=one.cell, outcome=Outcome.REGRESSED, reason=words) for one in case.cells.values()
        }
    )


def case_of(folder: Path, now: Measurement, then: Measurement) -> Case:
    store = Baselines(folder)
    update(store, [then], how="all", by=BY)
    baseline = store.find(now.cell, now.environment)
    assert baseline is not None
    return build([CellEvidence(measured=now, runs=(now,), baseline=baseline)])


def test_a_rule_from_outside_judges_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "dummy", GateRule(name="dummy", help="fails all", module=__name__))
    case = case_of(tmp_path, measured(4, throughput=100.0), measured(4, throughput=100.0))
    ruling = rule_on(case, "dummy", RuleOptions(alpha=0.125))
    (verdict,) = ruling.verdicts.values()
    assert (verdict.outcome, verdict.reason) == (Outcome.REGRESSED, "0 pairs at alpha 0.125")


def test_a_rule_from_outside_is_a_choice_of_the_option(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        more_rules="""
        from pytest_specdec.gate.rules import RULES, GateRule

        RULES["dummy"] = GateRule(name="dummy", help="fails all that it is shown", module="more_rules")
        """
    )
    sys.modules.pop("more_rules", None)
    result = pytester.runpytest_subprocess("-p", "more_rules", "--help")
    assert "fails all that it is shown" in " ".join(result.stdout.str().split())
    assert "dummy" not in RULES


@pytest.mark.parametrize(("rule", "summaries"), [("suite", (True, False)), ("fixed", (False, True))])
def test_our_rules_judge_by_the_same_contract(tmp_path: Path, rule: str, summaries: tuple[bool, bool]) -> None:
    now, then = measured(4, throughput=50.0), measured(4, throughput=100.0)
    ruling = rule_on(case_of(tmp_path, now, then), rule)
    assert (ruling.decision is not None, ruling.fixed is not None) == summaries
    assert ruling.verdicts[now.cell].outcome is Outcome.REGRESSED


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_leaves_a_suite_open_whose_client_was_the_limit(tmp_path: Path, rule: str) -> None:
    now = msgspec.structs.replace(measured(4, throughput=50.0), client=LATE)
    ruling = rule_on(case_of(tmp_path, now, measured(4, throughput=100.0)), rule)
    assert (ruling.decision, ruling.fixed) == (None, None)
    assert ruling.verdicts[now.cell].outcome is Outcome.INCONCLUSIVE
