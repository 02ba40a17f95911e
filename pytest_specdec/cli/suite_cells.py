"""Cells of suites, collected in a pytest process of their own, and the audit of the baselines against them."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pytest_specdec.domain.cell import Cell
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.suite.axes import TIERS
from pytest_specdec.suite.cell_list import CellList

if TYPE_CHECKING:
    from pytest_specdec.results.baseline_audit import Audit

_LAST_LINES = 5
_OK = (0, 5)
"""Exit codes of pytest: collected, and nothing to collect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteCells:
    """Cells that suites ask for."""

    by_tier: dict[str, frozenset[Cell]]
    """Cells that must have a baseline."""
    ever: frozenset[Cell]
    """Cells that any test measures in any tier: their stored points are no orphans."""
    folder: Path
    """Folder of the baselines."""


def suite_cells(suites: Sequence[Path]) -> SuiteCells:
    """Collect suites once per tier.

    Raises:
        InvalidInputError: they cannot be collected; the message ends with pytest's last lines.
    """
    found = {tier: _collect(suites, tier) for tier in TIERS}
    folder = Path(next(iter(found.values())).folder)
    return SuiteCells(
        by_tier={tier: frozenset(listed.cells) for tier, listed in found.items()},
        ever=frozenset().union(*(listed.measured for listed in found.values())),
        folder=folder,
    )


def _collect(suites: Sequence[Path], tier: str) -> CellList:
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "cells.json"
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
        command += ["-p", "pytest_specdec.plugin.cell_list", "--specdec-cell-list", str(target), "--specdec-tier", tier]
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [*command, *map(str, suites)], capture_output=True, text=True, check=False
        )
        if done.returncode not in _OK or not target.exists():
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip() and line[0] != "="]
            raise InvalidInputError(
                f"{' '.join(map(str, suites))} cannot be collected:\n" + "\n".join(said[-_LAST_LINES:])
            )
        return msgspec.json.decode(target.read_bytes(), type=CellList)


def add_suites(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names suites."""
    parser.add_argument(
        "suites", nargs="*", type=Path, default=[Path("suites")], metavar="SUITE", help="tests (default: suites)"
    )


def audit_suites(suites: Sequence[Path], tier: str) -> Audit:
    """Compare the stored baselines with what suites ask for in a tier.

    Raises:
        InvalidInputError: there is no such tier or suite, or a suite cannot be collected.
    """
    from pytest_specdec.results.baseline import Baselines
    from pytest_specdec.results.baseline_audit import audit

    if tier not in TIERS:
        raise InvalidInputError(f"unknown tier {tier!r}; tiers: {', '.join(TIERS)}")
    for path in suites:
        if not path.exists():
            raise InvalidInputError(f"there is no {path}; name the folder of your suites")
    cells = suite_cells(suites)
    return audit(Baselines(cells.folder), cells.by_tier[tier], cells.ever)
