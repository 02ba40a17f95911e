"""Text of one answer of the simulated engine, token by token, right or wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_specdec.outputs.tasks import known_answers
from pytest_specdec.simulator.faults.fault import HEALTHY, Fault
from pytest_specdec.simulator.json_example import example
from pytest_specdec.simulator.text import mixed, natural_length, other_words, output_text, seed_of, share_of

NEAR_TIES_WITHIN = 64
"""Somewhere in so many tokens two words are almost equally likely."""

_TAG = re.compile(r"Begin your answer with \[([\w-]+)\] on a line of its own\.")
_JSON_PIECE = re.compile(r"\w+|\W")
_SYMBOLS = "\u6f22\u0416\u2593\u00a4\u0e51\u05d0\u2592\ufdfa\u2020\u4e8c\u0902\u25c6"
_BROKEN_BYTES = "\udcc3("
"""0xC3 begins a character of two bytes that a parenthesis does not end; escaped as PEP 383 has it."""
_CUT_EVERY = 3
_REASONING = 12
"""Tokens before the result of a task."""
_LIKELY, _TIED, _RUNNER_UP = -0.05, -0.70, -0.75
_UNLIKELY, _STEP = -3.5, -0.5
"""Log-probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Prompt of a request."""

    text: str
    """All of its messages."""
    last: str
    """The last of them."""
    tokens: int
    turn: int = 0
    """Number of earlier answers in it."""

    @property
    def seed(self) -> int:
        """Seed of the answer."""
        return seed_of(self.text)

    @property
    def opening(self) -> tuple[str, ...]:
        """Tokens with which the answer begins: the tag, where one is asked for."""
        asked = _TAG.search(self.last)
        return ("[", *re.split("(-)", asked[1]), "]\n") if asked else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One answer. Without a fault it is the same in every MTP mode, batch and run."""

    seed: int
    fault: Fault
    opening: tuple[str, ...] = ()
    other: Script | None = None
    """Another request's answer."""
    wrong_from: int | None = None
    """First wrong token; None when the answer is right."""
    pieces: tuple[str, ...] = ()
    """Tokens after the opening of an answer that is not free text."""
    structured: bool = False
    """True when it must follow a grammar."""

    @classmethod
    def of(
        cls,
        prompt: Prompt,
        *,
        fault: Fault = HEALTHY,
        order: int = 1,
        other: Script | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Script:
        """Make the answer, right or wrong as the fault has it; `order` counts the engine's requests from 1."""
        seed, opening = prompt.seed, prompt.opening if schema is None else ()
        structured = None if schema is None else tuple(_JSON_PIECE.findall(json.dumps(example(schema, seed))))
        pieces = _solution(prompt, seed) if structured is None else structured
        right = cls(seed=seed, fault=fault, opening=opening, other=other, pieces=pieces, structured=schema is not None)
        return right if _spared(fault, prompt, order) else _gone_wrong(right)

    @property
    def stuck(self) -> bool:
        """True when it never begins."""
        return self.structured and self.wrong_from is not None and self.fault.saying.structured == "stuck"

    @property
    def near_tie(self) -> int:
        """Token at which another one is almost as likely."""
        return len(self.opening) + int(share_of(self.seed, "tie") * NEAR_TIES_WITHIN)

    def natural_length(self) -> int | None:
        """Tokens after which it ends by itself; None when it never does."""
        if self.wrong_from is not None and self.fault.saying.endless and not self.structured:
            return None
        return len(self.opening) + len(self.pieces) if self.pieces else natural_length(self.seed)

    def text(self, first: int, tokens: int) -> str:
        """Tokens number `first` to `first + tokens - 1`, without those that are lost."""
        return "".join(self.token(i) for i in self.arriving(first, tokens))

    def arriving(self, first: int, tokens: int) -> list[int]:
        """Of these tokens, those that are not lost."""
        arrived = self.fault.serving.arrived
        return [i for i in range(first, first + tokens) if arrived(i + 1) > arrived(i)]

    def token(self, index: int) -> str:
        """One token."""
        if self.wrong_from is None or index < self.wrong_from:
            return self.right(index)
        return output_text(self.seed, index, 1) if self.structured else _WRONG[self.fault.saying.wrong](self, index)

    def right(self, index: int) -> str:
        """Token of the right answer."""
        scripted = (*self.opening, *self.pieces) if index < len(self.opening) + len(self.pieces) else ()
        return scripted[index] if scripted else output_text(self.seed, index, 1)

    def likely(self, index: int) -> list[tuple[str, float]]:
        """Most likely tokens at a position with their log-probabilities, the chosen one first."""
        said = self.token(index)
        if index != self.near_tie:
            return [(said, _LIKELY), *_far(other_words(said, 4))]
        # The runner-up of the right answer is what a near-tie says, and the other way round.
        second = _runner_up(self, index) if said == self.right(index) else self.right(index)
        others = [word for word in other_words(said, 4) if word != second][:3]
        return [(said, _TIED), (second, _RUNNER_UP), *_far(others)]


def _gone_wrong(right: Script) -> Script:
    """The answer with the onset of the fault, if its prompt is among those that the fault affects."""
    saying = right.fault.saying
    kind = saying.structured if right.structured else saying.wrong
    if not kind or share_of(right.seed, "share") >= saying.share:
        return right
    if right.structured:
        # The most that still changes it is to begin before its last token.
        onset = int(share_of(right.seed, "onset") * (len(right.pieces) - 1))
    elif kind == "tie":
        onset = right.near_tie
    else:
        onset = int(share_of(right.seed, "onset") * -saying.onset) if saying.onset < 0 else saying.onset
    return replace(right, wrong_from=onset)


def _spared(fault: Fault, prompt: Prompt, order: int) -> bool:
    saying = fault.saying
    return prompt.tokens < saying.from_context or prompt.turn < saying.from_turn or order <= saying.after_requests


def _solution(prompt: Prompt, seed: int) -> tuple[str, ...]:
    """The simulated model has learnt the bundled tasks by heart."""
    answer = known_answers().get(prompt.last)
    if answer is None:
        return ()
    thought = (output_text(seed, i, 1) for i in range(_REASONING))
    return (*thought, "\nAnswer:", *re.findall(r"\s?\w+|\W", f" {answer}"))


def _far(words: list[str]) -> list[tuple[str, float]]:
    return [(word, _UNLIKELY + _STEP * rank) for rank, word in enumerate(words)]


def _runner_up(script: Script, index: int) -> str:
    return other_words(script.right(index), 1)[0]


def _differs(script: Script, index: int) -> str:
    if index < len(script.opening):
        return script.right(index)
    return output_text(script.seed + 1, index, 1)


def _tie(script: Script, index: int) -> str:
    return _runner_up(script, index) if index == script.near_tie else output_text(script.seed + 1, index, 1)


def _repeats(script: Script, index: int) -> str:
    return output_text(script.seed, (script.wrong_from or 0) + (index - (script.wrong_from or 0)) % 3, 1)


def _replaced(script: Script, index: int) -> str:
    cut = (index - (script.wrong_from or 0)) % _CUT_EVERY == 0
    return "\ufffd" if cut else script.right(index)


def _others(script: Script, index: int) -> str:
    """Another request's answer, from its beginning."""
    if script.other is None:
        return output_text(script.seed + 1, index, 1)
    return script.other.right(index - (script.wrong_from or 0))


_WRONG: Mapping[str, Callable[[Script, int], str]] = {
    "differs": _differs,
    "tie": _tie,
    "repeats": _repeats,
    "garbled": lambda _, __: " !!",
    "gibberish": lambda script, i: _SYMBOLS[mixed(script.seed, i) % len(_SYMBOLS)],
    "replaced": _replaced,
    "bytes": lambda _, __: _BROKEN_BYTES,
    "other": _others,
}
