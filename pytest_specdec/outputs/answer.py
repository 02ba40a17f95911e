"""One greedy answer, and where and how another one leaves it.

Two correct runs of one model need not agree: another batch, and the verification of drafts is one, rounds differently,
and where two tokens are almost equally likely either may win; everything after that differs. Such a near-tie is no
fault. A token that the model itself held to be clearly less likely is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from pytest_specdec.errors import EngineError

NEAR_TIE_NATS = 0.5
"""Largest difference of log-probabilities that rounding is believed to turn over."""

_QUOTED = 40
_REPLACEMENT = "\ufffd"
# Engines spell the end of an answer in their own ways, or not at all.
_END = re.compile("<[|\uff5c].*[|\uff5c]>|</s>|<eos>|<end_of_turn>|")


class Alternative(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token that the model considered."""

    text: str
    logprob: float
    raw: bytes | None = None


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token of the answer with what the engine tells of it."""

    text: str
    logprob: float | None = None
    raw: bytes | None = None
    """Its bytes; a token may be a part of a character."""
    top: tuple[Alternative, ...] = ()
    """The most likely tokens at this position, its own among them."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer as the client received it."""

    text: str
    reasoning: str = ""
    """Reasoning before the text."""
    tokens: tuple[Token, ...] = ()
    """Of reasoning and text; empty where the engine gives no log-probabilities."""
    finish_reason: str = "stop"
    completion_tokens: int | None = None
    valid_utf8: bool = True
    """False where bytes of the response were no UTF-8 and are replaced in the text."""
    late: bool = False
    """The request timed out: the engine hangs on it."""

    @property
    def spoken(self) -> str:
        """Reasoning and text."""
        return self.reasoning + self.text

    @property
    def cut(self) -> bool:
        """True where the answer hit max_tokens."""
        return self.finish_reason == "length"


class Fork(StrEnum):
    """Kind of the first difference."""

    NONE = "none"
    NEAR_TIE = "near-tie"
    HARD = "hard"
    UNKNOWN = "unknown"
    """The engine gave no log-probabilities there, or too few alternatives."""


class Divergence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common beginning of two answers and their first difference."""

    kind: Fork
    prefix_ratio: float
    """Length of the common beginning over the length of the longer answer; 1 when they are the same."""
    position: int | None = None
    """First that differs, from 0; None when none does."""
    unit: str = "tokens"
    """`tokens`, or `characters` where either answer has no tokens."""
    gap_nats: float | None = None
    """By how much less likely the reference held the candidate's token; at least that where it is not listed."""
    quote: str = ""
    """Both continuations."""


