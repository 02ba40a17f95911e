"""Stored baselines that stand in for an Off mode which no endpoint serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pytest_specdec.domain.cell import Cell
from pytest_specdec.errors import NotMeasuredError
from pytest_specdec.suite.matrix import ComparisonSubject, CurveSubject

if TYPE_CHECKING:
    from pytest_specdec.pipeline.invocation import SpecdecSession
    from pytest_specdec.results.measurement import Measurement


def find_stored(session: SpecdecSession) -> Iterator[tuple[Cell, Measurement]]:
    """The baselines of Off curves that a comparison needs and no endpoint serves."""
    source = session.source(session.subjects)
    for subject in session.subjects:
        if not isinstance(subject, ComparisonSubject) or not source.refusal(subject.reference.engine):
            continue
        like = next((session.measured[cell] for cell in subject.candidate.cells if cell in session.measured), None)
        if like is None:
            continue
        for cell in subject.reference.cells:
            point = session.baselines.find(cell, like.environment)
            if point is not None:
                yield cell, point.measurement()


def stored_points(
    session: SpecdecSession, stored: Mapping[Cell, Measurement], subject: CurveSubject, like: Measurement
) -> list[Measurement]:
    """The stored points of an Off curve.

    Raises:
        NotMeasuredError: there are none; the message says where they would be.
    """
    found = [stored[cell] for cell in subject.cells if cell in stored]
    if not found:
        reason = session.source(session.subjects).refusal(subject.engine)
        raise NotMeasuredError(
            f"the comparison could not be made: {reason}, and no baseline of {subject} is stored in "
            f"{session.baselines.path_of(subject.cells[0], like.environment)}; attach an Off endpoint, or store one "
            "with --specdec-update=new"
        )
    return found
