"""The result of one comparison of acceptance with a baseline."""

from __future__ import annotations

from typing import Literal

import msgspec

from pytest_specdec.domain.metric import Limits
from pytest_specdec.gate.acceptance.loss import Loss
from pytest_specdec.gate.presets import PRESETS

Label = Literal["paired by prompt", "unpaired"]
"""Pairing: prompt by prompt, or runs as a whole."""
CheckName = Literal[
    "acceptance_length", "acceptance_positions", "acceptance_over_run", "acceptance_over_context",
    "acceptance_in_answers", "acceptance_over_sequences",
]  # fmt: skip

LENGTH = PRESETS["acceptance_length"]
POSITION = Limits(tolerance=0.01, margin=0.05)
"""Accepted drafts are about two thirds of the tokens: 3 % of the acceptance length are nearly 5 % of them."""
TREND = Limits(tolerance=0.01, margin=0.05)
LIMITS: dict[CheckName, Limits] = {
    "acceptance_length": LENGTH,
    "acceptance_positions": POSITION,
    "acceptance_over_run": TREND,
    "acceptance_over_context": TREND,
    "acceptance_in_answers": TREND,
    "acceptance_over_sequences": TREND,
}
_HOLDS = 0.025


class AcceptanceCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One one-sided comparison; losses are relative, 0.05 is 5 % less than the baseline, negative is a gain."""

    name: CheckName
    label: Label
    count: int
    """Prompts in both where paired, else sessions of the baseline."""
    tolerance: float
    margin: float
    estimate: float | None = None
    """Loss; None where it cannot be told."""
    interval: tuple[float, float] | None = None
    """95 % interval of the loss; None where its uncertainty is unknown."""
    p_value: float | None = None
    """Of "the loss is at most the tolerance": small where acceptance fell. Of several positions the smallest one,
    adjusted by Holm; of a fall over input lengths that of the longest by itself, where it is larger. None where it
    cannot be tested.
    """
    p_holds: float | None = None
    """Of "the loss is at least the margin": small where acceptance holds. Of several positions the largest one."""
    words: str
    """For people, one sentence."""

    @property
    def must_hold(self) -> bool:
        """True where a cell passes only when this check shows that acceptance holds.

        That is the part of the length. The other checks locate a loss: they raise an alarm, and with few prompts or a
        rarely accepted position they stay undecided on a sound engine.
        """
        return self.name == "acceptance_length"

    def outcome(self, alpha: float) -> Literal["fell", "holds", "undecided", "untested"]:
        """Outcome at a false-alarm rate of `alpha` for this check."""
        if self.p_value is None or self.p_holds is None:
            return "untested"
        if self.p_value < alpha:
            return "fell"
        return "holds" if self.p_holds < _HOLDS else "undecided"


def tested(name: CheckName, label: Label, count: int, loss: Loss, words: str) -> AcceptanceCheck:
    """A check of a loss with its uncertainty; after the words come the loss and what it rests on."""
    rests = f"paired over {count} prompts" if label == "paired by prompt" else f"unpaired, {count} baseline sessions"
    return AcceptanceCheck(
        name=name,
        label=label,
        count=count,
        tolerance=LIMITS[name].tolerance,
        margin=LIMITS[name].margin,
        estimate=loss.value,
        interval=(loss.low, loss.high),
        p_value=loss.p_value,
        p_holds=loss.p_holds,
        words=f"{words} ({-loss.value:+.1%}, 95 % interval {-loss.high:+.1%} to {-loss.low:+.1%}, {rests})",
    )
