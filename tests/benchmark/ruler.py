"""Start the known-timing server, and ask it what it really sent."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("known_timing_server.py")
_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How the server is to send."""

    ttft_ms: float
    step_ms: float
    tokens_per_chunk: float = 1.0
    stagger_ms: float = 0.0

    def chunks(self, tokens: int) -> int:
        """Chunks of an answer: the first holds one token."""
        rest = (tokens - 1) / self.tokens_per_chunk
        return 1 + int(rest) + (rest > int(rest) + 1e-9)

    def answer_s(self, tokens: int) -> float:
        """Seconds that an answer takes on the average."""
        return (self.ttft_ms + self.stagger_ms / 2 + (self.chunks(tokens) - 1) * self.step_ms) / 1e3

    def output_tok_s(self, concurrency: int, tokens: int) -> float:
        """What a closed loop that loses no time gets."""
        return concurrency * tokens / self.answer_s(tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruler:
    """A running server."""

    url: str
    pid: int

    def reset(self) -> None:
        """Forget what was sent."""
        self._get("/truth?reset=1")

    def truth(self, last: int) -> dict[str, Any]:
        """What was sent since, judged by the streams that arrived last."""
        truth: dict[str, Any] = json.loads(self._get(f"/truth?last={last}"))
        return truth

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=_PATIENCE_S) as answer:
            body: bytes = answer.read()
            return body


@contextmanager
def serving(pace: Pace) -> Iterator[Ruler]:
    """A server of this pace, on a free port of this machine."""
    process = subprocess.Popen(
        [
            *(sys.executable, str(SERVER), "--ttft-ms", str(pace.ttft_ms), "--step-ms", str(pace.step_ms)),
            *("--tokens-per-chunk", str(pace.tokens_per_chunk), "--stagger-ms", str(pace.stagger_ms)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.startswith("serving on "):
            raise RuntimeError(f"the known-timing server did not start: {line!r}")
        yield Ruler(url=line.removeprefix("serving on ").strip(), pid=process.pid)
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)
