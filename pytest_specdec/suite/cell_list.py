"""The cells that a suite asks for, as one pytest process passes them to another."""

from __future__ import annotations

import msgspec

from pytest_specdec.domain.cell import Cell


class CellList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cells of one collection."""

    cells: tuple[Cell, ...]
    """Cells of tests that read a baseline."""
    measured: tuple[Cell, ...]
    """Cells of any test: a stored baseline of one may stand in for an Off mode that no endpoint serves."""
    folder: str
    """Folder of the baselines of the rootdir."""
