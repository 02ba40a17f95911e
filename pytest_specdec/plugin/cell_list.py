"""A plugin for `specdec baselines`: list the cells that tests compare with baselines, and all cells that they measure.

Loaded by `-p pytest_specdec.plugin.cell_list` in a separate pytest process, which collects the suites as usual.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pytest_specdec.domain.cell import Cell
from pytest_specdec.plugin.stash import SETTINGS
from pytest_specdec.results.files import write_whole
from pytest_specdec.suite.cell_list import CellList
from pytest_specdec.suite.subjects import cells_of

_SUBJECT = "specdec_subject"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the output file."""
    parser.addoption("--specdec-cell-list", type=Path, required=True, help="File for the cells, JSON")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the cells of the collected tests."""
    cells: set[Cell] = set()
    measured: set[Cell] = set()
    for item in session.items:
        callspec = getattr(item, "callspec", None)
        subject = callspec.params.get(_SUBJECT) if callspec else None
        if subject is not None:
            measured.update(cells_of(subject))
        if isinstance(subject, Cell) and "baseline" in getattr(item, "fixturenames", ()):
            cells.add(subject)
    folder = session.config.stash[SETTINGS].baselines.folder
    found = CellList(cells=tuple(sorted(cells)), measured=tuple(sorted(measured)), folder=str(folder))
    write_whole(session.config.option.specdec_cell_list, msgspec.json.encode(found).decode())
