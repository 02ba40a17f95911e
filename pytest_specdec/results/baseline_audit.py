"""The stored baselines against the cells of the suites: missing and orphaned points."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pytest_specdec.domain.cell import Cell
from pytest_specdec.results.baseline import BaselineFile, Baselines, save_baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One stored point."""

    path: Path
    cell: Cell
    level: str
    sessions: int
    runs: int
    hardware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Stored points against wanted cells."""

    kept: tuple[Stored, ...]
    orphans: tuple[Stored, ...]
    """Points that no suite asks for, in any tier."""
    missing: tuple[tuple[str, Cell], ...]
    """Hardware that has some baselines, and a wanted cell that it has none of."""


def audit(store: Baselines, wanted: Collection[Cell], ever_wanted: Collection[Cell]) -> Audit:
    """Compare the stored points with the cells that suites want now, and in any tier.

    A cell is missing on every hardware that has a baseline of any wanted cell; where nothing is stored at all, once.

    Raises:
        BrokenFileError: a baseline cannot be read.
    """
    stored = [point for path, file in store.all() for point in _points(path, file)]
    kept = tuple(point for point in stored if point.cell in ever_wanted)
    machines = sorted({point.hardware for point in kept}) or ["no hardware yet"]
    missing = tuple(
        (hardware, cell)
        for hardware in machines
        for cell in sorted(set(wanted) - {point.cell for point in kept if point.hardware == hardware})
    )
    return Audit(kept=kept, orphans=tuple(p for p in stored if p.cell not in ever_wanted), missing=missing)


def prune(orphans: Iterable[Stored]) -> list[Path]:
    """Remove stored points; a file without points goes. Returns the files that changed."""
    by_path: dict[Path, set[str]] = {}
    for orphan in orphans:
        by_path.setdefault(orphan.path, set()).add(orphan.level)
    for path, levels in by_path.items():
        (file,) = (file for found, file in Baselines(path.parents[2]).all() if found == path)
        points = {level: runs for level, runs in file.points.items() if level not in levels}
        if points:
            anchors = {level: anchor for level, anchor in file.anchors.items() if level in points}
            save_baseline(msgspec.structs.replace(file, points=points, anchors=anchors), path)
        else:
            path.unlink()
    return sorted(by_path)


def _points(path: Path, file: BaselineFile) -> Iterable[Stored]:
    for level, runs in file.points.items():
        rate = float(level.removesuffix("rps")) if level.endswith("rps") else 0.0
        yield Stored(
            path=path,
            cell=Cell(file.engine, file.workload, 0 if rate else int(level), rate),
            level=level,
            sessions=len({run.session for run in runs}),
            runs=len(runs),
            hardware=file.environment.hardware,
        )
