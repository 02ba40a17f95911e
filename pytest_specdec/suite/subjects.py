"""The subject of a test: a cell, a curve, a comparison or an engine's answers, with the cells that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_specdec.domain.axes import cell_axes, engine_axes
from pytest_specdec.domain.cell import Cell, EngineSpec
from pytest_specdec.suite.matrix import ComparisonSubject, CurveSubject, OutputSubject

Subject = Cell | CurveSubject | ComparisonSubject | OutputSubject
Only = Sequence[tuple[str, tuple[str, ...]]]
"""Axes and the values to keep, as `--specdec-only` has them."""


def engines_of(subject: Subject) -> tuple[EngineSpec, ...]:
    """Engines that a subject needs, Off first."""
    if isinstance(subject, OutputSubject):
        return subject.reference, subject.engine
    return tuple(dict.fromkeys(cell.engine for cell in cells_of(subject)))


def cells_of(subject: Subject) -> tuple[Cell, ...]:
    """Cells that a subject needs; none for answers."""
    if isinstance(subject, OutputSubject):
        return ()
    return (subject,) if isinstance(subject, Cell) else subject.cells


def narrow(subject: Subject, only: Only) -> Subject | None:
    """Keep the chosen values of each axis; None where nothing is left. The filter leaves a comparison its reference."""
    if isinstance(subject, Cell):
        return subject if _kept(subject, only) else None
    if isinstance(subject, OutputSubject):
        axes = engine_axes(subject.engine)
        return subject if all(axes[axis] in values for axis, values in only if axis in axes) else None
    if isinstance(subject, CurveSubject):
        kept = tuple(cell.concurrency for cell in subject.cells if _kept(cell, only))
        return replace(subject, concurrencies=kept) if kept else None
    candidate = narrow(subject.candidate, only)
    if not isinstance(candidate, CurveSubject):
        return None
    reference = replace(subject.reference, concurrencies=candidate.concurrencies)
    return ComparisonSubject(candidate=candidate, reference=reference)


def _kept(cell: Cell, only: Only) -> bool:
    axes = cell_axes(cell)
    return all(axes[axis] in values for axis, values in only)
