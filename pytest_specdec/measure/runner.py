"""Carry a plan out, engine by engine and one point at a time.

Results leave as soon as they exist, so that an interruption loses the point in flight and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec
import uvloop

from pytest_specdec.domain.cell import Cell, EngineSpec, Interview
from pytest_specdec.domain.environment import Environment
from pytest_specdec.errors import EngineError, InconclusiveError, SpecdecError
from pytest_specdec.estimators.neighbours import probe_s
from pytest_specdec.estimators.window import StopRule
from pytest_specdec.measure.budget import Bill
from pytest_specdec.measure.interview import Answers
from pytest_specdec.measure.live_engine import Connect, LiveEngine, OpenEngine, PointOptions
from pytest_specdec.measure.progress import Listener
from pytest_specdec.measure.refine import Probed, refining
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.suite.plan import Plan

OpenEngineFor = Callable[[EngineSpec], AbstractContextManager[OpenEngine]]


class Results(Protocol):
    """Receiver of results, one by one."""

    def engine_known(self, engine: EngineSpec, environment: Environment) -> None:
        """Take an engine's identity before its first point; may refuse it by raising a SpecdecError."""

    def measured(self, measurement: Measurement) -> None:
        """Take a finished point."""

    def not_measured(self, cells: Sequence[Cell], error: SpecdecError) -> None:
        """Take the cells that will have no measurement; an InconclusiveError when the budget left them out."""

    def answered(self, interview: Interview, answers: Answers) -> None:
        """Take an engine's answers."""

    def not_answered(self, interview: Interview, error: SpecdecError) -> None:
        """Take the reason why there are no answers."""


@dataclass(slots=True, kw_only=True)
class Runner:
    """Carries plans out, one after the other."""

    point: PointOptions
    connect: Connect
    results: Results
    listener: Listener
    bill: Bill
    levels: tuple[float, ...] = ()
    """Interactivity levels whose neighbouring concurrencies are measured besides the plan, tok/s/user."""
    _order: int = field(default=0, init=False)

    def carry_out(self, plan: Plan, open_engine: OpenEngineFor, *, starts: bool, refine: bool = True) -> None:
        """Measure every cell of a plan, engine by engine; trouble with one engine does not end the others.

        A cell that stands in the plan several times is measured as often.

        Args:
            plan: Cells and interviews.
            open_engine: Brings an engine up for as long as its context lasts.
            starts: Opening an engine starts a server.
            refine: Measure the neighbours of the levels, too.
        """
        for engine, cells in plan.by_engine():
            part = _Part(cells=list(cells), interviews=[one for one in plan.asked if one.engine == engine])
            if spent := self.bill.spent():
                self._give_up(part, InconclusiveError(spent))
                continue
            self.listener.engine_starting(engine)
            try:
                with (
                    self.bill.on_clock(engine, starts=starts),
                    open_engine(engine) as running,
                    asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop,
                ):
                    loop.run(self._measure_engine(running, engine, part, self.levels if refine else ()))
            except SpecdecError as error:
                self._give_up(part, error)

    async def _measure_engine(
        self, running: OpenEngine, engine: EngineSpec, part: _Part, levels: tuple[float, ...]
    ) -> None:
        async with self.connect(running, engine) as live:
            self.results.engine_known(engine, live.environment)
            found = [
                await self._try(live, running, cell, part.cells) for cell in list(part.cells) if cell in part.cells
            ]
            await self._refine(live, running, [m for m in found if m is not None], levels)
            for interview in list(part.interviews):  # after the load, when start-up effects have worn off
                self.listener.said(f"{interview}: asking for its answers")
                answers = await live.ask(interview)
                part.interviews.remove(interview)
                self.results.answered(interview, answers)

    def _give_up(self, part: _Part, error: SpecdecError) -> None:
        """Report what is left of an engine's part as lost."""
        if part.cells:
            self.results.not_measured(list(part.cells), error)
        for interview in part.interviews:
            self.results.not_answered(interview, error)

    async def _refine(
        self, live: LiveEngine, running: OpenEngine, found: list[Measurement], levels: tuple[float, ...]
    ) -> None:
        """Measure, besides the plan, the neighbours between which each level lies."""
        rule, probed = self.point.rule, Probed()
        for cell, wanted in refining(
            found, probed, levels, precision=rule.precision, facts=live.facts, said=self.listener.said
        ):
            if wanted.precision is None:
                await self._probe(live, cell, probed)
            elif (measurement := await self._try(live, running, cell, [cell], wanted.rule(rule))) is not None:
                found.append(measurement)

    async def _probe(self, live: LiveEngine, cell: Cell, probed: Probed) -> None:
        """Estimate the interactivity of a concurrency; one that cannot be probed is missing from `probed`."""
        if self.bill.spent():
            return
        try:
            probed[cell.workload, cell.concurrency] = await live.probe(
                cell,
                self.point,
                seconds=probe_s(self.point.rule),
                on_progress=lambda progress: self.listener.progress(cell, progress),
            )
        except SpecdecError as error:
            self.listener.said(f"{cell}: {error}")

    async def _try(
        self, live: LiveEngine, running: OpenEngine, cell: Cell, left: list[Cell], rule: StopRule | None = None
    ) -> Measurement | None:
        """Measure one cell and take it from `left`, together with all others when they cannot be measured any more."""
        if spent := self.bill.spent():
            self.results.not_measured(list(left), InconclusiveError(spent))
            left.clear()
            return None
        try:
            measurement = await live.measure(
                cell,
                replace(self.point, rule=rule or self.point.rule),
                lambda progress: self.listener.progress(cell, progress),
            )
        except SpecdecError as error:
            death = running.died() if isinstance(error, EngineError) else ""
            lost = list(left) if death else [cell]
            self.results.not_measured(lost, EngineError(death) if death else error)
            left[:] = [other for other in left if other not in lost]
            return None
        left.remove(cell)
        self._order += 1
        measurement = msgspec.structs.replace(measurement, order=self._order, session=running.server_start)
        self.results.measured(measurement)
        return measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The cells and interviews of one engine that are left."""

    cells: list[Cell]
    interviews: list[Interview]
