"""Ask an engine what it says: greedy answers to fixed questions, as any user would get them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import msgspec

from pytest_specdec.errors import EngineError
from pytest_specdec.load.target import Target
from pytest_specdec.load.transport import Transport
from pytest_specdec.outputs.answer import Answer, read_answer
from pytest_specdec.outputs.structured import JsonTask, json_tasks
from pytest_specdec.outputs.tasks import Task, make_tasks
from pytest_specdec.prompts.text import Category, Entropy, TextPrompt, write_prompt

TEXTS = 100
"""Prompts whose answers are compared: fewer than about 50 can show nothing."""
TASKS = 60
TEXT_TOKENS = 96
TASK_TOKENS = 256
STRUCTURE_TOKENS = 1024
"""Room enough for any of the objects: a cut one would be called invalid."""
CONCURRENCY = 8
_NO_PROGRESS_S = 120.0
_LOGPROBS = {"logprobs": True, "top_logprobs": 5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one engine said, in the order of the questions."""

    texts: tuple[Answer, ...]
    again: tuple[Answer, ...]
    """The same once more in another batch: the control of how much the engine differs from itself; asked of Off."""
    tasks: tuple[Answer, ...]
    structured: tuple[Answer, ...]


@cache
def text_prompts() -> tuple[TextPrompt, ...]:
    """Prompts of every category and entropy; each asks for an answer that begins with its own tag."""
    kinds = list(product(Category, Entropy))
    return tuple(
        write_prompt(category, index, entropy=entropy, echo=True)
        for index in range(-(-TEXTS // len(kinds)))
        for category, entropy in kinds
    )[:TEXTS]


@cache
def tasks() -> tuple[Task, ...]:
    """Questions with one right answer."""
    return tuple(make_tasks(0, TASKS))


@cache
def structures() -> tuple[JsonTask, ...]:
    """Requests for JSON of a given shape."""
    return tuple(json_tasks(0, TASKS))


async def ask_all(target: Target, *, draft_tokens: int, thinking: bool | None) -> Answers:
    """Ask everything.

    Off is asked its texts twice, the second time with as many requests at a time as K + 1 rows per request make of the
    first: a control that repeats the same batch shows no divergence at all.

    Raises:
        EngineError: a request failed, or an answer is no chat completion.
    """
    common: dict[str, object] = {"model": target.model, "temperature": 0, "stream": False}
    if thinking is not None:
        common["chat_template_kwargs"] = {"enable_thinking": thinking}
    async with Transport(target, no_progress_s=_NO_PROGRESS_S) as transport:
        asker = _Asker(transport, common)
        await asker.try_logprobs()
        texts = [asker.body(prompt.text, TEXT_TOKENS, **asker.logprobs) for prompt in text_prompts()]
        shaped = [asker.body(t.prompt, STRUCTURE_TOKENS, response_format=t.response_format) for t in structures()]
        return Answers(
            texts=await asker.ask(texts, CONCURRENCY),
            again=await asker.ask(texts, CONCURRENCY * 4) if not draft_tokens else (),
            tasks=await asker.ask([asker.body(task.prompt, TASK_TOKENS) for task in tasks()], CONCURRENCY),
            structured=await asker.ask(shaped, CONCURRENCY),
        )


class _Asker:
    def __init__(self, transport: Transport, common: Mapping[str, object]) -> None:
        self.transport = transport
        self.common = common
        self.logprobs: dict[str, object] = {}
        """Fields that ask for log-probabilities, where the engine knows them."""

    def body(self, prompt: str, max_tokens: int, **more: object) -> bytes:
        messages = [{"role": "user", "content": prompt}]
        return msgspec.json.encode({**self.common, "messages": messages, "max_tokens": max_tokens, **more})

    async def try_logprobs(self) -> None:
        """Ask for them once: an engine that does not have them refuses."""
        answer = await self.transport.fetch(self.body("Say yes.", 2, **_LOGPROBS))
        self.logprobs = {} if answer.error else dict(_LOGPROBS)

    async def ask(self, bodies: Sequence[bytes], concurrency: int) -> tuple[Answer, ...]:
        gate = asyncio.Semaphore(concurrency)

        async def one(body: bytes) -> Answer:
            async with gate:
                answer = await self.transport.fetch(body)
            if answer.error:
                raise EngineError(f"a question could not be asked: {answer.error}")
            return read_answer(answer.body)

        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(one(body)) for body in bodies]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return tuple(task.result() for task in asked)
