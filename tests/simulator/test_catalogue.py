"""Every published regression is flagged by the right check, with the right cause; healthy controls are not flagged.

One seed of a fault of each kind and of each control by default, of every fault as a study; `catalogue_doc.py` runs
twenty seeds and writes the tables of docs/regressions.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import catalogue
import catalogue_text
import pytest
from expected import SPEED, START, TEXT, TEXT_CONTROLS
from spoken import Spoken, judged, off, questions, said
from studies import one_of_each

from pytest_specdec.measure.judge_answers import judge_answers
from pytest_specdec.simulator.faults.catalogue import FAULTS, HEALTHY_CONTROLS, find_fault
from pytest_specdec.simulator.faults.fault import HEALTHY, Fault

SEEDS = one_of_each((0, 1))
PAGE = Path(__file__).parents[2] / "docs" / "regressions.md"


# Where a fault of a kind shows at the usual point, it shares that point's baseline with the others.
@pytest.mark.parametrize("name", one_of_each(sorted(SPEED, key=lambda name: name in catalogue.WHERE), kind=SPEED.get))
def test_a_fault_is_flagged_by_its_check_and_named(name: str) -> None:
    found, known = catalogue.catch(find_fault(name), 0), SPEED[name]
    assert known.check in found.checks, found
    assert found.cause == known.cause, found
    assert found.failed == (known.cause != ""), found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("control", HEALTHY_CONTROLS.values(), ids=lambda control: control.id)
def test_a_healthy_control_is_not_flagged(control: Fault, seed: int) -> None:
    found = catalogue.catch(control, seed)
    assert (found.checks, found.failed) == ((), False)


@pytest.mark.parametrize("name", one_of_each(TEXT, kind=lambda name: TEXT[name].check))
def test_what_is_said_wrongly_is_flagged_and_named(name: str) -> None:
    found, known = catalogue_text.catch(find_fault(name), 0), TEXT[name]
    assert known.check in found.checks, found
    assert found.cause == known.cause, found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", TEXT_CONTROLS)
def test_what_is_said_rightly_passes_every_check(name: str, seed: int) -> None:
    assert catalogue_text.alarms(judged(find_fault(name), seed)) == []


def test_near_ties_are_told_from_faults_by_their_log_probabilities_only() -> None:
    control = find_fault("control-near-ties")
    (verdict, *_) = judged(control).verdicts
    assert verdict.numbers["diverging_mtp"] > 0.02
    assert verdict.numbers["hard_mtp"] == 0
    theirs = said(Spoken(HEALTHY, 0, logprobs=False), 0)
    ours = said(Spoken(control, 3, logprobs=False), 3)
    (verdict, *_) = judge_answers(theirs, ours, questions(0)).verdicts
    assert verdict.outcome == "inconclusive"
    assert "cannot be told from near-ties" in verdict.reasons[0]


def test_every_fault_is_expected_somewhere() -> None:
    assert {*SPEED, *TEXT, *START} == set(FAULTS)


def test_the_page_has_every_fault_right_every_time() -> None:
    """The tables are as they were written: a fault that is new, or that is not caught, stands out here."""
    text = PAGE.read_text()
    tables = dict(re.findall(r"<!-- table: (\w+) -->\n(.*?)<!-- end -->", text, re.DOTALL))
    for name, known, controls in (("speed", SPEED, [*HEALTHY_CONTROLS]), ("text", TEXT, TEXT_CONTROLS)):
        rows = {cells[0]: cells for cells in map(_cells, tables[name].splitlines()[3:]) if len(cells) > 1}
        assert rows.keys() == known.keys() | set(controls)
        assert {rows[fault][5] for fault in known} == {"20/20"}
        assert {(rows[control][3], rows[control][4]) for control in controls} == {("0/20", "0/20")}
    tried = [_cells(line) for line in tables["http"].splitlines()[3:] if line]
    assert {cells[0] for cells in tried} == set(FAULTS)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_off_is_asked_its_texts_twice_and_mtp_once() -> None:
    assert off(0).again == off(0).texts
    assert said(Spoken(HEALTHY, 3), 3).again == ()
