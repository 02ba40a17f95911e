"""Faults of an engine in numbers: with every value at its default the engine is healthy.

A fault changes the engine in up to six places: drafting, timing, serving, failing, the text of answers and the metrics.
`Fault.at` makes it weaker, down to nothing at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pytest_specdec.errors import EngineError, InvalidInputError
from pytest_specdec.simulator.model import StepModel

_CAP: Mapping[str, str] = {"scales": "cap"}
"""A limit: half as strong is twice as high, no strength is no limit."""
_WHERE: Mapping[str, str] = {"scales": "no"}
"""A place or a time, which does not scale."""
_EVERYWHERE = 10**9

Cause = Literal[
    "acceptance", "step_time", "draft_tokens", "switched_off", "queueing", "preemption", "prefill", "prefix_cache",
    "prompt", "tokens", "usage", "text", "structured", "stall", "crash", "start", "metrics", "none",
]  # fmt: skip
"""Cause that a diagnosis should name; `none` for a healthy control."""
Basis = Literal["published", "derived", "chosen"]
"""Origin of a magnitude: the thread gives it, it follows from the thread, or this project chose it."""
Direction = Literal["falls", "rises", "differs"]
Wrong = Literal["", "differs", "tie", "repeats", "garbled", "gibberish", "replaced", "bytes", "other"]
"""Kinds of wrong text: another text as plausible, the same after a near-tie (no fault: rounding), three words again and
again, `!!`, symbols of any script, U+FFFD between the words, bytes that are no UTF-8, another request's text.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafting:
    """Effect on drafts. A factor is on the chance that a draft is accepted when all before it were."""

    keeps: tuple[float, ...] = (1.0,)
    """Factor per position; the last one goes on."""
    after_requests: int = field(default=0, metadata=_WHERE)
    """`keeps` spares so many requests: the first ones that the engine serves."""
    context_keeps: float = 1.0
    """Factor that is reached, in proportion, at `context_tokens` of context."""
    context_tokens: int = field(default=32768, metadata=_WHERE)
    load_keeps: float = 1.0
    """Factor that is reached, in proportion, after `load_s` of load without a pause."""
    load_s: float = field(default=60.0, metadata=_WHERE)
    fewer: int = 0
    """Draft tokens that are missing in every step; the configuration does not show it."""
    off: bool = False
    """No drafts at all, although speculation is configured."""
    off_above: int | None = field(default=None, metadata=_CAP)
    """No drafts in steps of more sequences than this."""
    off_below: float = 0.0
    """No drafts ever again once the mean acceptance length of the last `off_window` requests is below this share of
    the expected one.
    """
    off_window: int = field(default=8, metadata=_WHERE)

    def drafts(self, configured: int, sequences: int) -> int:
        """Draft tokens of a step."""
        if self.off or (self.off_above is not None and sequences > self.off_above):
            return 0
        return max(configured - self.fewer, 0)

    def kept(
        self, drafts: int, contexts: NDArray[np.int64], orders: NDArray[np.int64], loaded_s: float
    ) -> NDArray[np.float64]:
        """Factor of each sequence at each position, shape (sequences, drafts); `orders` counts requests from 1."""
        positions = np.array([self.keeps[min(i, len(self.keeps) - 1)] for i in range(drafts)], dtype=np.float64)
        kept = np.where((orders > self.after_requests)[:, None], positions, 1.0)
        context = 1 - (1 - self.context_keeps) * np.minimum(contexts / self.context_tokens, 1)
        load = 1 - (1 - self.load_keeps) * min(loaded_s / self.load_s, 1)
        return np.asarray(kept * context[:, None] * load, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Effect on the time of steps and prefills."""

    factor: float = 1.0
    """On the time of a decode step."""
    plus_ms: float = 0.0
    """Added to a decode step."""
    sequence_ms: float = 0.0
    """Added to a decode step for each sequence in it."""
    of_off: float = field(default=1.0, metadata=_WHERE)
    """Speed of the speculative engine as a share of the same engine without speculation ..."""
    toward_off: float = 0.0
    """... and how far the step time goes there."""
    from_batch: int = field(default=0, metadata=_WHERE)
    to_batch: int = field(default=_EVERYWHERE, metadata=_WHERE)
    """Steps of so many sequences are slower, others are not."""
    from_context: int = field(default=0, metadata=_WHERE)
    """Steps with at least so many cached tokens per sequence are slower, others are not."""
    prefill: float = 1.0
    """Factor on the time of a prefill."""
    stall_s: float = 0.0
    """Extra seconds of one event, every `stall_every_s`."""
    stall_every_s: float = field(default=10.0, metadata=_WHERE)
    stall_in: Literal["step", "prefill"] = field(default="step", metadata=_WHERE)

    def step_s(self, steps: StepModel, *, sequences: int, drafts: int, context: int, length: float) -> float:
        """Seconds of a decode step; `length` is the acceptance length that drafts should have."""
        seconds = steps.decode_s(sequences, drafts, context)
        if not self.from_batch <= sequences <= self.to_batch or context < self.from_context * sequences:
            return seconds
        # The step in which the tokens of `length` steps without speculation would come at that share of the speed.
        off_s = steps.decode_s(sequences, 0, context) * length / self.of_off
        seconds += self.toward_off * (off_s - seconds)
        return seconds * self.factor + (self.plus_ms + self.sequence_ms * sequences) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Effect on admission, prefill, end and counting of requests."""

    max_running: int | None = field(default=None, metadata=_CAP)
    preemptions: float = 0.0
    """Per decode step: the youngest sequence loses its slot and is computed anew."""
    prefix_hits: float = 0.0
    """Share of prompt tokens that a cache has: they cost no prefill."""
    prompt_tokens: int = 0
    """Tokens that the template adds to every prompt, beyond what it should."""
    stops_after: int | None = field(default=None, metadata=_CAP)
    """Answers end by themselves after so many tokens, whatever was asked."""
    lost: float = 0.0
    """Share of the generated tokens that never arrive."""
    usage: float = 1.0
    """Tokens that `usage` counts for each token that arrives."""
    stream_interval: int = 1
    """Engine steps per chunk, after the first."""

    def length(self, asked: int) -> int:
        """Tokens of an answer."""
        return asked if self.stops_after is None else min(asked, self.stops_after)

    def arrived(self, generated: int) -> int:
        """Of so many generated tokens, those that arrive."""
        return generated - math.floor(self.lost * generated)

    def counted(self, generated: int) -> int:
        """Completion tokens in `usage` after so many generated tokens."""
        return round(self.arrived(generated) * self.usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """Crashes and hangs of the engine."""

    start_share: float = 0.0
    """Share of starts that fail."""
    crash_batch: int | None = field(default=None, metadata=_CAP)
    """A decode step of so many sequences kills the engine."""
    crash_context: int | None = field(default=None, metadata=_CAP)
    """A decode step over a sequence of so many tokens kills the engine."""
    hang_after_s: float | None = field(default=None, metadata=_CAP)
    """After so much load a step never ends; the engine looks alive until its watchdog kills it."""
    hang_s: float = field(default=300.0, metadata=_WHERE)
    """Patience of the watchdog."""

    def crashes(self, contexts: Sequence[int]) -> bool:
        """True when a decode step over sequences of so many tokens kills the engine."""
        batch = self.crash_batch is not None and len(contexts) >= self.crash_batch
        return batch or (self.crash_context is not None and max(contexts) >= self.crash_context)

    def refuse_start(self, seed: int) -> None:
        """Fail a share of the starts.

        Raises:
            EngineError: this start fails.
        """
        # Numbers of its own: the draws of acceptance stay what they are.
        if self.start_share and float(np.random.default_rng([seed, 1]).random()) < self.start_share:
            raise EngineError("the simulated engine failed to start: CUDA error: an illegal memory access")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """Effect on the text of answers."""

    wrong: Wrong = field(default="", metadata=_WHERE)
    share: float = 0.0
    """Share of the prompts whose answers are wrong; always the same ones."""
    onset: int = field(default=0, metadata=_WHERE)
    """Token at which an answer goes wrong; negative: anywhere in the first tokens up to that number."""
    from_context: int = field(default=0, metadata=_WHERE)
    """Spares shorter prompts."""
    from_turn: int = field(default=0, metadata=_WHERE)
    """Spares requests that bring fewer earlier answers along."""
    after_requests: int = field(default=0, metadata=_WHERE)
    """Spares so many requests: the first ones that the engine serves."""
    endless: bool = False
    """A wrong answer never ends by itself."""
    structured: Literal["", "invalid", "stuck"] = field(default="", metadata=_WHERE)
    """Effect on answers that must follow a grammar, in the same share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Effect on the metrics, as multiples of the true values."""

    accepted: float = 1.0
    """Accepted drafts."""
    speculation: float = 1.0
    """All counters of speculation."""
    generated: float = 1.0
    """Generated tokens."""
    gauge: float = 1.0
    """Gauges of the acceptance length."""


@dataclass(frozen=True, slots=True)
class Move:
    """A measured quantity that must move: a metric's key, or a word of `faults.QUANTITIES`."""

    quantity: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which an engine is worse than it was, or a control that is not."""

    id: str
    cause: Cause
    _: KW_ONLY
    threads: tuple[str, ...] = ()
    """Publications, the main one first."""
    row: int | None = None
    """Its number in the project's list of published regressions."""
    engine: str = ""
    """Engine, versions and model of the publication."""
    what: str
    """The defect, in one sentence."""
    seen: str
    """Symptoms for a client."""
    magnitude: str = ""
    basis: Basis = "chosen"
    moves: tuple[Move, ...] = ()
    """The quantities that tell it; others may follow from them."""
    from_mtp: int = 1
    """Engines with fewer draft tokens do not have it; 0: all have it."""
    drafting: Drafting = field(default_factory=Drafting)
    timing: Timing = field(default_factory=Timing)
    serving: Serving = field(default_factory=Serving)
    failing: Failing = field(default_factory=Failing)
    saying: Saying = field(default_factory=Saying)
    telling: Telling = field(default_factory=Telling)

    def at(self, level: float) -> Fault:
        """The same, weaker: 1 is the published magnitude, 0 the healthy engine exactly.

        Raises:
            InvalidInputError: the level is not between 0 and 1.
        """
        if not 0 <= level <= 1:
            raise InvalidInputError(f"the level of a fault is between 0 and 1, not {level:g}")
        if level == 1:
            return self  # without a rounding error
        values = ((one.name, getattr(self, one.name)) for one in fields(self))
        return replace(self, **{name: _scaled(value, level) for name, value in values if is_dataclass(value)})

    def acting(self, mtp: int) -> Fault:
        """The fault as it acts in an engine with so many draft tokens."""
        return self if mtp >= self.from_mtp else self.at(0)


HEALTHY = Fault("healthy", "none", what="Nothing is wrong.", seen="nothing")


def _scaled(effect: Any, level: float) -> Any:  # noqa: ANN401 - any of the effects
    """Move every value that scales towards its default."""
    changed: dict[str, Any] = {}
    for one in fields(effect):
        value = getattr(effect, one.name)
        scales = one.metadata.get("scales")
        if value != one.default and scales != "no":
            changed[one.name] = _limit(value, level) if scales == "cap" else _between(one.default, value, level)
    return replace(effect, **changed)


def _limit(value: float, level: float) -> float | None:
    if not level:
        return None
    return round(value / level) if isinstance(value, int) else value / level


def _between(neutral: Any, value: Any, level: float) -> Any:  # noqa: ANN401 - of whatever type the field is
    if isinstance(value, tuple):
        return tuple(_between(neutral[0], one, level) for one in value)
    if isinstance(value, bool):
        return value if level else neutral
    there = neutral + level * (value - neutral)
    return round(there) if isinstance(neutral, int) else there
