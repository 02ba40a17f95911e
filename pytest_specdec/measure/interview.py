"""Greedy answers of an engine to fixed questions, through the public API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import msgspec

from pytest_specdec.errors import EngineError
from pytest_specdec.load.response import Answer as Received
from pytest_specdec.load.target import Target
from pytest_specdec.load.transport import Transport
from pytest_specdec.outputs.answer import Answer, read_answer
from pytest_specdec.outputs.questions import Questions, make_questions
from pytest_specdec.workload.categories import TextPrompt

T = TypeVar("T")
TEXT_TOKENS = 96
TASK_TOKENS = 256
LONG_TOKENS = 128
STRUCTURE_TOKENS = 1024
"""Enough for any of the objects: a cut one is invalid."""
CONCURRENCY = 8
LEAST_PATIENCE_S = 10.0
PATIENCE = 10.0
"""Longest time per token of an answer with a grammar, as a multiple of the mean without."""
MOST_LATE = 8
"""Missing answers from which no more are asked for: they decide the test."""
_NO_PROGRESS_S = 120.0
_LOGPROBS = {"logprobs": True, "top_logprobs": 5}


class Fetcher(Protocol):
    """Source of answers."""

    async def fetch(self, body: bytes) -> Received:
        """Send a request and wait for its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Answers of one engine, in the order of the questions."""

    texts: tuple[Answer, ...]
    again: tuple[Answer, ...]
    """The same once more in another batch, as the control; Off only."""
    tasks: tuple[Answer, ...]
    conversations: tuple[tuple[Answer, ...], ...]
    """Turn by turn; a refused one, and those after it, are missing."""
    long: tuple[Answer, ...]
    """Empty where the engine refuses prompts of that length."""
    structured: tuple[Answer | None, ...]
    """None: not asked, as too many before had no answer."""
    refused: str = ""
    """The engine's error for refused long prompts or later turns; empty where it took them all."""


async def ask_all(target: Target, *, draft_tokens: int, thinking: bool | None) -> Answers:
    """Ask everything.

    Raises:
        EngineError: a request failed, or an answer is no chat completion.
    """
    async with Transport(target, no_progress_s=_NO_PROGRESS_S) as transport:
        return await ask_through(transport, target.model, draft_tokens=draft_tokens, thinking=thinking)


async def ask_through(  # noqa: PLR0913 - a test chooses the questions and the patience
    fetcher: Fetcher,
    model: str,
    *,
    draft_tokens: int,
    thinking: bool | None = None,
    questions: Questions | None = None,
    patience_s: float | None = None,
) -> Answers:
    """Ask everything through an open connection.

    Off gets its texts twice, the second time with as many requests at a time as K + 1 rows per request make of the
    first: a control that repeats the same batch shows no divergence at all. Questions that may hang come last.

    Raises:
        EngineError: a request failed, or an answer is no chat completion.
    """
    asked = questions or make_questions()
    common: dict[str, object] = {"model": model, "temperature": 0, "stream": False}
    if thinking is not None:
        common["chat_template_kwargs"] = {"enable_thinking": thinking}
    asker = _Asker(fetcher=fetcher, common=common)
    await asker.try_logprobs()
    texts = [asker.body(_user(prompt.text), TEXT_TOKENS, **asker.logprobs) for prompt in asked.texts]
    began = time.monotonic()
    answered = await asker.ask(texts, CONCURRENCY)
    token_s = (time.monotonic() - began) * CONCURRENCY / len(texts) / TEXT_TOKENS
    return Answers(
        texts=answered,
        again=await asker.ask(texts, CONCURRENCY * 4) if not draft_tokens else (),
        tasks=await asker.ask([asker.body(_user(task.prompt), TASK_TOKENS) for task in asked.tasks], CONCURRENCY),
        conversations=await asker.converse(asked.conversations),
        long=await asker.ask_long([asker.body(_user(prompt.text), LONG_TOKENS) for prompt in asked.long]),
        structured=await asker.ask_patiently(
            [
                asker.body(_user(task.prompt), STRUCTURE_TOKENS, response_format=task.response_format)
                for task in asked.structures
            ],
            patience_s or min(max(LEAST_PATIENCE_S, PATIENCE * STRUCTURE_TOKENS * token_s), _NO_PROGRESS_S),
        ),
        refused=asker.refused,
    )


