"""Acceptance over the same prompts before and after: how much of it, at which position, and where it is lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial

import msgspec
import numpy as np

from pytest_specdec.gate.acceptance.check import LENGTH, POSITION, TREND, AcceptanceCheck, tested
from pytest_specdec.gate.acceptance.loss import Floats, paired_loss, paired_trend
from pytest_specdec.gate.holm import holm
from pytest_specdec.speculation.prompt_acceptance import Pairs

_CONTEXT_SPREAD = 1.5
"""The context must vary by this much, over prompts or inside of answers, for a dependence on it to be tested."""
_FELL = 0.05
"""Positions with a smaller adjusted p-value are named."""

_tested = partial(tested, label="paired by prompt")


def paired_checks(pairs: Pairs) -> Iterator[AcceptanceCheck]:
    """Every check that these prompts allow."""
    before, after = pairs.before, pairs.after
    yield _tested(
        "acceptance_length",
        count=len(pairs),
        loss=paired_loss(before.length, after.length, LENGTH),
        words=f"acceptance length {_typical(before.length):.2f} -> {_typical(after.length):.2f}",
    )
    if len(before.rates) > 1:  # the only one says what the length says
        yield _positions(pairs)
    yield _tested(
        "acceptance_over_run",
        count=len(pairs),
        loss=paired_trend(before.length, after.length, pairs.requests, TREND),
        words="acceptance length from early to late requests, beyond the baseline's own course",
    )
    low, high = np.percentile(pairs.context, (10, 90))
    if high >= _CONTEXT_SPREAD * low:
        yield _tested(
            "acceptance_over_context",
            count=len(pairs),
            loss=paired_trend(before.length, after.length, pairs.context, TREND),
            words=f"acceptance length from {low:.0f} to {high:.0f} tokens of context, beyond the baseline's own fall",
        )
    if before.kept is not None and after.kept is not None and pairs.growth >= _CONTEXT_SPREAD:
        # Halves of equally many tokens: the second one's acceptance length is (1 + kept) / 2 of the whole.
        late = paired_loss(before.length * (1 + before.kept), after.length * (1 + after.kept), TREND)
        fall = paired_loss(before.kept, after.kept, TREND)
        yield _tested(
            "acceptance_in_answers",
            count=len(pairs),
            # Where only the first half has become better, the second one has lost nothing.
            loss=dataclasses.replace(fall, p_value=max(fall.p_value, late.p_value)),
            words="acceptance length from the first to the second half of answers, beyond the baseline's own fall",
        )


def _positions(pairs: Pairs) -> AcceptanceCheck:
    """One hypothesis, "a position fell": the smallest p-value after Holm. That all hold needs each of them to hold."""
    sides = list(zip(pairs.before.rates, pairs.after.rates, strict=True))
    losses = [paired_loss(before, after, POSITION) for before, after in sides]
    adjusted = holm([loss.p_value for loss in losses])
    worst = int(np.argmin([loss.p_value for loss in losses]))
    fallen = [str(position) for position, p_value in enumerate(adjusted) if p_value < _FELL]
    rates = ", ".join(f"{_typical(before):.3f} -> {_typical(after):.3f}" for before, after in sides)
    named = f"fell at position {', '.join(fallen)}" if fallen else "no position fell"
    check = _tested(
        "acceptance_positions",
        count=len(pairs),
        loss=losses[worst],
        words=f"acceptance by position {rates}: {named}; position {worst}",
    )
    return msgspec.structs.replace(check, p_value=adjusted[worst], p_holds=max(loss.p_holds for loss in losses))


def _typical(values: Floats) -> float:
    """Geometric mean, the one whose ratio is the loss."""
    return float(np.exp(np.log(values).mean()))
