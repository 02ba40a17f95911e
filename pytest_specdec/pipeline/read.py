"""What tests read of a session that has measured: curves, MTP against Off, answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_specdec.errors import INTERRUPTED, EngineError
from pytest_specdec.pipeline.stored_off import stored_points
from pytest_specdec.results.measurement import curve_of
from pytest_specdec.results.run import mtp_against_off
from pytest_specdec.suite.matrix import ComparisonSubject, CurveSubject, OutputSubject

if TYPE_CHECKING:
    from pytest_specdec.domain.comparison import Comparison
    from pytest_specdec.domain.curve import Curve
    from pytest_specdec.outputs.checks import Outputs
    from pytest_specdec.pipeline.invocation import SpecdecSession
    from pytest_specdec.results.measurement import Measurement


def read_curve(session: SpecdecSession, subject: CurveSubject) -> Curve:
    """Return the curve of a subject; every point must have been measured."""
    return curve_of(_points(session, subject))


def read_comparison(session: SpecdecSession, subject: ComparisonSubject) -> Comparison:
    """Return MTP against Off; Off from the stored baselines where no endpoint serves it.

    Raises:
        EngineError: an engine could not be measured.
        NotMeasuredError: Off was neither measured nor stored.
    """
    mtp = _points(session, subject.candidate)
    if session.source(session.subjects).refusal(subject.reference.engine):
        return mtp_against_off(mtp, stored_points(session, session.stored, subject.reference, mtp[0]))
    return mtp_against_off(mtp, _points(session, subject.reference))


def read_outputs(session: SpecdecSession, subject: OutputSubject) -> Outputs:
    """Judge what an MTP engine said against what Off said.

    Raises:
        EngineError: one of them could not be asked.
    """
    for interview in subject.interviews:
        if session.campaign is None or interview not in session.campaign.answers:
            raise EngineError(f"{interview} was not asked: {session.unanswered.get(interview, INTERRUPTED)}")
    return session.judged_outputs[subject]


def _points(session: SpecdecSession, subject: CurveSubject) -> list[Measurement]:
    """The points of a curve, with those that were measured beside the plan."""
    planned = [session.measurement(cell) for cell in subject.cells]
    key = subject.engine, subject.workload
    return planned + [m for m in session.measured.values() if m.curve_key == key and m not in planned]