class _RefusedError(EngineError):
    """The engine refuses a request: it is too long, or has unknown fields."""


@dataclass(slots=True, kw_only=True)
class _Asker:
    fetcher: Fetcher
    common: Mapping[str, object]
    logprobs: dict[str, object] = field(default_factory=dict)
    """Fields that ask for log-probabilities, where the engine knows them."""
    refused: str = ""

    def body(self, messages: Sequence[Mapping[str, str]], max_tokens: int, **more: object) -> bytes:
        return msgspec.json.encode({**self.common, "messages": messages, "max_tokens": max_tokens, **more})

    async def try_logprobs(self) -> None:
        """Ask for them once: an engine without them refuses."""
        answer = await self.fetcher.fetch(self.body(_user("Say yes."), 2, **_LOGPROBS))
        self.logprobs = {} if answer.error else dict(_LOGPROBS)

    async def one(self, body: bytes) -> Answer:
        answer = await self.fetcher.fetch(body)
        if answer.error:
            error = _RefusedError if answer.error.startswith("HTTP 4") else EngineError
            raise error(f"a question could not be asked: {answer.error}")
        return read_answer(answer.body)

    async def ask(self, bodies: Sequence[bytes], concurrency: int) -> tuple[Answer, ...]:
        gate = asyncio.Semaphore(concurrency)

        async def one(body: bytes) -> Answer:
            async with gate:
                return await self.one(body)

        return await _together(map(one, bodies))

    async def ask_long(self, bodies: Sequence[bytes]) -> tuple[Answer, ...]:
        """Ask long prompts, which an engine may refuse."""
        try:
            return await self.ask(bodies, CONCURRENCY)
        except _RefusedError as error:
            self.refused = self.refused or str(error)
            return ()

    async def converse(self, conversations: Sequence[Sequence[TextPrompt]]) -> tuple[tuple[Answer, ...], ...]:
        """Ask the turns of each conversation one after the other, all conversations at once."""

        async def one(turns: Sequence[TextPrompt]) -> tuple[Answer, ...]:
            messages: list[dict[str, str]] = []
            answers: list[Answer] = []
            for turn in turns:
                messages += _user(turn.text)
                try:
                    answers.append(await self.one(self.body(messages, TEXT_TOKENS)))
                except _RefusedError as error:
                    self.refused = self.refused or str(error)
                    break
                messages.append({"role": "assistant", "content": answers[-1].text})
            return tuple(answers)

        return await _together(map(one, conversations))

    async def ask_patiently(self, bodies: Sequence[bytes], patience_s: float) -> tuple[Answer | None, ...]:
        """Ask questions that may hang, a handful at a time; after MOST_LATE missing answers, ask no more."""

        async def one(body: bytes) -> Answer:
            try:
                async with asyncio.timeout(patience_s):
                    return await self.one(body)
            except TimeoutError:
                return Answer(text="", finish_reason="", late=True)

        found: list[Answer | None] = []
        for begin in range(0, len(bodies), CONCURRENCY):
            handful = bodies[begin : begin + CONCURRENCY]
            if sum(answer is not None and answer.late for answer in found) >= MOST_LATE:
                found += [None] * len(handful)
                continue
            found += await _together(map(one, handful))
        return tuple(found)


async def _together(asking: Iterable[Coroutine[Any, Any, T]]) -> tuple[T, ...]:
    """Await all at once; the first error cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in asking]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return tuple(task.result() for task in tasks)


def _user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]
