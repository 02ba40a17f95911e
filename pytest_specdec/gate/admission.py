"""Verdicts before any statistics: unhealthy points, points without a baseline or with one of another workload."""

from __future__ import annotations

from collections.abc import Collection

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.results.baseline import BaselinePoint, why_not_comparable
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.verdict import Verdict


def settled(measured: Measurement, baseline: BaselinePoint | None, required: Collection[str]) -> Verdict | None:
    """The verdict of a cell that no rule has to judge; None for a cell that one has to.

    Facts in `required` may not be unknown.
    """
    broken = [finding.words for finding in measured.findings if finding.severity == "broken"]
    if broken:
        return Verdict(cell=measured.cell, outcome=Outcome.UNHEALTHY, reason="; ".join(broken))
    if baseline is None:
        return Verdict(cell=measured.cell, outcome=Outcome.NO_BASELINE, reason="no baseline is stored for this cell")
    difference = why_not_comparable(measured, baseline, required)
    if difference:
        return Verdict(cell=measured.cell, outcome=Outcome.NOT_COMPARABLE, reason=difference)
    return None
