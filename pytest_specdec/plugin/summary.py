"""The end of the terminal report: the tables of the run, then the files that were written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec.plugin.stash import FINISHED, RECORD, SETTINGS
from pytest_specdec.report.render import screen_width, terminal
from pytest_specdec.report.run_report import report_run

if TYPE_CHECKING:
    import pytest

Markup = dict[str, bool]


def summary_lines(config: pytest.Config) -> Iterator[tuple[str, Markup]]:
    """Yield the lines with their markup."""
    record, root = config.stash[RECORD], config.rootpath
    finished = config.stash.get(FINISHED, None)
    run = record.run() if finished is None else finished.run
    _, tables, remarks = report_run(run, config.stash[SETTINGS].measure.levels or None)
    for table in tables:
        yield from ((line, {}) for line in terminal(table, screen_width()).splitlines())
        yield "", {}
    for remark in remarks:
        yield remark, {"yellow": True}
    yield f"run saved: {_short(record.invocation.path, root)} (specdec report, specdec compare)", {}
    for line in () if finished is None else finished.lines:
        yield line.text.replace(f"{root}/", ""), {line.colour: True} if line.colour else {}


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
