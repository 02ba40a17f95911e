"""The tests' view of a record: measurements, curves, MTP against Off, answers."""

from __future__ import annotations

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.domain.curve import Curve
from pytest_specdec.errors import INTERRUPTED, EngineError, InconclusiveError, NotMeasuredError
from pytest_specdec.outputs.checks import Outputs
from pytest_specdec.pipeline.record import Record
from pytest_specdec.results.baseline import Baselines
from pytest_specdec.results.measurement import Measurement, curve_of
from pytest_specdec.results.run import mtp_against_off
from pytest_specdec.suite.matrix import ComparisonSubject, CurveSubject, OutputSubject


def read_measurement(record: Record, cell: Cell) -> Measurement:
    """Return the measurement of a cell.

    Raises:
        EngineError: its engine could not be measured.
        InconclusiveError: the budget or an interruption left it out.
    """
    measured = record.measured.means.get(cell)
    if measured is not None:
        return measured
    error = record.missing.get(cell, InconclusiveError("not planned"))
    raise type(error)(f"{cell} was not measured: {error}")


def read_curve(record: Record, subject: CurveSubject) -> Curve:
    """Return the curve of a subject; every point must have been measured."""
    return curve_of(_points(record, subject))


def read_comparison(record: Record, subject: ComparisonSubject, baselines: Baselines) -> Comparison:
    """Return MTP against Off; Off from the stored baselines where no endpoint serves it.

    Raises:
        EngineError: an engine could not be measured.
        NotMeasuredError: Off was neither measured nor stored.
    """
    mtp = _points(record, subject.candidate)
    off = subject.reference
    refused = next((record.demand.unavailable[cell] for cell in off.cells if cell in record.demand.unavailable), None)
    if refused is None:
        return mtp_against_off(mtp, _points(record, off))
    stored = [record.stored[cell] for cell in off.cells if cell in record.stored]
    if not stored:
        raise NotMeasuredError(
            f"the comparison could not be made: {refused}, and no baseline of {off} is stored in "
            f"{baselines.path_of(off.cells[0], mtp[0].environment)}; attach an Off endpoint, or store one "
            "with --specdec-update=new"
        )
    return mtp_against_off(mtp, stored)


def read_outputs(record: Record, subject: OutputSubject) -> Outputs:
    """Return the judgement of an MTP engine's answers against Off's.

    Raises:
        EngineError: one of them could not be asked.
    """
    for interview in subject.interviews:
        if interview not in record.measured.answers:
            raise EngineError(f"{interview} was not asked: {record.unanswered.get(interview, INTERRUPTED)}")
    return record.outputs[subject]


def _points(record: Record, subject: CurveSubject) -> list[Measurement]:
    """Return the points of a curve, with those that were measured beside the plan."""
    planned = [read_measurement(record, cell) for cell in subject.cells]
    key = subject.engine, subject.workload
    return planned + [m for m in record.measured.means.values() if m.curve_key == key and m not in planned]
