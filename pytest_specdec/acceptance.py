"""Counters of any engine, brought to one record of speculation.

A verify step proposes K draft tokens, accepts some and always adds one bonus token. With S verify steps, D drafted
and A accepted tokens: acceptance length AL = 1 + A/S, acceptance rate AR = A/D, p_i = A_i/S for position i.
vLLM, AIPerf and InferenceX's golden acceptance lengths use the same definitions.
"""

from __future__ import annotations

import msgspec

from pytest_specdec.errors import EngineError


class SpecCounters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Monotonic counters of speculation, or their difference over a drained window."""

    steps: float
    """S: verify steps with at least one draft token, summed over sequences."""
    drafted: float
    accepted: float
    """A: accepted draft tokens, without the bonus token; tokens that max_tokens cuts off are in it."""
    per_position: tuple[float, ...] = ()
    """A_i for draft position i = 0 to K-1."""

    def __sub__(self, earlier: SpecCounters) -> SpecCounters:
        """Difference of two readings.

        Raises:
            EngineError: a counter fell, so the engine restarted in between.
        """
        positions = range(max(len(self.per_position), len(earlier.per_position)))
        difference = SpecCounters(
            steps=self.steps - earlier.steps,
            drafted=self.drafted - earlier.drafted,
            accepted=self.accepted - earlier.accepted,
            per_position=tuple(_at(self.per_position, i) - _at(earlier.per_position, i) for i in positions),
        )
        if min(difference.steps, difference.drafted, difference.accepted, *difference.per_position) < 0:
            raise EngineError("the engine's speculation counters fell: it restarted during the measurement")
        return difference


class Acceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many draft tokens were accepted, always together with K and where the numbers come from."""

    length: float
    """AL = 1 + A/S, tokens per verify step, the bonus token included."""
    rate: float
    """AR = A/D; falls with K by construction."""
    per_position: tuple[float, ...]
    """p_i = A_i/S, unconditional."""
    draft_tokens: int
    """K, as the engine counts positions."""
    steps: float
    source: str = "counters"
    """`counters` (differences over a drained window), `gauge` (a hint only)."""


def acceptance_from(counters: SpecCounters) -> Acceptance | None:
    """Derive acceptance from a difference of counters; None when nothing was drafted."""
    if counters.steps <= 0 or counters.drafted <= 0:
        return None
    return Acceptance(
        length=1 + counters.accepted / counters.steps,
        rate=counters.accepted / counters.drafted,
        per_position=tuple(accepted / counters.steps for accepted in counters.per_position),
        draft_tokens=len(counters.per_position) or round(counters.drafted / counters.steps),
        steps=counters.steps,
    )


def _at(values: tuple[float, ...], index: int) -> float:
    return values[index] if index < len(values) else 0.0
