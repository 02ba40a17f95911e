"""Verdict of a check of the model's answers, and the rule that these checks share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.outputs.paired import POWER, Paired

ALPHA = 0.01
"""False alarms of one check, all of its tests together."""
SUSPECT = 0.1
"""p-value below which a rare finding that does not fail makes the check inconclusive."""
MUST_SEE = 0.25
"""Largest minimum detectable difference of a check that may pass."""
_CONTROL_FAILS = 0.5
"""Share of failures of the control from which a loss can hardly show."""


Remark = tuple[Outcome, str]


class OutputVerdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Verdict of one check."""

    check: str
    outcome: Outcome
    reasons: tuple[str, ...]
    """Whole sentences, those that decide first."""
    numbers: Mapping[str, float]
    """The numbers of the reasons, for tables; shares are fractions of the prompts."""


def conclude(check: str, remarks: Iterable[Remark], numbers: Mapping[str, float | None]) -> OutputVerdict:
    """The worst remark decides: evidence of a failure stands, however little else could be seen."""
    worst_first = (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.PASS)
    ordered = sorted(remarks, key=lambda remark: worst_first.index(remark[0]))
    return OutputVerdict(
        check=check,
        outcome=ordered[0][0] if ordered else Outcome.PASS,
        reasons=tuple(text for _, text in ordered),
        numbers={name: value for name, value in numbers.items() if value is not None},
    )


def sight(smallest: float | None, prompts: int, must_see: float, what: str) -> Remark:
    """State the minimum detectable difference; inconclusive where it is too large."""
    if smallest is None:
        return Outcome.INCONCLUSIVE, f"{prompts} prompts are too few to detect any difference in {what}"
    text = f"minimum detectable excess of {prompts} prompts at {POWER:.0%} power: {smallest:.0%} in {what}"
    if smallest > must_see:
        return Outcome.INCONCLUSIVE, f"too few prompts: {text}; {must_see:.0%} is required"
    return Outcome.PASS, text


def judge_losses(
    check: str, what: str, pairs: Iterable[tuple[bool, bool]], *, alpha: float = ALPHA, must_see: float = MUST_SEE
) -> OutputVerdict:
    """Judge whether answers go wrong more often with MTP: pairs of (wrong with MTP, wrong without), one per prompt."""
    counted = Paired.count(pairs)
    p_value = counted.p_value()
    failed = p_value <= alpha
    text = (
        f"{what}: {counted.candidate} of {counted.prompts} with MTP, {counted.control} without; "
        f"{counted.only_candidate} only with MTP, {counted.only_control} only without (p = {p_value:.2g})"
    )
    remarks = [(Outcome.FAILED if failed else Outcome.PASS, text)]
    if counted.prompts and counted.control > _CONTROL_FAILS * counted.prompts:
        share = counted.control / counted.prompts
        remarks.append((Outcome.INCONCLUSIVE, f"{what}: {share:.0%} even without MTP, so a loss can hardly show"))
    smallest = counted.smallest_visible(alpha)
    remarks.append(sight(smallest, counted.prompts, must_see, what))
    return conclude(
        check,
        remarks,
        {
            "prompts": counted.prompts,
            "wrong_mtp": share_of(counted.candidate, counted.prompts),
            "wrong_off": share_of(counted.control, counted.prompts),
            "p_value": p_value,
            "smallest_visible": smallest,
        },
    )


def share_of(count: int, prompts: int) -> float:
    """A count as a fraction of the prompts; 0 of none."""
    return count / prompts if prompts else 0.0


def same_length(**groups: int) -> None:
    """Refuse answers that do not belong to the same prompts.

    Raises:
        InvalidInputError: the numbers differ.
    """
    if len(set(groups.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in groups.items())
        raise InvalidInputError(f"answers are compared prompt by prompt, and their numbers differ: {counts}")
