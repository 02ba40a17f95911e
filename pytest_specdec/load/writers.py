"""Prompts that read like text and are exactly as long as the server counts them, without a tokenizer.

Tokenizers split text at word boundaries before they merge, so the cost of a sentence does not depend on its
neighbours as long as it is always joined the same way. Asking the server how much longer a prompt becomes with each
sentence gives every cost; prompts are then put together to length. Each begins with its own number, digit by digit, so
that no prefix cache knows it.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import msgspec
import numpy as np

from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.traffic import PlannedRequest
from pytest_specdec.errors import EngineError, InvalidInputError
from pytest_specdec.load.target import Target
from pytest_specdec.load.transport import Transport
from pytest_specdec.workload.prompt_file import Message, PromptFile, user_says
from pytest_specdec.workload.regime import Regime
from pytest_specdec.workload.schedule import PROMPTS_PER_POINT
from pytest_specdec.workload.sentences import CLOSING, FILLER, SENTENCES

_TAG_DIGITS = 10
_DIGEST_DIGITS = 12
_REPEATS = 8
_PROBES_IN_FLIGHT = 8
_PROBE_S = 60.0
_PROBE_TOKENS = 16
"""More than one verify step yields, so that there are several chunks."""
_COMPLETION_TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')
_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer(ABC):
    """Writes the requests of one workload."""

    target: Target
    workload: Workload

    @property
    @abstractmethod
    def wording(self) -> str:
        """Digest of the pieces of the prompts: where it is equal, one request of one workload is one text."""

    @abstractmethod
    def messages(self, request: PlannedRequest) -> tuple[Message, ...]:
        """Messages of a request, always the same for the same workload and request."""

    def body(self, request: PlannedRequest) -> bytes:
        """Write the whole request, serialised."""
        return _body(self.target, self.workload, self.messages(request), max_tokens=request.osl, measured=True)

    def retargeted(self, target: Target) -> Self:
        """The same prompts for another server."""
        return replace(self, target=target)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListWriter(Writer):
    """Sends the prompts of a file or of a regime of text, unchanged."""

    prompts: PromptFile | Regime

    @property
    def wording(self) -> str:
        """Digest of the prompts."""
        return self.prompts.digest

    def messages(self, request: PlannedRequest) -> tuple[Message, ...]:
        """Messages of the prompt at the request's position."""
        stream, position = divmod(request.prompt, PROMPTS_PER_POINT)
        return self.prompts.at(position, seed=self.workload.seed, stream=stream).messages


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptWriter(Writer):
    """Writes prompts of an exact length for one server's tokenizer."""

    frame: int
    """Tokens of a prompt without any sentence: template, tag and closing."""
    costs: Mapping[str, int]
    """Tokens of each sentence, its joining space included."""

    @classmethod
    async def calibrate(cls, target: Target, workload: Workload) -> PromptWriter:
        """Count the tokens of each sentence on the server.

        Raises:
            EngineError: the server fails the probes, or its counts contradict each other.
        """
        async with Transport(target, no_progress_s=_PROBE_S) as transport:
            gate = asyncio.Semaphore(_PROBES_IN_FLIGHT)
            count = [0]

            async def probe(sentences: Sequence[str]) -> int:
                count[0] += 1
                async with gate:
                    return await _count(transport, target, workload, _assemble(count[0], sentences))

            frame = await probe([])
            texts = (*SENTENCES, FILLER)
            try:
                async with asyncio.TaskGroup() as group:
                    totals = [group.create_task(probe([text] * _REPEATS)) for text in texts]
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None
            costs = {text: round((t.result() - frame) / _REPEATS) for text, t in zip(texts, totals, strict=True)}
            if min(costs.values()) < 1:
                raise EngineError(
                    "the server counts the same prompt tokens for a longer prompt: its usage cannot be trusted"
                )
            writer = cls(target=target, workload=workload, frame=frame, costs=costs)
            await writer._verify(transport)
        return writer

    @property
    def wording(self) -> str:
        """Digest of the sentences and their costs, which decide how many a prompt has."""
        pieces = msgspec.json.encode([self.frame, dict(self.costs), CLOSING])
        return hashlib.sha256(pieces).hexdigest()[:_DIGEST_DIGITS]

    def text(self, request: PlannedRequest) -> str:
        """Prompt of a request.

        Raises:
            InvalidInputError: the request is shorter than the template alone.
        """
        left = request.isl - self.frame
        if left < 0:
            raise InvalidInputError(
                f"an ISL of {request.isl} tokens is too short: the chat template and the prompt's frame alone cost "
                f"{self.frame}; the shortest sequence here is {math.ceil(self.frame / self.workload.shortest)}"
            )
        rng = np.random.default_rng([self.workload.seed, request.prompt])
        chosen: list[str] = []
        # The filler comes last in the calibration and only fills up.
        bank = list(self.costs)[:-1] or list(self.costs)
        longest = max(self.costs.values())
        while left > longest:
            # As many at once as fit for certain: the same numbers as one by one, and long prompts in no time.
            drawn = [bank[i] for i in rng.integers(len(bank), size=math.ceil((left - longest) / longest)).tolist()]
            chosen += drawn
            left -= sum(map(self.costs.__getitem__, drawn))
        return _assemble(request.prompt, chosen + self._fill(left))

    def messages(self, request: PlannedRequest) -> tuple[Message, ...]:
        """The prompt as the user's only message."""
        return user_says(self.text(request))

    def _fill(self, left: int) -> list[str]:
        """Sentences whose cost comes closest to the rest: the longest that fits, again and again."""
        ordered = sorted(self.costs, key=lambda text: (-self.costs[text], text))
        chosen = []
        for text in ordered:
            while self.costs[text] <= left:
                chosen.append(text)
                left -= self.costs[text]
        return chosen

    async def _verify(self, transport: Transport) -> None:
        wanted = max(self.workload.isl, self.frame)
        request = PlannedRequest(index=0, prompt=0, isl=wanted, osl=1)
        counted = await _count(transport, self.target, self.workload, self.text(request))
        if abs(counted - wanted) > max(self.costs[FILLER], _TOLERANCE * wanted):
            raise EngineError(
                f"a prompt made for {wanted} tokens is counted as {counted} by the server: its tokenizer merges across "
                "sentences, so the requested ISL cannot be met"
            )


