"""Raw reads of a streamed answer -> arrival and size of each chunk that carried tokens, once the stream is over."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from pytest_specdec.domain.acceptance import SpecCounters
from pytest_specdec.engine.registry import ENGINES

Read = tuple[float, bytes]
"""Arrival in seconds and the bytes of one read."""

_CR, _LF = b"\r\n"
_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct, gc=False):
    text: str | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


@functools.cache
def _decoder(extensions: tuple[str, ...]) -> Callable[[bytes], _Chunk]:
    """Decoder of chunks with the fields in which engines report on a request."""
    fields = [(name, Any, None) for name in dict.fromkeys(extensions)]
    chunk = msgspec.defstruct("_ExtendedChunk", fields, bases=(_Chunk,), gc=False)
    return cast("Callable[[bytes], _Chunk]", msgspec.json.Decoder(chunk).decode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Content of one streamed answer."""

    chunk_s: NDArray[np.float64]
    """Arrival of each token-bearing chunk, shape (chunks,)."""
    chunk_tokens: NDArray[np.int64]
    """Tokens in each, shape (chunks,); all zero when the server never counted."""
    prompt_tokens: int | None
    completion_tokens: int | None
    """The server's last count; None if it gave none."""
    finish_reason: str | None
    error: str | None
    """The server's own error event, or the reason why the stream is invalid."""
    speculation: SpecCounters | None
    """The engine's own details of this request (`Adapter.request_details`)."""


class StreamReader:
    """Reads a stream piece by piece; an event arrives with the read that holds its last byte."""

    def __init__(self) -> None:
        self._details = [e.request_details for e in ENGINES.values() if e.request_details is not None]
        self._decode = _decoder(tuple(details.extension for details in self._details))
        self._rest = b""
        """Beginning of an incomplete event."""
        self._arrivals: list[float] = []
        self._counts: list[int | None] = []
        """The server's running count at each token-bearing chunk, None where there was none."""
        self._last_s = 0.0
        self._prompt_tokens: int | None = None
        self._completion_tokens: int | None = None
        self._finish_reason: str | None = None
        self._error: str | None = None
        self._speculation: SpecCounters | None = None

    @property
    def has_tokens(self) -> bool:
        """True once a chunk with tokens has come."""
        return bool(self._arrivals)

    def feed(self, arrival_s: float, data: bytes) -> None:
        """Take one read."""
        self._last_s = arrival_s
        if (
            not self._rest
            and data.startswith(b"data: {")
            and data.find(_LF) == len(data) - 2
            and data.endswith(b"\n\n")
            and _CR not in data
        ):
            self._chunk(arrival_s, data[6:-2])  # one event of one line and no more, as engines send them
            return
        buffer = self._rest + data if self._rest else data
        if b"\r" in buffer:
            start = 0
            for end in _EVENT_END.finditer(buffer):
                self._event(arrival_s, buffer[start : end.start()])
                start = end.end()
            # "\r\n\r" may be the beginning of "\r\n\r\n": the pattern waits for the rest by itself.
            self._rest = buffer[start:]
        else:
            *events, self._rest = buffer.split(b"\n\n")
            for event in events:
                self._event(arrival_s, event)

    def _event(self, arrival_s: float, raw: bytes) -> None:
        """Take one event; comments and fields other than data are passed over."""
        if raw.startswith(b"data: {") and _LF not in raw and _CR not in raw:
            self._chunk(arrival_s, raw[6:])
            return
        data = b"\n".join(line[5:].lstrip() for line in raw.splitlines() if line.startswith(b"data:"))
        if data and data != b"[DONE]":
            self._chunk(arrival_s, data)

    def _chunk(self, arrival_s: float, data: bytes) -> None:
        """Take the data of one event."""
        try:
            chunk = self._decode(data)
        except msgspec.MsgspecError:
            self._error = self._error or f"not an OpenAI chunk: {data[:80].decode(errors='replace')}"
            return
        if chunk.error is not None:
            message = chunk.error.get("message") if isinstance(chunk.error, dict) else chunk.error
            self._error = self._error or f"server error after HTTP 200: {str(message)[:200]}"
            return
        self._read_details(chunk)
        counted, bears = None, False
        usage, choices = chunk.usage, chunk.choices
        if usage is not None:
            counted = usage.completion_tokens
            if usage.prompt_tokens is not None:
                self._prompt_tokens = usage.prompt_tokens
            if counted is not None:
                before = self._completion_tokens or 0
                if counted < before:
                    self._error = self._error or f"usage went backwards: {counted} tokens after {before}"
                bears = counted > before
                self._completion_tokens = counted
        for choice in choices:
            self._finish_reason = choice.finish_reason or self._finish_reason
            bears = bears or _bears_tokens(choice)
        if bears and choices:
            self._arrivals.append(arrival_s)
            self._counts.append(counted)

    def _read_details(self, chunk: _Chunk) -> None:
        for details in self._details:
            extension = getattr(chunk, details.extension)
            if extension is not None:
                self._speculation = details.counters(extension) or self._speculation

    def stream(self, *, ended: bool) -> Stream:
        """Everything so far, with the tokens of each chunk; a stream that ended may lack its last empty line."""
        if ended and self._rest.strip():
            self._event(self._last_s, self._rest)
            self._rest = b""
        return Stream(
            chunk_s=np.array(self._arrivals, dtype=np.float64),
            chunk_tokens=self._tokens(),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            finish_reason=self._finish_reason,
            error=self._error,
            speculation=self._speculation,
        )

    def _tokens(self) -> NDArray[np.int64]:
        n, total = len(self._counts), self._completion_tokens or 0
        if n and None not in self._counts[:-1] and self._counts[0]:
            # Exact: running counts on every chunk. The last one may come in the final usage only.
            running = np.array([*(count or 0 for count in self._counts[:-1]), total], dtype=np.int64)
            return np.ediff1d(running, to_begin=running[:1])
        return spread_tokens(total, n)


def spread_tokens(total: int, chunks: int) -> NDArray[np.int64]:
    """Tokens of a stream whose chunks were not counted: one in the first, the rest evenly; shape (chunks,).

    The first chunk is the prefill's and holds one token in every engine; the sum is exact.
    """
    if chunks <= 1:
        return np.full(chunks, total, dtype=np.int64)
    steps = np.arange(chunks, dtype=np.float64) / (chunks - 1)
    running = np.rint(min(1, total) + steps * max(total - 1, 0)).astype(np.int64)
    return np.ediff1d(running, to_begin=running[:1])


def _bears_tokens(choice: _Choice) -> bool:
    delta = choice.delta
    if delta is None:
        return bool(choice.text)
    return bool(choice.text or delta.content or delta.reasoning or delta.reasoning_content or delta.tool_calls)
