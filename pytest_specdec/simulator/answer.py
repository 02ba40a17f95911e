"""Bytes of an answer: chunks, usage and errors as OpenAI-compatible servers shape them."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pytest_specdec.simulator.script import Script


@dataclass(slots=True, kw_only=True)
class Job:
    """One request between the core and its connection."""

    key: int
    script: Script
    prompt_tokens: int
    max_tokens: int
    finish_reason: str
    emissions: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    """Tokens of each event; 0 when the engine has died."""


class AnswerForm:
    """Encoder of one answer."""

    def __init__(  # noqa: PLR0913 - an answer is shaped by all of these
        self,
        job: Job,
        *,
        model: str,
        fingerprint: str,
        chat: bool,
        options: dict[str, bool],
        top_logprobs: int | None = None,
    ) -> None:
        self.job = job
        self.chat = chat
        self.top_logprobs = top_logprobs
        """Alternatives beside each token of an answer that is not streamed; None for no log-probabilities."""
        self.usage = bool(options.get("include_usage"))
        self.continuous = self.usage and bool(options.get("continuous_usage_stats"))
        kind = "chat.completion" if chat else "text_completion"
        self.head: dict[str, Any] = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{job.key:016x}",
            "object": kind,
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": fingerprint,
        }
        stream = {**self.head, "object": f"{kind}.chunk" if chat else kind}
        self.prefix = msgspec.json.encode(stream)[:-1].decode() + ',"choices":['

    def role(self) -> bytes:
        """Role-only chunk that comes with a chat's first token."""
        if not self.chat:
            return b""
        choice = '{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}'
        return self._event(choice, 0 if self.continuous else None)

    def chunk(self, produced: int, tokens: int) -> bytes:
        """Chunk of one step; empty when all of its tokens are lost, unless the answer ends with them."""
        text = json.dumps(self.job.script.text(produced, tokens), ensure_ascii=False)
        last = produced + tokens >= self.job.max_tokens
        if text == '""' and not last:
            return b""
        reason = f'"{self.job.finish_reason}"' if last else "null"
        said = f'"delta":{{"content":{text}}}' if self.chat else f'"text":{text}'
        choice = f'{{"index":0,{said},"logprobs":null,"finish_reason":{reason}}}'
        return self._event(choice, produced + tokens if self.continuous else None)

    def end(self, details: dict[str, Any]) -> bytes:
        """Details of the request, final usage when requested, and the end mark."""
        extra = b"" if not details else f"data: {self.prefix}],{msgspec.json.encode(details).decode()[1:]}\n\n".encode()
        usage = self._event("", self.job.max_tokens) if self.usage else b""
        return extra + usage + b"data: [DONE]\n\n"

    def broken(self, message: str = "simulated failure") -> bytes:
        """An error event in the middle of a stream."""
        error = {"message": message, "type": "InternalServerError", "code": 500}
        return b"data: " + msgspec.json.encode({"error": error}) + b"\n\n"

    def whole(self) -> bytes:
        """A non-streamed answer."""
        text = self.job.script.text(0, self.job.max_tokens)
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        logprobs = {"content": self._likely()} if self.chat and self.top_logprobs is not None else None
        choice = {"index": 0, **said, "logprobs": logprobs, "finish_reason": self.job.finish_reason}
        answer = {**self.head, "choices": [choice], "usage": self._counts(self.job.max_tokens)}
        return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogateescape")

    def _likely(self) -> list[dict[str, Any]]:
        """Each token with the most likely ones in its place."""
        script = self.job.script
        found = []
        for index in script.arriving(0, self.job.max_tokens):
            options = [_option(token, logprob) for token, logprob in script.likely(index)]
            found.append({**options[0], "top_logprobs": options[: self.top_logprobs]})
        return found

    def _event(self, choice: str, counted: int | None) -> bytes:
        usage = "" if counted is None else f',"usage":{msgspec.json.encode(self._counts(counted)).decode()}'
        return f"data: {self.prefix}{choice}]{usage}}}\n\n".encode(errors="surrogateescape")

    def _counts(self, produced: int) -> dict[str, int]:
        prompt, counted = self.job.prompt_tokens, self.job.script.fault.serving.counted(produced)
        return {"prompt_tokens": prompt, "total_tokens": prompt + counted, "completion_tokens": counted}


def _option(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode(errors="surrogateescape"))}
