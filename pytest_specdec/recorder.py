"""Between the measuring and the session: keep every result at once, and pass it on to whoever shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pytest_specdec.cell import Cell, EngineSpec
from pytest_specdec.errors import SpecdecError

if TYPE_CHECKING:
    from pytest_specdec.load.point import Progress
    from pytest_specdec.measurement import Measurement
    from pytest_specdec.measuring.asking import Answers
    from pytest_specdec.session import SpecdecSession


class Listener(Protocol):
    """Whoever shows how the measuring goes."""

    def said(self, text: str) -> None:
        """Show a line that is not about a point."""

    def engine_starting(self, engine: EngineSpec) -> None:
        """Show which engine comes next."""

    def progress(self, cell: Cell, progress: Progress) -> None:
        """Show how a point comes along."""

    def measured(self, measurement: Measurement) -> None:
        """Show a finished point."""

    def not_measured(self, cells: Sequence[Cell], error: SpecdecError) -> None:
        """Show what was lost, and why."""


class Recorder:
    """Keeps what the measuring reports, and passes it on to whoever shows it."""

    def __init__(self, session: SpecdecSession, listener: Listener) -> None:
        self.session = session
        self.listener = listener
        self.into = session.measured

    def engine_starting(self, engine: EngineSpec) -> None:
        """Pass on."""
        self.listener.engine_starting(engine)

    def said(self, text: str) -> None:
        """Pass on."""
        self.listener.said(text)

    def progress(self, cell: Cell, progress: Progress) -> None:
        """Pass on."""
        self.listener.progress(cell, progress)

    def measured(self, measurement: Measurement) -> None:
        """Keep, and save the run at once."""
        self.into[measurement.cell] = measurement
        self.session.save()
        self.listener.measured(measurement)

    def answered(self, engine: EngineSpec, answers: Answers) -> None:
        """Keep."""
        self.session.answers[engine] = answers

    def not_answered(self, engine: EngineSpec, error: SpecdecError) -> None:
        """Keep the reason."""
        self.session.unanswered[engine] = error
        self.listener.said(f"{engine} was not asked: {error}")

    def not_measured(self, cells: Sequence[Cell], error: SpecdecError) -> None:
        """Keep the reason."""
        self.session.unmeasured.update(dict.fromkeys(cells, error))
        self.listener.not_measured(cells, error)
