"""Drive the gate's rule: what it asks for is measured, what it decides becomes the cells' verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_specdec.baseline import BaselinePoint
from pytest_specdec.cell import Cell
from pytest_specdec.gate.verdict import Verdict, judge_suite

if TYPE_CHECKING:
    from pytest_specdec.campaign import Campaign
    from pytest_specdec.session import SpecdecSession


def screening_runs(stored: Sequence[BaselinePoint]) -> int:
    """Runs of a first look at a cell, by the noise of what is stored of it."""
    return 1


def gate(session: SpecdecSession, campaign: Campaign | None) -> dict[Cell, Verdict]:
    """Judge the suite; `campaign` measures what the rule asks for, None decides by what there is."""
    assert session.plan is not None
    measured = [session.measured[cell] for cell in sorted(session.plan.cells) if cell in session.measured]
    return judge_suite((m, session.baselines.find(m.cell, m.environment)) for m in measured)
