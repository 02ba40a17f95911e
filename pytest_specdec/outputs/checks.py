"""The checks of answers that a test asserts."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import InconclusiveError
from pytest_specdec.outputs.verdict import OutputVerdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """One check's answer, to be asserted: `assert outputs.same_text`."""

    verdict: OutputVerdict

    def __bool__(self) -> bool:
        """True where the check passed.

        Raises:
            InconclusiveError: the answers do not decide it.
        """
        if self.verdict.outcome is Outcome.INCONCLUSIVE:
            raise InconclusiveError(str(self))
        return self.verdict.outcome is Outcome.PASS

    def __str__(self) -> str:
        return f"{self.verdict.check}: {self.verdict.outcome.value}: {'; '.join(self.verdict.reasons)}"

    def __repr__(self) -> str:
        return f"<{self}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Outputs:
    """Answers with MTP against answers without, judged."""

    same_text: Judgement
    """Greedy answers differ no more from Off's than Off's differ from themselves in another batch."""
    clean: Judgement
    """No repetition, garbage, broken UTF-8, other request's text or the like beyond what Off shows."""
    solves_as_much: Judgement
    """No fewer of the bundled tasks are solved."""
    keeps_structure: Judgement
    """No fewer answers have the JSON shape that was asked for."""

    @property
    def verdicts(self) -> tuple[OutputVerdict, ...]:
        """All four, for reports."""
        return tuple(j.verdict for j in (self.same_text, self.clean, self.solves_as_much, self.keeps_structure))
