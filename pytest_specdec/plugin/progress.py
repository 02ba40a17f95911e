"""Progress of the measuring phase on pytest's terminal: one line per point, a live line on a real terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_specdec.domain.cell import Cell, EngineSpec
from pytest_specdec.domain.naming import listed, plural
from pytest_specdec.errors import EngineError, InconclusiveError, SpecdecError

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_specdec.load.point import Progress
    from pytest_specdec.results.measurement import Measurement


class TerminalProgress:
    """Writes through pytest's reporter, so that colour, width and `-q` are pytest's."""

    def __init__(self, reporter: TerminalReporter, planned: int) -> None:
        self.reporter = reporter
        self.planned = planned
        self.finished = 0
        self.spent: list[tuple[float, str]] = []
        """Duration in s, and the activity."""
        self._point_started = time.monotonic()
        self._starting: EngineSpec | None = None
        self._live = reporter.isatty

    def said(self, text: str) -> None:
        """Print a line that is not about a point."""
        self._line(f"specdec: {text}")

    def engine_starting(self, engine: EngineSpec) -> None:
        """Print the engine that starts next."""
        self._line(f"specdec: {engine} on {plural(engine.gpus, 'GPU')} ({engine.parallelism})")
        self._point_started = time.monotonic()
        self._starting = engine

    def progress(self, cell: Cell, progress: Progress) -> None:
        """Rewrite the live line; print nothing where there is no terminal."""
        if self._starting is not None:
            self._elapsed(f"starting {self._starting}")
            self._starting = None
        if self._live:
            precision = "" if progress.precision is None else f", 95 % CI ±{progress.precision:.1%}"
            self.reporter.rewrite(
                f"  {self._count(1)} {cell} {progress.phase} {progress.seconds_left:.0f} s left, "
                f"{progress.finished} finished, {progress.failed} failed{precision}",
                erase=True,
            )

    def measured(self, measurement: Measurement) -> None:
        """Print one line per finished point."""
        self.finished += 1
        length = measurement.values.get("acceptance_length")
        acceptance = "" if length is None else f", acceptance length {length.value:.2f}"
        limited = f" CLIENT-LIMITED: {measurement.client_limited}" if measurement.client_limited else ""
        self._line(
            f"  {self._count()} {measurement.cell}  "
            f"{measurement.throughput.value:.1f} tok/s/GPU at {measurement.interactivity.value:.1f} tok/s/user"
            f"{acceptance} ({self._elapsed(f'measuring {measurement.cell}'):.0f} s){limited}",
            yellow=bool(limited),
        )

    def not_measured(self, cells: Sequence[Cell], error: SpecdecError) -> None:
        """Print one line for cells that were not measured."""
        self.finished += len(cells)
        word = "ENGINE TROUBLE" if isinstance(error, EngineError) else "not measured"
        undecided = isinstance(error, InconclusiveError)
        self._line(f"  {self._count()} {word}: {listed(cells)}: {error}", red=not undecided, yellow=undecided)

    def _count(self, ahead: int = 0) -> str:
        """`[3/12]`, and `[+1]` for points beside the plan."""
        number = self.finished + ahead
        return f"[{number}/{self.planned}]" if number <= self.planned else f"[+{number - self.planned}]"

    def _elapsed(self, what: str) -> float:
        now = time.monotonic()
        elapsed, self._point_started = now - self._point_started, now
        self.spent.append((elapsed, what))
        return elapsed

    def _line(self, text: str, **markup: bool) -> None:
        if self._live:
            self.reporter.rewrite("", erase=True)
        self.reporter.ensure_newline()
        self.reporter.write_line(text, **markup)
        self.reporter.flush()
