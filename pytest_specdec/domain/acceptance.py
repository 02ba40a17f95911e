"""Counters of any engine, brought to one record of speculation.

A verify step proposes K draft tokens, accepts some and always adds one bonus token. With S verify steps, D drafted
and A accepted tokens: acceptance length AL = 1 + A/S, acceptance rate AR = A/D, p_i = A_i/S for position i.
vLLM, AIPerf and InferenceX's golden acceptance lengths use the same definitions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import starmap, zip_longest
from typing import Literal

import msgspec

from pytest_specdec.errors import EngineError

Source = Literal["counters", "requests", "tokens", "gauge"]
"""`counters`: differences over a drained window. `requests`: the engine's details of each finished request.
`tokens`: derived from verify steps and generated tokens. `gauge`: a hint, not gated."""


class SpecCounters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Monotonic counters of speculation, or their difference over a drained window."""

    steps: float
    """S: verify steps with at least one draft token, summed over sequences."""
    drafted: float
    accepted: float
    """A: accepted draft tokens, without the bonus token; tokens that max_tokens cuts off are in it."""
    per_position: tuple[float, ...] = ()
    """A_i for draft position i = 0 to K-1."""

    def __add__(self, other: SpecCounters) -> SpecCounters:
        """Sum over requests or ranks."""
        return self._with(other, operator.add)

    def __sub__(self, earlier: SpecCounters) -> SpecCounters:
        """Difference of two readings.

        Raises:
            EngineError: a counter fell, so the engine restarted in between.
        """
        difference = self._with(earlier, operator.sub)
        if min(difference.steps, difference.drafted, difference.accepted, *difference.per_position) < 0:
            raise EngineError("the engine's speculation counters fell: it restarted during the measurement")
        return difference

    def _with(self, other: SpecCounters, combine: Callable[[float, float], float]) -> SpecCounters:
        positions = zip_longest(self.per_position, other.per_position, fillvalue=0.0)
        return SpecCounters(
            steps=combine(self.steps, other.steps),
            drafted=combine(self.drafted, other.drafted),
            accepted=combine(self.accepted, other.accepted),
            per_position=tuple(starmap(combine, positions)),
        )


class Acceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Acceptance of draft tokens, always together with K and the source of the counters."""

    length: float
    """AL = 1 + A/S, tokens per verify step, the bonus token included."""
    rate: float
    """AR = A/D; falls with K by construction."""
    per_position: tuple[float, ...]
    """p_i = A_i/S, unconditional."""
    draft_tokens: int
    """K, as the engine counts positions."""
    steps: float
    source: Source = "counters"
    """Source of the counters, see `Source`."""


def counters_of_histogram(histogram: Sequence[int], draft_tokens: int) -> SpecCounters:
    """Counters of one request from its histogram: entry j is the number of verify steps that accepted j drafts.

    vLLM and SGLang give it per request; it may end at the highest j that occurred.
    """
    steps = sum(histogram)
    return SpecCounters(
        steps=steps,
        drafted=steps * draft_tokens,
        accepted=sum(accepted * count for accepted, count in enumerate(histogram)),
        per_position=tuple(float(sum(histogram[i + 1 :])) for i in range(draft_tokens)),
    )


def counters_of_tokens(*, generated: float, requests: float, steps: float, draft_tokens: int) -> SpecCounters:
    """Counters of an engine that counts verify steps and tokens, and not accepted drafts.

    Every request has one token of its prefill, every step one bonus token; the rest were drafts:
    A = generated - requests - S. Tokens that max_tokens cut off are missing, so AL is a little low (0.5 % at 64 tokens
    per request, less with longer ones).
    """
    return SpecCounters(steps=steps, drafted=steps * draft_tokens, accepted=max(generated - requests - steps, 0.0))


def gauge_acceptance(length: float, draft_tokens: int) -> Acceptance:
    """Acceptance by an engine's gauge: of some interval that the engine chose, and therefore a hint only."""
    rate = (length - 1) / draft_tokens
    return Acceptance(length, rate, per_position=(), draft_tokens=draft_tokens, steps=0, source="gauge")


def acceptance_from(counters: SpecCounters, source: Source = "counters") -> Acceptance | None:
    """Derive acceptance from a difference of counters; None when nothing was drafted."""
    if counters.steps <= 0 or counters.drafted <= 0:
        return None
    return Acceptance(
        length=1 + counters.accepted / counters.steps,
        rate=counters.accepted / counters.drafted,
        per_position=tuple(accepted / counters.steps for accepted in counters.per_position),
        draft_tokens=len(counters.per_position) or round(counters.drafted / counters.steps),
        steps=counters.steps,
        source=source,
    )
