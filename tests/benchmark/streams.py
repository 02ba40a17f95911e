"""Raw streams in, the figures of a run out: what the clients here share. Parsed after the run, never during it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

_PATH = "/v1/chat/completions"


@dataclass(slots=True)
class Answer:
    """One answer as it came: when it was asked for, and every read with its arrival."""

    sent_s: float
    reads: list[tuple[float, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a client says of its run."""

    ttft_mean_ms: float
    ttft_p50_ms: float
    tpot_mean_ms: float
    tpot_p50_ms: float
    output_tok_s: float
    chunks: int
    requests: int
    failed: int

    def write(self, path: Path) -> None:
        """Write them as JSON."""
        path.write_text(json.dumps(asdict(self)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a plain HTTP server listens."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """Read `http://host:port`."""
        parts = urlsplit(url)
        return cls(host=parts.hostname or "127.0.0.1", port=parts.port or 80)


def request_body(isl: int, osl: int, *, continuous_usage: bool = False) -> bytes:
    """A streaming chat request: the known-timing server counts a word as a token."""
    return msgspec.json.encode(
        {
            "model": "known-timing",
            "messages": [{"role": "user", "content": " ".join(["word"] * isl)}],
            "max_tokens": osl,
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": continuous_usage},
        }
    )


def http_request(endpoint: Endpoint, body: bytes) -> bytes:
    """The whole request as it goes over the wire."""
    head = (
        f"POST {_PATH} HTTP/1.1\r\nHost: {endpoint.host}:{endpoint.port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta


class _Usage(msgspec.Struct):
    completion_tokens: int


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Event).decode


@dataclass(slots=True)
class Stream:
    """Arrivals of the chunks that carried tokens, and how many tokens the server counted."""

    sent_s: float
    arrivals: list[float] = field(default_factory=list)
    tokens: int = 0


def parse(answer: Answer) -> Stream:
    """Parse one answer, with or without HTTP's chunk framing, whose lines no event begins like.

    An event belongs to the read that brought its end.
    """
    stream = Stream(answer.sent_s)
    rest = b""
    for arrival_s, data in answer.reads:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if not line.startswith(b"data: {"):
                continue
            event = _decode(line[6:])
            if event.usage is not None:
                stream.tokens = event.usage.completion_tokens
            if event.choices and event.choices[0].delta.content:
                stream.arrivals.append(arrival_s)
    return stream


def figures(streams: Sequence[Stream], requests: int) -> Figures:
    """The usual figures; TPOT is of the request, first chunk to last, over its tokens but the first."""
    good = [stream for stream in streams if stream.arrivals and stream.tokens]
    ttft = [1e3 * (s.arrivals[0] - s.sent_s) for s in good]
    tpot = [1e3 * (s.arrivals[-1] - s.arrivals[0]) / (s.tokens - 1) for s in good if s.tokens > 1]
    duration_s = max(s.arrivals[-1] for s in good) - min(s.sent_s for s in good)
    return Figures(
        ttft_mean_ms=statistics.fmean(ttft),
        ttft_p50_ms=statistics.median(ttft),
        tpot_mean_ms=statistics.fmean(tpot) if tpot else 0.0,
        tpot_p50_ms=statistics.median(tpot) if tpot else 0.0,
        output_tok_s=sum(s.tokens for s in good) / duration_s,
        chunks=sum(len(s.arrivals) for s in good),
        requests=len(good),
        failed=requests - len(good),
    )
