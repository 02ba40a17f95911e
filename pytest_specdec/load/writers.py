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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec
import numpy as np

from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.traffic import PlannedRequest
from pytest_specdec.errors import EngineError, InvalidInputError
from pytest_specdec.load.target import Target
from pytest_specdec.load.transport import Transport
from pytest_specdec.workload.prompt_file import Message, PromptFile
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


class Writer(Protocol):
    """Makes the bodies of one workload's requests."""

    def body(self, request: PlannedRequest) -> bytes:
        """The whole request, serialised; always the same for the same request."""

    def retargeted(self, target: Target) -> Writer:
        """The same prompts for another server."""

    @property
    def wording(self) -> str:
        """Digest of what prompts are put together from: where it is equal, one request of one workload is one text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWriter:
    """Sends the prompts of a file, as they stand there."""

    target: Target
    workload: Workload
    file: PromptFile

    def retargeted(self, target: Target) -> FileWriter:
        """The same prompts for another server."""
        return replace(self, target=target)

    @property
    def wording(self) -> str:
        """The file's digest."""
        return self.file.digest

    def body(self, request: PlannedRequest) -> bytes:
        """The whole request, serialised."""
        stream, position = divmod(request.prompt, PROMPTS_PER_POINT)
        messages = self.file.at(position, seed=self.workload.seed, stream=stream).messages
        return _body(self.target, self.workload, messages, max_tokens=request.osl, measured=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWriter:
    """Sends requests of a category of text, which are about as long as its size says."""

    target: Target
    workload: Workload
    regime: Regime

    def retargeted(self, target: Target) -> TextWriter:
        """The same prompts for another server."""
        return replace(self, target=target)

    @property
    def wording(self) -> str:
        """The regime's digest."""
        return self.regime.wording

    def body(self, request: PlannedRequest) -> bytes:
        """The whole request, serialised."""
        stream, position = divmod(request.prompt, PROMPTS_PER_POINT)
        prompt = self.regime.prompt(position, seed=self.workload.seed, stream=stream)
        return _body(self.target, self.workload, _asked(prompt.text), max_tokens=request.osl, measured=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptWriter:
    """Writes the prompts of one workload for one server's tokenizer."""

    target: Target
    workload: Workload
    frame: int
    """Tokens of a prompt without any sentence: template, tag and closing."""
    costs: Mapping[str, int]
    """Tokens of each sentence, its joining space included."""

    @classmethod
    async def calibrate(cls, target: Target, workload: Workload) -> PromptWriter:
        """Learn from the server what a sentence costs.

        Raises:
            EngineError: the server fails the probes, or does not count as they say.
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
                    "the server counts the same prompt tokens for a longer prompt: usage is not to be trusted"
                )
            writer = cls(target=target, workload=workload, frame=frame, costs=costs)
            await writer._verify(transport)
        return writer

    def retargeted(self, target: Target) -> PromptWriter:
        """The same prompts for another server."""
        return replace(self, target=target)

    @property
    def wording(self) -> str:
        """Digest of the sentences and what the server counts for each, which decides how many a prompt has."""
        pieces = msgspec.json.encode([self.frame, dict(self.costs), CLOSING])
        return hashlib.sha256(pieces).hexdigest()[:_DIGEST_DIGITS]

    def text(self, request: PlannedRequest) -> str:
        """The prompt of a request: always the same for the same workload and request.

        Raises:
            InvalidInputError: the request asks for less than the template alone costs.
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

    def body(self, request: PlannedRequest) -> bytes:
        """The whole request, serialised."""
        return _body(self.target, self.workload, _asked(self.text(request)), max_tokens=request.osl, measured=True)

    def _fill(self, left: int) -> list[str]:
        """Sentences that cost what is left, as nearly as they can: the longest that fits, again and again."""
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
    """Whether the server puts running token counts on the chunks of a stream.

    One that counts on the first chunk (none yet) and on the last, or twice at the end, does not.

    Raises:
        EngineError: it does not stream at all.
    """
    workload = Workload(isl=64, osl=_PROBE_TOKENS)
    asked = _asked("Count to ten.")
    body = _body(target.with_continuous_usage(True), workload, asked, max_tokens=_PROBE_TOKENS, measured=True)
    async with Transport(target, no_progress_s=_PROBE_S) as transport:
        answer = await transport.fetch(body)
    content = answer.body  # before it is parsed
    if answer.error and "HTTP 4" in answer.error and target.continuous_usage:
        return False  # a server that refuses unknown fields; the smoke request has shown that it answers
    error = answer.error or answer.stream().error
    if error:
        raise EngineError(f"{target.model}: a streaming request failed: {error}")
    return len({int(count) for count in _COMPLETION_TOKENS.findall(content)} - {0}) > 1


def _asked(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


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
    """Ask how many tokens the server makes of a prompt."""
    body = _body(target, workload, _asked(text), max_tokens=1, measured=False)
    answer = await transport.fetch(body)
    if answer.error:
        raise EngineError(f"{target.model}: a calibration request failed: {answer.error}")
    try:
        usage = msgspec.json.decode(answer.body)["usage"]
        return int(usage["prompt_tokens"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise EngineError(
            f"{target.model}: the answer has no usage.prompt_tokens, and tokens are only ever counted by the server"
        ) from error