def divergence(reference: Answer, candidate: Answer, near_tie_nats: float = NEAR_TIE_NATS) -> Divergence:
    """Compare two answers to one prompt; the reference's log-probabilities tell a near-tie from a fault."""
    if reference.tokens and candidate.tokens:
        ours, theirs = [*map(_identity, reference.tokens)], [*map(_identity, candidate.tokens)]
        position = _common(ours, theirs)
        longest = max(len(ours), len(theirs))
        if position == longest:
            return Divergence(kind=Fork.NONE, prefix_ratio=1.0)
        kind, gap = _kind(reference, candidate, position, near_tie_nats)
        tokens = (answer.tokens[position : position + _QUOTED // 4] for answer in (reference, candidate))
        quote = _quote(*("".join(token.text for token in some) for some in tokens))
        return Divergence(
            kind=kind, prefix_ratio=position / longest, position=position, gap_nats=gap, quote=quote, unit="tokens"
        )
    said, heard = reference.spoken, candidate.spoken
    position = _common(said, heard)
    longest = max(len(said), len(heard))
    if position == longest:
        return Divergence(kind=Fork.NONE, prefix_ratio=1.0, unit="characters")
    quote = _quote(said[position : position + _QUOTED], heard[position : position + _QUOTED])
    return Divergence(
        kind=Fork.UNKNOWN, prefix_ratio=position / longest, position=position, unit="characters", quote=quote
    )


def read_answer(body: bytes) -> Answer:
    """Read the response of `/v1/chat/completions`, not streamed.

    Raises:
        EngineError: it is no chat completion.
    """
    valid, content = True, body
    try:
        content.decode()
    except UnicodeDecodeError:
        valid, content = False, body.decode(errors="replace").encode()
    try:
        completion = msgspec.json.decode(content, type=_Completion)
    except msgspec.MsgspecError as error:
        # Half a surrogate pair, escaped, is JSON to some and no text to anybody.
        try:
            completion = msgspec.convert(_without_surrogates(json.loads(content)), type=_Completion)
        except (ValueError, RecursionError):
            raise EngineError(f"an answer is no chat completion: {error}: {body[:120]!r}") from error
        valid = False
    if not completion.choices:
        raise EngineError(f"an answer has no choices: {body[:120]!r}")
    choice = completion.choices[0]
    return Answer(
        text=choice.message.content or "",
        reasoning=choice.message.reasoning or choice.message.reasoning_content or "",
        tokens=tuple(map(_token, (choice.logprobs and choice.logprobs.content) or ())),
        finish_reason=choice.finish_reason or "",
        completion_tokens=completion.usage.completion_tokens if completion.usage else None,
        valid_utf8=valid,
    )


def _kind(reference: Answer, candidate: Answer, position: int, near_tie_nats: float) -> tuple[Fork, float | None]:
    ended = position >= min(len(reference.tokens), len(candidate.tokens))
    shorter = reference if position >= len(reference.tokens) else candidate
    if ended and shorter.cut:
        return Fork.UNKNOWN, None  # it might have gone on in the same way
    # Where the reference has ended it tells nothing of its last choice; then the candidate is asked how likely the end
    # was that it did not choose.
    step = (candidate if shorter is reference and ended else reference).tokens[position]
    if ended:
        chosen = [option for option in step.top if _END.fullmatch(option.text)]
    else:
        other = _identity(candidate.tokens[position])
        chosen = [option for option in step.top if _identity(option) == other]
    if step.logprob is None or not step.top:
        return Fork.UNKNOWN, None
    if chosen:
        gap = step.logprob - chosen[0].logprob
        return (Fork.NEAR_TIE if gap <= near_tie_nats else Fork.HARD), gap
    # Not listed, so less likely than all that are: enough to know where the list reaches far enough down.
    gap = step.logprob - min(option.logprob for option in step.top)
    return (Fork.HARD if gap > near_tie_nats else Fork.UNKNOWN), gap


def _identity(token: Token | Alternative) -> bytes | str:
    # Parts of characters all have the replacement character as their text.
    return token.raw if token.raw is not None and _REPLACEMENT in token.text else token.text


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _quote(said: str, heard: str) -> str:
    return f"{said[:_QUOTED]!r} became {heard[:_QUOTED]!r}"


def _without_surrogates(value: object) -> object:
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case list():
            return [_without_surrogates(item) for item in value]
        case dict():
            return {str(_without_surrogates(key)): _without_surrogates(item) for key, item in value.items()}
    return value


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning: str | None = None
    """vLLM's name."""
    reasoning_content: str | None = None
    """SGLang's and TensorRT-LLM's."""


class _Option(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int] | None = None


class _Piece(_Option):
    top_logprobs: list[_Option] | None = None


class _Logprobs(msgspec.Struct):
    content: list[_Piece] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


def _raw(values: list[int] | None) -> bytes | None:
    return None if values is None else bytes(value & 0xFF for value in values)


def _token(piece: _Piece) -> Token:
    top = tuple(Alternative(option.token, option.logprob, _raw(option.bytes)) for option in piece.top_logprobs or ())
    return Token(text=piece.token, logprob=piece.logprob, raw=_raw(piece.bytes), top=top)