async def supports_continuous_usage(target: Target) -> bool:
    """Probe for running token counts on the chunks of a stream.

    A count on the first chunk (0) and on the last, or two at the end, are not enough.

    Raises:
        EngineError: the server does not stream.
    """
    workload = Workload(isl=64, osl=_PROBE_TOKENS)
    counting, asked = replace(target, continuous_usage=True), user_says("Count to ten.")
    body = _body(counting, workload, asked, max_tokens=_PROBE_TOKENS, measured=True)
    async with Transport(target, no_progress_s=_PROBE_S) as transport:
        answer = await transport.fetch(body)
    content = answer.body  # before it is parsed
    if answer.error and "HTTP 4" in answer.error and target.continuous_usage:
        return False  # a server that refuses unknown fields; the smoke request has shown that it answers
    error = answer.error or answer.stream().error
    if error:
        raise EngineError(f"{target.model}: a streaming request failed: {error}")
    return len({int(count) for count in _COMPLETION_TOKENS.findall(content)} - {0}) > 1


def _assemble(number: int, sentences: Sequence[str]) -> str:
    tag = " ".join(f"{number:0{_TAG_DIGITS}d}")
    return " ".join([f"Case {tag}.", *sentences, CLOSING])


def _body(target: Target, workload: Workload, messages: Sequence[Message], *, max_tokens: int, measured: bool) -> bytes:
    # Temperature is always sent: an engine's own default may sample (vLLM takes 1.0).
    request: dict[str, object] = {
        "model": target.model,
        "messages": messages,
        "max_tokens": max_tokens,
        "temperature": workload.temperature,
        "stream": measured,
    }
    if measured:
        counting = {"continuous_usage_stats": True} if target.continuous_usage else {}
        request["stream_options"] = {"include_usage": True, **counting}
        if workload.ignore_eos:
            request["ignore_eos"] = True
        request.update(target.fields)
    if workload.thinking is not None:
        request["chat_template_kwargs"] = {"enable_thinking": workload.thinking}
    return msgspec.json.encode(request)


async def _count(transport: Transport, target: Target, workload: Workload, text: str) -> int:
    """Tokens of a prompt, counted by the server."""
    body = _body(target, workload, user_says(text), max_tokens=1, measured=False)
    answer = await transport.fetch(body)
    if answer.error:
        raise EngineError(f"{target.model}: a calibration request failed: {answer.error}")
    try:
        usage = msgspec.json.decode(answer.body)["usage"]
        return int(usage["prompt_tokens"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise EngineError(
            f"{target.model}: the answer has no usage.prompt_tokens, and only the server's counts are used"
        ) from error
