"""What a check of the model's answers came to, and the rule that all of these checks share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.outputs.paired import POWER, Paired

ALPHA = 0.01
"""False alarms of one check, all of its tests together."""
SUSPECT = 0.1
"""A rare finding with a p-value below this, and yet no failure, is not passed over: the check is inconclusive."""
MUST_SEE = 0.25
"""A check that could not have seen a quarter of the answers go wrong has shown nothing by seeing none."""
_CONTROL_FAILS = 0.5
"""Where even the control fails so often, too little is left to lose."""


Remark = tuple[Outcome, str]


class OutputVerdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Does speculation change what the model says? One check's answer."""

    check: str
    outcome: Outcome
    reasons: tuple[str, ...]
    """Whole sentences, those that decide first."""
    numbers: Mapping[str, float]
    """What the reasons say, for tables; shares are fractions of the prompts."""


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
    """State the smallest difference that could have been seen, and whether that is small enough."""
    if smallest is None:
        return Outcome.INCONCLUSIVE, f"{prompts} prompts are too few to see any difference in {what}"
    text = f"the smallest excess that {prompts} prompts show in {POWER:.0%} of cases is {smallest:.0%} in {what}"
    if smallest > must_see:
        return Outcome.INCONCLUSIVE, f"too few prompts: {text}, and {must_see:.0%} must be visible"
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
        remarks.append((Outcome.INCONCLUSIVE, f"{what}: {share:.0%} even without MTP, so little is left to lose"))
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
