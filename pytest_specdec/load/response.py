"""The answer to one request: time-stamped reads, parsed on demand and not while they arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from pytest_specdec.load.sse import Stream, StreamReader


@dataclass(slots=True, kw_only=True)
class Answer:
    """Filled while the request runs, so that a cut one keeps its part. Times are those of `time.perf_counter`."""

    due_s: float = 0.0
    """Scheduled time of sending."""
    start_s: float = 0.0
    """Just before it was sent."""
    read_s: list[float] = field(default_factory=list)
    """Arrival of each piece of the body."""
    pieces: list[bytes] = field(default_factory=list)
    lag_s: list[float] = field(default_factory=list)
    """Wait of each read in the kernel for this process; empty where there are no kernel time stamps."""
    status: int = 0
    """HTTP status; 0 before there is one."""
    error: str | None = None
    done: bool = False
    on_piece: Callable[[], None] | None = None
    """Called after each piece."""
    _reader: StreamReader = field(default_factory=StreamReader)
    _parsed: int = 0

    def parse(self, most: int | None = None) -> int:
        """Parse new pieces, at most so many; return the number left. A refusal is no stream and stays unparsed."""
        if self.status != 200:
            return 0
        upto = len(self.pieces) if most is None else min(len(self.pieces), self._parsed + most)
        read_s, pieces, feed = self.read_s, self.pieces, self._reader.feed
        for index in range(self._parsed, upto):
            feed(read_s[index], pieces[index])
            pieces[index] = b""  # parsed: the text is of no more use
        self._parsed = upto
        return len(self.pieces) - upto

    @property
    def has_tokens(self) -> bool:
        """True once a chunk with tokens has come."""
        self.parse()
        return self._reader.has_tokens

    def stream(self) -> Stream:
        """Parse all pieces so far."""
        self.parse()
        return self._reader.stream(ended=self.done)

    @property
    def body(self) -> bytes:
        """The body of an answer that was never parsed as a stream."""
        return b"".join(self.pieces)


def refusal(status: int, body: bytes) -> str:
    """The server's message for a refused request, shortened."""
    try:
        content = msgspec.json.decode(body)
        error = content.get("error", content) if isinstance(content, dict) else content
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except msgspec.MsgspecError:
        text = body.decode(errors="replace")
    return f"HTTP {status}: {' '.join(text.split())[:200]}"
