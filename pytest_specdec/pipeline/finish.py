"""After the tests: store baselines, write report files, fit a selftest's noise; every step tells its lines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.naming import plural
from pytest_specdec.errors import SpecdecError
from pytest_specdec.pipeline.accept import accept, stored_reach
from pytest_specdec.pipeline.record import Record
from pytest_specdec.pipeline.settings import Settings
from pytest_specdec.pipeline.setup import Setup
from pytest_specdec.report.formats import Session, format_of
from pytest_specdec.report.pull_request import of_run
from pytest_specdec.report.render import screen_width, terminal
from pytest_specdec.report.step_summary import VARIABLE, append_step_summary
from pytest_specdec.results.baseline import Baselines
from pytest_specdec.results.files import write_whole
from pytest_specdec.results.run import Run, save_run


@dataclass(frozen=True, slots=True)
class Line:
    """One line for the end of the terminal report."""

    text: str
    colour: Literal["", "red", "green", "yellow"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Outcome of the last stage."""

    run: Run
    lines: tuple[Line, ...] = ()
    failed: bool = False
    """A step failed; its reason is among the lines."""


def finish(
    record: Record, setup: Setup, *, failed_tests: int = 0, attempts: Mapping[str, tuple[str, ...]] | None = None
) -> Finished:
    """Save the run, store baselines and write the reports; a step that fails loses nothing of the others."""
    settings, run = setup.settings, record.run(attempts)
    save_run(run, record.invocation.path)
    lines: list[Line] = []
    accepted: Mapping[Path, Sequence[Cell]] = {}
    with _told(lines):
        if settings.baselines.selftest:
            lines += _selftest(record, settings.baselines.folder)
    with _told(lines):
        accepted = accept(record, setup)
        if settings.baselines.update is not None:
            lines += _accepted(accepted, setup.baselines)
    with _told(lines):
        lines += _reports(run, settings, failed_tests=failed_tests, accepted=bool(accepted))
    return Finished(run=run, lines=tuple(lines), failed=any(line.colour == "red" for line in lines))


@contextmanager
def _told(lines: list[Line]) -> Iterator[None]:
    """Turn a step's failure into a line; the other steps go on."""
    try:
        yield
    except SpecdecError as error:
        lines.append(Line(str(error), "red"))


def _selftest(record: Record, folder: Path) -> Iterator[Line]:
    # Only those who ask for it pay for the import.
    from pytest_specdec.pipeline.selftest import selftest  # noqa: PLC0415
    from pytest_specdec.report.selftest_words import selftest_table  # noqa: PLC0415

    found = selftest(record, folder)
    table = selftest_table(found.found, found.last_session, found.run_s)
    yield from (Line(line) for line in terminal(table, screen_width()).splitlines())
    yield Line(f"noise written: {found.path}: baselines without sessions of their own use it", "green")


def _accepted(written: Mapping[Path, Sequence[Cell]], baselines: Baselines) -> Iterator[Line]:
    if not written:
        yield Line("no baseline stored: every point has one already (--specdec-update=all replaces them)", "yellow")
        return
    for path, cells in written.items():
        yield Line(f"baseline written: {path} ({plural(len(cells), 'point')}): review the diff", "green")
    yield from (Line(sentence) for sentence in stored_reach(baselines, written))


def _reports(run: Run, settings: Settings, *, failed_tests: int, accepted: bool) -> Iterator[Line]:
    session = Session(levels=settings.measure.levels or None, failed_tests=failed_tests, accepted=accepted)
    if summary := os.environ.get(VARIABLE):
        yield Line(append_step_summary(of_run(run, session), Path(summary)))
    for path in settings.reports.files:
        if (form := format_of(path.name)) is not None:
            write_whole(path, form.of_run(run, session))
            yield Line(f"report written: {path}")
