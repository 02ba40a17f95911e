"""What is measured beside the plan: the plan with two servers exchanged, and single cells that a test asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_specdec.domain.cell import Cell
from pytest_specdec.errors import EngineError
from pytest_specdec.pipeline.engines import exchange_hosts
from pytest_specdec.pipeline.measure import new_campaign
from pytest_specdec.suite.plan import Plan

if TYPE_CHECKING:
    from pytest_specdec.measure.campaign import Campaign, Listener
    from pytest_specdec.pipeline.invocation import SpecdecSession
    from pytest_specdec.results.measurement import Measurement


def measure_swapped(session: SpecdecSession, campaign: Campaign, listener: Listener) -> None:
    """The plan once more with the servers of the two hosts exchanged, on the same budget.

    Raises:
        EngineError: there are not two endpoints, or they could not be exchanged.
    """
    assert session.plan is not None, "unreachable because the plan is made first"
    exchanged = exchange_hosts(
        session.source(session.subjects),
        session.settings.candidate,
        session.settings.measure.swap,
        next(iter(session.hardware)).model,
        session.say,
    )
    session.exchange(exchanged)
    cells = session.plan.cells

    def keep() -> None:
        session.swapped = {cell: found[0] for cell in cells if (found := swapped.runs(cell))}
        session.keep()

    swapped = new_campaign(session, listener, source=exchanged, keep=keep, bill=campaign.bill)
    swapped.sessions(replace(session.plan, asked=()), [dict.fromkeys(cells, 1)])


def measure_apart(session: SpecdecSession, cell: Cell, listener: Listener) -> Measurement:
    """Measure one cell outside the plan.

    Raises:
        EngineError: there is no such engine, or it could not be measured.
    """
    session.listener = listener
    if reason := session.source([cell]).refusal(cell.engine):
        raise EngineError(reason)
    apart = new_campaign(session, listener, keep=lambda: None)
    apart.sessions(Plan(cells=(cell,)), [{cell: 1}])
    if cell in apart.unmeasured:
        raise apart.unmeasured[cell]
    return apart.runs(cell)[0]
