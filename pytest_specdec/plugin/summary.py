"""The end of the terminal report: the tables of the run, then the paths of the written files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec.report.render import screen_width, terminal
from pytest_specdec.report.run_report import report_run

if TYPE_CHECKING:
    from pytest_specdec.pipeline.invocation import SpecdecSession


Line = tuple[str, dict[str, bool]]
"""Text and markup of a terminal line."""


def summary_lines(session: SpecdecSession, root: Path) -> Iterator[Line]:
    """The tables of the run, then the paths of the written files."""
    _, tables, remarks = report_run(session.run(), session.settings.measure.levels or None)
    for table in tables:
        yield from ((line, {}) for line in terminal(table, screen_width()).splitlines())
        yield "", {}
    for remark in remarks:
        yield remark, {"yellow": True}
    if session.run_path is not None:
        yield f"run saved: {_short(session.run_path, root)} (specdec report, specdec compare)", {}
    yield from ((line.replace(f"{root}/", ""), markup) for line, markup in session.ending)


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
