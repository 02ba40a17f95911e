"""Everything that a campaign has measured so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pytest_specdec.domain.cell import Cell, Interview
from pytest_specdec.errors import SpecdecError
from pytest_specdec.measure.interview import Answers
from pytest_specdec.results.cost import Cost
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.merge import merge_runs
from pytest_specdec.results.run import RawRun, merge_swapped


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Results of a campaign; each point replaces it by a longer one."""

    raw: tuple[RawRun, ...] = ()
    swapped: Mapping[Cell, Measurement] = field(default_factory=dict)
    """The same cells with the servers exchanged between the hosts."""
    answers: Mapping[Interview, Answers] = field(default_factory=dict)
    lost: Mapping[Cell, SpecdecError] = field(default_factory=dict)
    """Reasons why cells of the candidate have no measurement, or one less than planned."""
    unanswered: Mapping[Interview, SpecdecError] = field(default_factory=dict)
    cost: Cost | None = None
    """None while the measuring goes on."""
    complete: bool = False
    """False after Ctrl-C and while the measuring goes on."""

    def repeats(self, cell: Cell) -> list[Measurement]:
        """Repeats of a cell on the candidate that are not part of pairs, in the order of measuring."""
        return [
            run.measurement
            for run in self.raw
            if run.measurement.cell == cell and run.arm == "candidate" and run.stage != "confirm"
        ]

    @cached_property
    def means(self) -> dict[Cell, Measurement]:
        """Mean of each cell's repeats, and of both hosts where servers were exchanged."""
        cells = dict.fromkeys(run.measurement.cell for run in self.raw)
        found = {cell: merge_runs(runs) for cell in cells if (runs := self.repeats(cell))}
        return {
            cell: merge_swapped(mean, self.swapped[cell]) if cell in self.swapped else mean
            for cell, mean in found.items()
        }


Sink = Callable[[Measured], None]
"""Keeps what was measured; called after every point."""
