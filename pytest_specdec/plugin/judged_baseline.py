"""The right side of `assert measurement >= baseline`: the suite's verdict on the cell."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import InconclusiveError, NotComparableError
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.verdict import Verdict


class LossWarning(UserWarning):
    """A proven loss smaller than the margin: the test passes with this warning."""


class JudgedBaseline:
    """The stored baseline of a cell together with the verdict of the suite.

    A measurement defines no order of its own, so Python asks this side: `measurement >= baseline` is
    `baseline <= measurement`.
    """

    def __init__(
        self, verdict: Verdict, lines: Sequence[str], *, updating: str | None, reason: str, command: str
    ) -> None:
        self.verdict = verdict
        self.lines = tuple(lines)
        """The verdict as a table of metrics, its first line the summary."""
        self.failed = False
        """True once a comparison in the test has failed."""
        self._updating = updating
        self._reason = reason
        self._command = command

    def __le__(self, measurement: object) -> bool:
        """Read the verdict; a loss passes where the user accepts it by --specdec-update=all with a reason.

        Raises:
            InconclusiveError: the interval decides neither way.
            NotComparableError: the baseline is of another workload, hardware or engine.
        """
        if not isinstance(measurement, Measurement):
            return NotImplemented
        outcome = self.verdict.outcome
        if outcome is Outcome.UNHEALTHY:
            # Also when baselines are updated: a broken drafter must never become one.
            self.failed = True
            return False
        if self._updating and outcome is Outcome.NO_BASELINE:
            return True
        if self._updating == "all" and self._reason:
            return True
        if outcome is Outcome.INCONCLUSIVE:
            raise InconclusiveError("\n".join(self.lines))
        if outcome is Outcome.NOT_COMPARABLE:
            raise NotComparableError(f"{self.verdict.cell}: not comparable with its baseline: {self.verdict.reason}")
        if outcome is Outcome.WARN:
            warnings.warn(LossWarning("\n".join(self.lines)), stacklevel=2)
        self.failed = outcome in (Outcome.REGRESSED, Outcome.NO_BASELINE)
        return not self.failed

    def explanation(self) -> list[str]:
        """Lines for pytest's assertion report."""
        if self.verdict.outcome is Outcome.NO_BASELINE:
            return [f"{self.verdict.cell}: no baseline is stored; measure and store one: {self._command}"]
        return list(self.lines)

    def __repr__(self) -> str:
        return f"<baseline of {self.verdict.cell}: {self.verdict.outcome.value}>"
