"""One request: time-stamped reads in; nothing is parsed while the clock runs, but for the first tokens of the ramp."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import msgspec

from pytest_specdec.load.sse import Read, parse_stream
from pytest_specdec.load.target import Target

_READ_BUFFER = 2**20
"""Bytes; the default of 64 KiB makes long contexts slow (vllm#39963)."""
_CONNECT_S = 20.0


@dataclass(slots=True, kw_only=True)
class RawAnswer:
    """What came over the wire; filled while the request runs, so that a cut one keeps what it has."""

    start_s: float = 0.0
    """Clock just before the request was sent."""
    reads: list[Read] = field(default_factory=list)
    error: str | None = None
    done: bool = False


def open_session(target: Target) -> aiohttp.ClientSession:
    """One pool of connections for a whole point, kept alive between requests; proxies come from the environment."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=300),
        headers=target.headers,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
        read_bufsize=_READ_BUFFER,
        trust_env=True,
    )


async def stream(  # noqa: PLR0913 - one request is all of these
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    answer: RawAnswer,
    *,
    no_progress_s: float,
    on_first_tokens: Callable[[], None] | None = None,
) -> None:
    """Send one request and record its reads; whatever goes wrong ends up in `answer.error`."""
    answer.start_s = time.perf_counter()
    clock, reads = time.perf_counter, answer.reads
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(no_progress_s) as patience, session.post(url, data=body) as response:
            if response.status != 200:
                answer.error = f"HTTP {response.status}: {_message(await response.read())}"
                return
            async for data in response.content.iter_any():
                reads.append((clock(), data))
                patience.reschedule(loop.time() + no_progress_s)
                if on_first_tokens is not None and len(parse_stream(reads).chunk_s):
                    on_first_tokens()
                    on_first_tokens = None
        answer.done = True
    except TimeoutError:
        answer.error = f"no progress for {no_progress_s:g} s"
    except (aiohttp.ClientError, OSError) as error:
        answer.error = f"connection lost: {str(error) or type(error).__name__}"


def _message(body: bytes) -> str:
    """The server's own words, shortened."""
    try:
        content = msgspec.json.decode(body)
        error = content.get("error", content) if isinstance(content, dict) else content
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except msgspec.MsgspecError:
        text = body.decode(errors="replace")
    return " ".join(text.split())[:200]
