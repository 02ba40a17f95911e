"""Answers put together for tests, with log-probabilities as an engine gives them."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_specdec.outputs.answer import Alternative, Answer, Token

LIKELY = -0.1


def token(text: str, *others: tuple[str, float], logprob: float = LIKELY) -> Token:
    """A token and what else was considered."""
    top = (Alternative(text, logprob), *(Alternative(other, value) for other, value in others))
    return Token(text=text, logprob=logprob, raw=text.encode(), top=top)


def answer(words: Sequence[str], *, runner_up: float = -0.3, finish: str = "stop") -> Answer:
    """Tokens whose runner-up, the word with a prime, is `runner_up`; further alternatives are far behind."""
    tokens = tuple(token(word, (f"{word}'", runner_up), (f"{word}?", -9.0)) for word in words)
    return Answer(text="".join(words), tokens=tokens, finish_reason=finish, completion_tokens=len(words))


def plain(text: str, *, finish: str = "stop") -> Answer:
    """An answer of an engine that gives no log-probabilities."""
    return Answer(text=text, finish_reason=finish)
