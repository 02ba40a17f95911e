"""Request -> answer: its text, its length and its reason to finish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from pytest_specdec.simulator.answer import Job
from pytest_specdec.simulator.faults.fault import HEALTHY, Fault
from pytest_specdec.simulator.script import Prompt, Script
from pytest_specdec.simulator.text import TEMPLATE_TOKENS, count_tokens


class Ask(msgspec.Struct):
    """The fields of a request that the simulator understands; others are ignored."""

    model: str = ""
    prompt: str = ""
    messages: list[dict[str, Any]] = []
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool = False
    stream_options: dict[str, bool] | None = None
    ignore_eos: bool = False
    response_format: dict[str, Any] | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None

    @property
    def tokens(self) -> int:
        """Maximum tokens of the answer."""
        return self.max_completion_tokens or self.max_tokens or 16

    @property
    def schema(self) -> dict[str, Any] | None:
        """Schema that the answer must follow; None for free text."""
        wanted = self.response_format or {}
        if wanted.get("type") == "json_schema":
            return dict((wanted.get("json_schema") or {}).get("schema") or {})
        return {} if wanted.get("type") == "json_object" else None


@dataclass(slots=True, kw_only=True)
class Speaker:
    """Writer of the answers, one request after the other."""

    fault: Fault = HEALTHY
    stop_after: int | None = None
    """Every answer ends by itself after so many tokens."""
    said: int = 0
    """Number of requests so far."""
    _last: Script | None = None

    def job(self, ask: Ask, *, chat: bool = True) -> Job:
        """Answer to a request."""
        prompt = self._prompt(ask, chat=chat)
        self.said += 1
        other = self._last if self._last is not None and self._last.seed != prompt.seed else None
        script = Script.of(prompt, fault=self.fault, order=self.said, other=other, schema=ask.schema)
        self._last = replace(script, other=None)
        # A grammar ends where it ends, whatever the request says.
        natural = script.natural_length() if script.structured or not ask.ignore_eos else None
        ends = [end for end in (natural, self.stop_after) if end is not None]
        length = self.fault.serving.length(min([ask.tokens, *ends]))
        return Job(
            key=self.said,
            script=script,
            prompt_tokens=prompt.tokens,
            max_tokens=length,
            finish_reason="length" if length == ask.tokens else "stop",
        )

    def _prompt(self, ask: Ask, *, chat: bool) -> Prompt:
        contents = [_content(message) for message in ask.messages] if chat else [ask.prompt]
        text = "\n".join(contents)
        more = self.fault.serving.prompt_tokens + TEMPLATE_TOKENS if chat else 0
        turn = sum(message.get("role") == "assistant" for message in ask.messages)
        return Prompt(
            text=text, last=contents[-1] if contents else "", tokens=count_tokens(text) + more or 1, turn=turn
        )


def _content(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
