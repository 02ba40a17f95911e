"""The outcomes of judging: of one metric, of a cell, of a check of the model's answers, of a whole suite."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Grade = Literal["PASS", "WARN", "FAIL", "INCONCLUSIVE", "INVALID"]


class Outcome(StrEnum):
    """One word for a judgement; the values are those of saved files, in which each level has its own word for red."""

    PASS = "pass"  # noqa: S105 - not a password
    """Any loss is smaller than the margin."""
    IMPROVED = "improved"
    """The gain is larger than the tolerance, confirmed by pairs."""
    WARN = "warn"
    """A proven loss between tolerance and margin, or a loss of an advisory metric."""
    FAIL = "fail"
    """Of a metric or a suite: the loss is larger than the tolerance, at the suite's false-alarm rate."""
    REGRESSED = "regressed"
    """Of a cell: a metric or a check of it failed."""
    FAILED = "failed"
    """Of a check of the model's answers: speculation changes them."""
    UNHEALTHY = "unhealthy"
    """Of a cell: speculation is broken, off, or not as requested, whatever the baseline says."""
    INCONCLUSIVE = "inconclusive"
    """Neither a loss nor its absence is shown."""
    NOT_COMPARABLE = "not comparable"
    NO_BASELINE = "no baseline"

    @property
    def grade(self) -> Grade:
        """The outcome in five words, for readers of many suites."""
        return _GRADES[self]


_GRADES: dict[Outcome, Grade] = {
    Outcome.PASS: "PASS",
    Outcome.IMPROVED: "PASS",
    Outcome.WARN: "WARN",
    Outcome.FAIL: "FAIL",
    Outcome.REGRESSED: "FAIL",
    Outcome.FAILED: "FAIL",
    Outcome.UNHEALTHY: "FAIL",
    Outcome.NO_BASELINE: "FAIL",
    Outcome.INCONCLUSIVE: "INCONCLUSIVE",
    Outcome.NOT_COMPARABLE: "INVALID",
}
