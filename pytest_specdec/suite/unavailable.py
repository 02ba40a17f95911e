"""Tests that cannot run here, because no engine serves their subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_specdec.suite.matrix import ComparisonSubject
from pytest_specdec.suite.subjects import Subject

if TYPE_CHECKING:
    from pytest_specdec.engine.provision import EngineSource


def refusals(source: EngineSource, subjects: Sequence[Subject]) -> dict[Subject, str]:
    """Subjects that no engine serves, with the reason.

    A comparison without its candidate engine stays in, and fails, where no other comparison of its workload is
    possible: a suite that compares nothing must not pass.
    """
    refused: dict[Subject, str] = {}
    comparable = {
        (s.candidate.engine.model, s.candidate.workload)
        for s in subjects
        if isinstance(s, ComparisonSubject) and not source.refusal(s.candidate.engine)
    }
    for subject in subjects:
        engine = subject.candidate.engine if isinstance(subject, ComparisonSubject) else subject.engine
        reason = source.refusal(engine)
        alone = isinstance(subject, ComparisonSubject) and (
            (engine.model, subject.candidate.workload) not in comparable
        )
        if reason and not alone and not source.simulated:
            refused[subject] = reason
    return refused
