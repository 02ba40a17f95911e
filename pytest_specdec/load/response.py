"""What came over the wire of one request: time-stamped reads, parsed when somebody asks and not while they arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from pytest_specdec.load.sse import Stream, StreamReader


@dataclass(slots=True, kw_only=True)
class Answer:
    """Filled while the request runs, so that a cut one keeps what it has. Times are those of `time.perf_counter`."""

    due_s: float = 0.0
    """When the load wanted it to be sent."""
    start_s: float = 0.0
    """Just before it was sent."""
    read_s: list[float] = field(default_factory=list)
    """Arrival of each piece of the body."""
    pieces: list[bytes] = field(default_factory=list)
    lag_s: list[float] = field(default_factory=list)
    """How long each read had waited in the kernel for this process; empty where no kernel time stamps can be had."""
    status: int = 0
    """HTTP status; 0 before there is one."""
    error: str | None = None
    done: bool = False
    on_piece: Callable[[], None] | None = None
    """Called after each piece while somebody wants to know."""
    _reader: StreamReader = field(default_factory=StreamReader)
    _parsed: int = 0

    def parse(self, most: int | None = None) -> int:
        """Parse what has come since, at most so many pieces; return how many are left.

        A refusal is no stream, and is left as it is.
        """
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
        """Whether a chunk with tokens has come."""
        self.parse()
        return self._reader.has_tokens

    def stream(self) -> Stream:
        """Everything that has come so far, parsed."""
        self.parse()
        return self._reader.stream(ended=self.done)

    @property
    def body(self) -> bytes:
        """The body of an answer that was never parsed as a stream."""
        return b"".join(self.pieces)


def refusal(status: int, body: bytes) -> str:
    """The server's own words for a refused request, shortened."""
    try:
        content = msgspec.json.decode(body)
        error = content.get("error", content) if isinstance(content, dict) else content
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except msgspec.MsgspecError:
        text = body.decode(errors="replace")
    return f"HTTP {status}: {' '.join(text.split())[:200]}"
