"""Losslessness: divergence of greedy answers with speculation beyond the engine's own from run to run.

Three sets of answers to the same prompts: two without speculation and one with. The user makes the second set under
another batch: verification multiplies K + 1 rows per request where plain decoding multiplies
one, so a control at another concurrency (K + 1 times as much is the nearest) rounds as differently as speculation does,
and one that repeats the same batch shows no divergence at all.

Given the reference, the control and the MTP answer to a prompt are exchangeable if nothing has changed, which is what
the paired tests need. Three of them share the false alarms: more prompts diverge; the answers leave the reference
earlier; more divergences are hard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.outputs.answer import NEAR_TIE_NATS, Answer, Divergence, Fork, divergence
from pytest_specdec.outputs.paired import Background, Paired
from pytest_specdec.outputs.verdict import ALPHA, OutputVerdict, Remark, conclude, same_length, share_of, sight

CHECK = "losslessness"
SELDOM_HARD = Background(found=5, seen=500)
"""Hard divergences of a healthy engine from itself; an assumption, to be replaced by what controls have shown."""
_TESTS = 3
_QUOTES = 3
_EARLIER = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class LosslessnessLimits:
    """Tolerance of the test and the excess that it must detect."""

    tolerance: float = 0.10
    """Share of prompts on which MTP may diverge beyond the control: its batches are no other run's batches."""
    near_tie_nats: float = NEAR_TIE_NATS
    noisy_control: float = 0.5
    """Share of diverging control answers above which agreement shows nothing."""
    hard: Background = SELDOM_HARD
    alpha: float = ALPHA
    must_see: float = 0.35
    """Excess of diverging prompts that must be visible; the tolerance is a part of it."""


def judge_losslessness(
    off_a: Sequence[Answer], off_b: Sequence[Answer], mtp: Sequence[Answer], limits: LosslessnessLimits | None = None
) -> OutputVerdict:
    """Judge MTP against Off, with Off against itself as the control; the answers stand in the order of the prompts.

    Raises:
        InvalidInputError: the sets are not of the same prompts.
    """
    same_length(off_a=len(off_a), off_b=len(off_b), mtp=len(mtp))
    limits = limits or LosslessnessLimits()
    control = [divergence(a, b, limits.near_tie_nats) for a, b in zip(off_a, off_b, strict=True)]
    found = [divergence(a, b, limits.near_tie_nats) for a, b in zip(off_a, mtp, strict=True)]
    alpha = limits.alpha / _TESTS
    diverging = _count(found, control, frozenset(Fork) - {Fork.NONE})
    smallest = diverging.smallest_visible(alpha, limits.tolerance)
    remarks = [
        _more(diverging, "answers diverge", limits.tolerance, alpha),
        _more(_earlier(found, control), "answers leave the reference earlier", limits.tolerance, alpha),
        *_hard(found, control, limits, alpha),
        *_unknown(found, control),
        *_noisy(diverging, limits),
        sight(smallest, diverging.prompts, limits.must_see, "diverging answers"),
    ]
    return conclude(
        CHECK,
        remarks,
        {
            "prompts": diverging.prompts,
            "diverging_mtp": share_of(diverging.candidate, diverging.prompts),
            "diverging_control": share_of(diverging.control, diverging.prompts),
            "hard_mtp": _share(found, Fork.HARD),
            "hard_control": _share(control, Fork.HARD),
            "unknown_mtp": _share(found, Fork.UNKNOWN),
            "prefix_ratio_mtp": _mean_ratio(found),
            "prefix_ratio_control": _mean_ratio(control),
            "smallest_visible": smallest,
        },
    )


def _more(counted: Paired, what: str, tolerance: float, alpha: float) -> Remark:
    p_value = counted.p_value(tolerance)
    outcome = Outcome.FAILED if p_value <= alpha else Outcome.PASS
    return outcome, (
        f"{what}: {counted.candidate} of {counted.prompts} with MTP, {counted.control} of Off against itself; "
        f"{counted.only_candidate} only with MTP, {counted.only_control} only in the control "
        f"(p = {p_value:.2g} for an excess of more than {tolerance:.0%})"
    )


def _hard(
    found: Sequence[Divergence], control: Sequence[Divergence], limits: LosslessnessLimits, alpha: float
) -> list[Remark]:
    counted = _count(found, control, frozenset({Fork.HARD}))
    if not counted.candidate:
        return []
    p_value = limits.hard.p_value(counted)
    if p_value <= alpha:
        outcome = Outcome.FAILED
    else:  # rounding does not explain even one, so none beyond the control is passed over
        outcome = Outcome.INCONCLUSIVE if counted.candidate > counted.control else Outcome.PASS
    hard = [
        f"prompt {index} at {one.unit[:-1]} {one.position}: {one.quote} ({one.gap_nats:.2g} nats)"
        for index, one in enumerate(found)
        if one.kind is Fork.HARD
    ]
    more = f" and {len(hard) - _QUOTES} more" if len(hard) > _QUOTES else ""
    text = (
        f"{counted.candidate} divergences with MTP are no near-ties, {counted.control} in the control "
        f"(p = {p_value:.2g}): {'; '.join(hard[:_QUOTES])}{more}"
    )
    return [(outcome, text)]


def _unknown(found: Sequence[Divergence], control: Sequence[Divergence]) -> list[Remark]:
    counted = _count(found, control, frozenset({Fork.UNKNOWN}))
    if counted.candidate <= counted.control:
        return []
    text = (
        f"{counted.candidate} divergences with MTP ({counted.control} in the control) cannot be told from near-ties: "
        "ask the engine for logprobs with more top_logprobs, or judge task accuracy instead"
    )
    return [(Outcome.INCONCLUSIVE, text)]


def _noisy(diverging: Paired, limits: LosslessnessLimits) -> list[Remark]:
    share = share_of(diverging.control, diverging.prompts)
    if share <= limits.noisy_control:
        return []
    text = (
        f"Off diverges from itself on {share:.0%} of the prompts, so agreement shows nothing: ask for fewer tokens, or "
        "start the engine in its deterministic mode (VLLM_BATCH_INVARIANT=1, --enable-deterministic-inference)"
    )
    return [(Outcome.INCONCLUSIVE, text)]


def _count(found: Sequence[Divergence], control: Sequence[Divergence], kinds: frozenset[Fork]) -> Paired:
    return Paired.count((a.kind in kinds, b.kind in kinds) for a, b in zip(found, control, strict=True))


def _earlier(found: Sequence[Divergence], control: Sequence[Divergence]) -> Paired:
    """Count the answers that leave the reference earlier than the other side's."""
    pairs = [(a.prefix_ratio, b.prefix_ratio) for a, b in zip(found, control, strict=True)]
    return Paired.count((a < b - _EARLIER, b < a - _EARLIER) for a, b in pairs)


def _share(found: Sequence[Divergence], kind: Fork) -> float:
    return share_of(sum(one.kind is kind for one in found), len(found))


def _mean_ratio(found: Sequence[Divergence]) -> float | None:
    return fmean(one.prefix_ratio for one in found) if found else None
