"""Progress of the measuring, as it is shown while it happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pytest_specdec.domain.cell import Cell, EngineSpec
from pytest_specdec.errors import SpecdecError
from pytest_specdec.load.point import Progress
from pytest_specdec.results.measurement import Measurement


class Listener(Protocol):
    """Display of the progress: a terminal, a log, or nothing."""

    def said(self, text: str) -> None:
        """Show a line that is not about a point."""

    def engine_starting(self, engine: EngineSpec) -> None:
        """Show the engine that is started or attached next."""

    def progress(self, cell: Cell, progress: Progress) -> None:
        """Show the state of the point in flight; called a few times a second."""

    def measured(self, measurement: Measurement) -> None:
        """Show a finished point."""

    def not_measured(self, cells: Sequence[Cell], error: SpecdecError) -> None:
        """Show the cells that will have no measurement, and the reason."""
