"""The transport against real sockets: every way an answer comes, ends or does not, over plain TCP, TLS and proxies."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import gc
import hashlib
import itertools
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np
import pytest
import trustme
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from whole_stream import parse_stream

from pytest_specdec.domain.cell import Arrivals, Cell, EngineSpec, Workload
from pytest_specdec.errors import EngineError, InvalidInputError
from pytest_specdec.estimators.window import Reviewer, StopRule
from pytest_specdec.load import connection as connection_module
from pytest_specdec.load import point as point_module
from pytest_specdec.load.connection import Connection
from pytest_specdec.load.point import Limits, LoadResult, put_under_load
from pytest_specdec.load.response import Answer
from pytest_specdec.load.route import Route
from pytest_specdec.load.target import Target
from pytest_specdec.load.transport import Transport
from pytest_specdec.load.writers import PromptWriter
from pytest_specdec.workload.schedule import requests_of

SAMPLES = Path(__file__).parent.parent / "data" / "vllm_samples"
RECORDED = {path.stem: path.read_bytes() for path in sorted(SAMPLES.glob("*.sse"))}
STREAM = RECORDED["mtp3"]
NEVER_S = 10.0
"""Nothing here takes so long: whatever does, hangs."""
T = TypeVar("T")


class Run(Protocol):
    """Runs a coroutine and sees that nothing is left of it."""

    def __call__(self, main: Coroutine[Any, Any, T], /) -> T: ...


def sockets() -> int:
    """Open sockets of this process."""
    if sys.platform != "linux":
        return 0
    found = 0
    for number in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += str(number.readlink()).startswith("socket:")
    return found


async def nothing_left(main: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(NEVER_S):
        result = await main
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "tasks are left"
    return result


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Both event loops; a ResourceWarning is an error by the project's settings."""

    def go(main: Coroutine[Any, Any, T], /) -> T:
        before = sockets()
        gc.freeze()  # so that only what this test left is looked at, and not the whole heap
        try:
            with asyncio.Runner(loop_factory=request.param) as runner:
                result = runner.run(nothing_left(main))
            gc.collect()
        finally:
            gc.unfreeze()
        assert sockets() == before, "sockets are left"
        return result

    return go


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxies but those of the test."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request as it came."""

    first: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclasses.dataclass
class Served:
    """What a server has seen."""

    port: int = 0
    connections: int = 0
    requests: list[Asked] = dataclasses.field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


Script = Callable[[asyncio.StreamWriter, int], Awaitable[None]]
"""Answers the request of that number (from 0) by writing to the connection."""
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server by hand whose sockets take little at a time; the port."""
    writers: list[asyncio.StreamWriter] = []
    tasks: set[asyncio.Task[Any]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        writers.append(writer)
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    server = await asyncio.start_server(one, sock=listener, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def request_from(reader: asyncio.StreamReader) -> Asked:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
    asked = Asked(first, [(name, value) for name, _, value in (line.partition(": ") for line in lines)], b"")
    length = int((asked.header("Content-Length") or ["0"])[0])
    return dataclasses.replace(asked, body=await reader.readexactly(length))


@contextlib.asynccontextmanager
async def serving(script: Script | bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    """A server that answers every request by a script, or always the same."""
    served = Served()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        while not writer.is_closing():
            asked = await request_from(reader)
            served.requests.append(asked)
            if isinstance(script, bytes):
                writer.write(script)
            else:
                await script(writer, len(served.requests) - 1)

    async with listening(handler, tls) as served.port:
        yield served


def framed(body: bytes, *more: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(body: bytes, size: int = 100) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def target(url: str, **more: Any) -> Target:
    return Target(base_url=url, model="m", **more)


async def fetched(
    url: str, *, body: bytes = b"{}", times: int = 1, no_progress_s: float = NEVER_S, **more: Any
) -> list[Answer]:
    async with Transport(target(url, **more), no_progress_s=no_progress_s) as transport:
        return [await transport.fetch(body) for _ in range(times)]


async def answers_of(
    script: Script | bytes, times: int = 1, tls: ssl.SSLContext | None = None, **more: Any
) -> tuple[list[Answer], Served]:
    async with serving(script, tls) as served:
        url = served.url if tls is None else f"https://localhost:{served.port}"
        return await fetched(url, times=times, **more), served


def assert_whole(answer: Answer) -> None:
    assert (answer.error, answer.status, answer.done) == (None, 200, True)
    stream = answer.stream()
    assert (stream.error, stream.chunk_tokens.sum()) == (None, 48)


# ---- answers


async def _until_close(writer: asyncio.StreamWriter, _: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + STREAM)
    await writer.drain()
    writer.close()


async def _after_continue(writer: asyncio.StreamWriter, _: int) -> None:
    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    await asyncio.sleep(0.01)
    writer.write(framed(STREAM))


@pytest.mark.parametrize(
    "script",
    [
        framed(STREAM),
        chunked(STREAM),
        chunked(STREAM, size=7),
        framed(STREAM, "Connection: close"),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + framed(STREAM),
        _until_close,
        _after_continue,
    ],
    ids=["length", "chunked", "small chunks", "close", "early hints", "until close", "100-continue"],
)
def test_a_stream_arrives_whole_however_it_is_framed(run: Run, script: Script | bytes) -> None:
    answers, _ = run(answers_of(script, times=2))
    for answer in answers:
        assert_whole(answer)
        assert len(answer.read_s) == len(answer.pieces)
        assert (np.diff([answer.start_s, *answer.read_s]) >= 0).all()


@pytest.mark.parametrize("script", [framed(STREAM), chunked(STREAM)], ids=["length", "chunked"])
def test_a_connection_is_kept_open_between_requests(run: Run, script: bytes) -> None:
    answers, served = run(answers_of(script, times=3))
    assert [answer.done for answer in answers] == [True] * 3
    assert (served.connections, len(served.requests)) == (1, 3)


@pytest.mark.parametrize(
    "script",
    [framed(STREAM, "Connection: close"), framed(STREAM).replace(b"HTTP/1.1", b"HTTP/1.0"), _until_close],
    ids=["close", "HTTP/1.0", "until close"],
)
def test_a_connection_that_the_server_will_not_keep_is_not_used_again(run: Run, script: Script | bytes) -> None:
    answers, served = run(answers_of(script, times=2))
    assert [answer.done for answer in answers] == [True] * 2
    assert served.connections == 2


async def _refuses_in_two_pieces(writer: asyncio.StreamWriter, _: int) -> None:
    whole = framed(b'{"error": {"message": "no such model"}}', status="404 Not Found")
    for piece in (whole[:-20], whole[-20:]):
        writer.write(piece)
        await asyncio.sleep(0.02)


async def _breaks_off(writer: asyncio.StreamWriter, _: int) -> None:
    writer.write(framed(STREAM)[:-10])
    writer.close()


async def _breaks_off_chunked(writer: asyncio.StreamWriter, _: int) -> None:
    writer.write(chunked(STREAM)[:-5])
    writer.close()


async def _only_continues(writer: asyncio.StreamWriter, _: int) -> None:
    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    writer.close()


async def _says_nothing(writer: asyncio.StreamWriter, _: int) -> None:
    writer.close()


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (framed(b'{"error": {"message": "no such model"}}', status="404 Not Found"), "HTTP 404: no such model"),
        (framed(b'{"error": "busy"}', status="429 Too Many Requests"), "HTTP 429: busy"),
        (framed(b'{"message": "x", "object": "error"}', status="400 Bad Request"), "HTTP 400: x"),
        (framed(b"<html>\n  bad gateway</html>", status="502 Bad Gateway"), "HTTP 502: <html> bad gateway</html>"),
        (framed(b"\xff" * 1000, status="500 Oh"), "HTTP 500: " + "\N{REPLACEMENT CHARACTER}" * 200),
        (_refuses_in_two_pieces, "HTTP 404: no such model"),
        (b"SSH-2.0-OpenSSH_9.6\r\n" * 5, "connection lost: not HTTP"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            "connection lost: not HTTP",
        ),
        (_breaks_off, "connection lost: closed by the server"),
        (_breaks_off_chunked, "connection lost: closed by the server"),
        (_only_continues, "connection lost: closed by the server"),
        (_says_nothing, "connection lost: closed by the server"),
    ],
)
def test_what_is_not_an_answer_is_an_error_in_the_servers_own_words(
    run: Run, script: Script | bytes, error: str
) -> None:
    (answer,), _ = run(answers_of(script))
    assert answer.error is not None
    assert answer.error.startswith(error)
    assert not answer.done


def test_a_refusal_keeps_its_words_when_somebody_looks_for_tokens_meanwhile(run: Run) -> None:
    async def main() -> str | None:
        async with (
            serving(_refuses_in_two_pieces) as served,
            Transport(target(served.url), no_progress_s=NEVER_S) as transport,
        ):
            answer, ended = Answer(), asyncio.Event()

            def look() -> None:
                assert not answer.has_tokens

            answer.on_piece = look
            transport.send(b"{}", answer, lambda _: ended.set())
            await ended.wait()
            return answer.error

    assert run(main()) == "HTTP 404: no such model"


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_refused_connection_is_an_error_of_the_request_and_an_oserror_of_open(run: Run) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    (answer,) = run(fetched(url))
    assert answer.error is not None
    assert answer.error.startswith("connection lost: ")
    assert "refused" in answer.error or "Connect call failed" in answer.error
    assert answer.start_s > 0

    async def opened() -> None:
        async with Transport(target(url), no_progress_s=NEVER_S) as transport:
            await transport.open(3)

    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        run(opened())


def test_a_name_that_no_host_can_have_is_an_error_and_not_a_hang(run: Run) -> None:
    (answer,) = run(fetched("http://double..dot:8000/v1"))
    assert answer.error is not None
    assert "double..dot" in answer.error


def test_an_address_of_a_family_that_this_machine_lacks_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `localhost` is ::1 first where the kernel has no IPv6."""
    real = socket.getaddrinfo

    def found(*arguments: Any, **options: Any) -> list[Any]:
        absent = (socket.AddressFamily.AF_ASH, socket.SOCK_STREAM, 0, "", ("::1", 1, 0, 0))
        return [absent, *real(*arguments, **options)]

    async def main() -> list[Answer]:
        async with serving(framed(STREAM)) as served:
            monkeypatch.setattr(socket, "getaddrinfo", found)
            return await fetched(f"http://localhost:{served.port}")

    (answer,) = asyncio.run(main())
    assert_whole(answer)


def test_a_server_that_says_nothing_more_has_failed(run: Run) -> None:
    async def hangs(writer: asyncio.StreamWriter, _: int) -> None:
        writer.write(framed(STREAM)[:300])
        await asyncio.sleep(NEVER_S)

    (answer,), _ = run(answers_of(hangs, no_progress_s=0.2))
    assert answer.error == "no progress for 0.2 s"
    assert answer.pieces, "what has come is kept"


def test_a_server_that_never_answers_has_failed(run: Run) -> None:
    async def hangs(_: asyncio.StreamWriter, __: int) -> None:
        await asyncio.sleep(NEVER_S)

    (answer,), _ = run(answers_of(hangs, no_progress_s=0.2))
    assert answer.error == "no progress for 0.2 s"


def test_a_slow_but_steady_stream_has_not_failed(run: Run) -> None:
    async def steady(writer: asyncio.StreamWriter, _: int) -> None:
        whole = chunked(STREAM)
        cut = len(whole) // 12 + 1
        for at in range(0, len(whole), cut):
            writer.write(whole[at : at + cut])
            await asyncio.sleep(0.12)

    (answer,), _ = run(answers_of(steady, no_progress_s=1.0))
    assert_whole(answer)
    assert answer.read_s[-1] - answer.start_s > 1.0


# ---- connections that the server closes


@pytest.mark.parametrize("way", ["end", "reset"])
def test_a_connection_closed_between_two_requests_is_no_failed_request(run: Run, way: str) -> None:
    async def main() -> tuple[list[Answer], Served]:
        looked: set[asyncio.StreamWriter] = set()

        async def script(writer: asyncio.StreamWriter, _: int) -> None:
            if writer not in looked:
                looked.add(writer)
                writer.write(framed(STREAM))
            elif way == "end":
                writer.close()
            else:
                own = writer.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()

        return await answers_of(script, times=3)

    answers, served = run(main())
    for answer in answers:
        assert_whole(answer)
    assert (served.connections, len(served.requests)) == (3, 5), "sent again on a new connection, once each"


def test_a_connection_that_was_closed_while_idle_is_not_used(run: Run) -> None:
    async def main() -> tuple[Answer, Answer, Served]:
        async def script(writer: asyncio.StreamWriter, _: int) -> None:
            writer.write(framed(STREAM))
            await asyncio.sleep(0.03)
            writer.write(framed(b"late", status="408 Request Timeout"))
            writer.close()

        async with serving(script) as served, Transport(target(served.url), no_progress_s=NEVER_S) as transport:
            first = await transport.fetch(b"{}")
            await asyncio.sleep(0.1)
            return first, await transport.fetch(b"{}"), served

    first, second, served = run(main())
    assert_whole(first)
    assert_whole(second)
    assert (served.connections, len(served.requests)) == (2, 2)


@pytest.mark.parametrize("begun", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", framed(STREAM)[:-1]])
def test_an_answer_that_was_begun_is_not_asked_for_again(run: Run, begun: bytes) -> None:
    async def script(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(begun if number else framed(STREAM))
        if number:
            await writer.drain()
            writer.close()

    (first, second), served = run(answers_of(script, times=2))
    assert_whole(first)
    assert second.error == "connection lost: closed by the server"
    assert len(served.requests) == 2


def test_a_request_that_the_server_had_for_long_is_not_sent_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It crashed over it, or a gateway gave up: another try would hide the failure and begin its clock anew."""
    monkeypatch.setattr(connection_module, "_STALE_S", 0.05)

    async def script(writer: asyncio.StreamWriter, number: int) -> None:
        if number:
            await asyncio.sleep(0.2)
            writer.close()
        else:
            writer.write(framed(STREAM))

    (_, second), served = run(answers_of(script, times=2))
    assert second.error == "connection lost: closed by the server"
    assert len(served.requests) == 2


# ---- large bodies


@contextlib.asynccontextmanager
async def reading_slowly(pause_s: float, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """A server that reads 256 KiB at a time; its port, and digests of the bodies that came."""
    digests: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        left = int(head.rpartition(b"Content-Length: ")[2])
        digest = hashlib.sha256()
        while left:
            await asyncio.sleep(pause_s)
            piece = await reader.readexactly(min(left, 2**18))
            digest.update(piece)
            left -= len(piece)
        digests.append(digest.hexdigest())
        writer.write(framed(STREAM))

    async with listening(handler, tls) as port:
        yield port, digests


def large(megabytes: int) -> bytes:
    return b"".join(b"%015d\n" % number for number in range(megabytes * 2**16))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_body_larger_than_every_buffer_arrives_whole(run: Run, certificate: ssl.SSLContext, *, secure: bool) -> None:
    body = large(8)

    async def main() -> tuple[list[Answer], list[str]]:
        async with reading_slowly(0.005, certificate if secure else None) as (port, digests):
            return await fetched(f"http{'s' * secure}://localhost:{port}", body=body), digests

    (answer,), digests = run(main())
    assert_whole(answer)
    assert digests == [hashlib.sha256(body).hexdigest()]


def test_a_body_that_is_still_being_taken_is_progress() -> None:
    async def main() -> list[Answer]:
        async with reading_slowly(0.03) as (port, _):
            return await fetched(f"http://localhost:{port}", body=large(16), no_progress_s=1.2)

    (answer,) = asyncio.run(main())
    assert_whole(answer)
    assert answer.read_s[0] - answer.start_s > 1.2


def test_an_answer_before_the_body_was_taken_does_not_mix_two_requests(run: Run) -> None:
    async def main() -> tuple[Answer, Answer]:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.rpartition(b"Content-Length: ")[2])
            if length > 2:
                writer.write(framed(b"too large", status="413 Content Too Large"))
                await asyncio.sleep(0.1)
            await reader.readexactly(length)
            assert (await request_from(reader)).body == b"{}"
            writer.write(framed(STREAM))

        async def small(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if not first.done():
                first.set_result(None)
                await handler(reader, writer)
            else:
                await request_from(reader)
                writer.write(framed(STREAM))

        first = asyncio.get_running_loop().create_future()
        async with (
            listening(small) as port,
            Transport(target(f"http://127.0.0.1:{port}"), no_progress_s=1.0) as transport,
        ):
            return await transport.fetch(large(16)), await transport.fetch(b"{}")

    refused, answer = run(main())
    assert refused.error == "HTTP 413: too large"
    assert_whole(answer)


# ---- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ssl.SSLContext:
    """A server's side of TLS, whose authority is trusted."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return server_side(authority)


def server_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.mark.parametrize("script", [chunked(STREAM), _until_close], ids=["chunked", "until close"])
def test_a_stream_over_tls_arrives_by_the_processs_own_clock(
    run: Run, certificate: ssl.SSLContext, script: Script | bytes
) -> None:
    before = time.perf_counter()
    (answer,), _ = run(answers_of(script, tls=certificate))
    assert_whole(answer)
    assert answer.lag_s == [], "nobody but this process stamps what was encrypted"
    assert all(before < at < time.perf_counter() for at in answer.read_s)


def test_a_tls_connection_is_kept_open_between_requests(run: Run, certificate: ssl.SSLContext) -> None:
    _, served = run(answers_of(chunked(STREAM), times=3, tls=certificate))
    assert (served.connections, len(served.requests)) == (1, 3)


def test_a_certificate_that_nobody_trusts_is_an_error_that_says_so(run: Run, certificate: ssl.SSLContext) -> None:
    assert certificate, "another authority is trusted"
    (answer,), served = run(answers_of(framed(STREAM), tls=server_side(trustme.CA())))
    assert "certificate verify failed" in (answer.error or "").lower()
    assert served.requests == []


def test_a_certificate_of_another_host_is_an_error_that_says_so(run: Run, certificate: ssl.SSLContext) -> None:
    async def main() -> list[Answer]:
        async with serving(framed(STREAM), certificate) as served:
            return await fetched(f"https://127.0.0.1:{served.port}")

    (answer,) = run(main())
    assert "IP address mismatch" in (answer.error or "")


def test_a_server_that_speaks_no_tls_is_an_error(run: Run, certificate: ssl.SSLContext) -> None:
    assert certificate

    async def main() -> list[Answer]:
        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(framed(b"plain HTTP on an HTTPS port", status="400 Bad Request"))

        async with listening(plain) as port:
            return await fetched(f"https://localhost:{port}")

    (answer,) = run(main())
    assert (answer.error or "").startswith("connection lost: ")


def test_a_server_that_accepts_and_never_greets_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_CONNECT_S", 0.2)

    async def main() -> list[Answer]:
        async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()

        async with listening(silent) as port:
            return await fetched(f"https://localhost:{port}")

    (answer,) = run(main())
    assert answer.error == "connection lost: no connection within 0.2 s"


# ---- proxies


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def test_a_plain_request_goes_through_a_proxy_in_absolute_form(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[list[Answer], Served]:
        async with serving(chunked(STREAM)) as proxy:
            monkeypatch.setenv("http_proxy", f"http://us%40er:p%3Aw@127.0.0.1:{proxy.port}")
            return await fetched("http://model.invalid:8000/v1", times=2, api_key="sesame"), proxy

    answers, proxy = run(main())
    for answer in answers:
        assert_whole(answer)
    assert proxy.connections == 1
    for asked in proxy.requests:
        assert asked.first == "POST http://model.invalid:8000/v1/chat/completions HTTP/1.1"
        assert asked.header("Host") == ["model.invalid:8000"]
        assert asked.header("Proxy-Authorization") == [basic("us@er:p:w")]
        assert asked.header("Authorization") == ["Bearer sesame"]


@contextlib.asynccontextmanager
async def tunnelling() -> AsyncIterator[tuple[int, list[Asked]]]:
    """A proxy that passes everything on; it greets in two pieces, as some do."""
    asked: list[Asked] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await request_from(reader))
        host, _, port = asked[-1].first.split()[1].rpartition(":")
        upward = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection")
        await asyncio.sleep(0.01)
        writer.write(b" established\r\nVia: test\r\n\r\n")
        try:
            await asyncio.gather(pump(reader, upward[1]), pump(upward[0], writer))
        finally:
            upward[1].transport.abort()

    async with listening(handler) as port:
        yield port, asked


def test_tls_goes_through_a_tunnel_that_the_proxy_alone_is_paid_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, certificate: ssl.SSLContext
) -> None:
    async def main() -> tuple[list[Answer], Served, list[Asked]]:
        async with tunnelling() as (port, connects), serving(chunked(STREAM), certificate) as served:
            monkeypatch.setenv("https_proxy", f"user:secret@127.0.0.1:{port}")
            return await fetched(f"https://localhost:{served.port}", times=2, api_key="sesame"), served, connects

    answers, served, connects = run(main())
    for answer in answers:
        assert_whole(answer)
    (connect,) = connects
    assert connect.first == f"CONNECT localhost:{served.port} HTTP/1.1"
    assert connect.header("Host") == [f"localhost:{served.port}"]
    assert connect.header("Proxy-Authorization") == [basic("user:secret")]
    assert connect.header("Authorization") == []
    for asked in served.requests:
        assert asked.first == "POST /v1/chat/completions HTTP/1.1"
        assert asked.header("Authorization") == ["Bearer sesame"]
        assert asked.header("Proxy-Authorization") == []


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (framed(b"who are you?", status="407 Proxy Authentication Required"), "407 Proxy Authentication Required"),
        (framed(b"", status="403 Forbidden"), "403 Forbidden"),
        (b"HTTP/1.1 503 limit of 200 connections\r\n\r\n", "503 limit of 200 connections"),
    ],
)
def test_a_proxy_that_refuses_the_tunnel_is_quoted(
    run: Run, monkeypatch: pytest.MonkeyPatch, reply: bytes, error: str
) -> None:
    async def main() -> list[Answer]:
        async with serving(reply) as proxy:
            monkeypatch.setenv("https_proxy", f"http://user:secret@127.0.0.1:{proxy.port}")
            return await fetched("https://model.invalid")

    (answer,) = run(main())
    assert answer.error == f"connection lost: the proxy refused the tunnel: HTTP/1.1 {error}"


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden"])
def test_a_proxy_that_refuses_a_plain_request_is_quoted(run: Run, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    async def main() -> list[Answer]:
        async with serving(framed(b"not you", status=status)) as proxy:
            monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{proxy.port}")
            return await fetched("http://model.invalid")

    (answer,) = run(main())
    assert answer.error == f"HTTP {status[:3]}: not you"


def test_a_proxy_that_hangs_up_or_never_answers_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_CONNECT_S", 0.2)

    async def main(script: Script) -> list[Answer]:
        async with serving(script) as proxy:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            return await fetched("https://model.invalid")

    async def silent(_: asyncio.StreamWriter, __: int) -> None:
        await asyncio.sleep(NEVER_S)

    (answer,) = run(main(_says_nothing))
    assert answer.error == "connection lost: the proxy closed the connection"
    (answer,) = run(main(silent))
    assert answer.error == "connection lost: no connection within 0.2 s"


@pytest.mark.parametrize("exception", ["127.0.0.1", "*", "example.com, 127.0.0.1:{port}"])
def test_no_proxy_leaves_the_proxy_out(run: Run, monkeypatch: pytest.MonkeyPatch, exception: str) -> None:
    async def main() -> tuple[list[Answer], Served]:
        async with serving(framed(STREAM)) as served:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
            monkeypatch.setenv("no_proxy", exception.format(port=served.port))
            return await fetched(served.url), served

    (answer,), served = run(main())
    assert_whole(answer)
    assert served.requests[0].first == "POST /v1/chat/completions HTTP/1.1"


def test_a_tunnel_to_an_ipv6_address_is_asked_for_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    route = Route.to(target("https://[::1]:8443/v1"))
    assert route.tunnel == b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n"
    assert route.server_name == "::1"
    assert Route.to(target("https://model/v1")).tunnel.startswith(b"CONNECT model:443 HTTP/1.1\r\n")


# ---- credentials


def test_headers_and_credentials_arrive(run: Run) -> None:
    async def main() -> tuple[Asked, Asked]:
        async with serving(framed(STREAM)) as served:
            more = {"X-Tenant": "blue"}
            await fetched(served.url, body=b'{"a": 1}', api_key="sesame", more_headers=more)
            await fetched(f"http://us%40er:p%3Aw@127.0.0.1:{served.port}/base/v1/")
            keyed, basically = served.requests
            return keyed, basically

    keyed, basically = run(main())
    assert keyed.first == "POST /v1/chat/completions HTTP/1.1"
    assert keyed.header("Authorization") == ["Bearer sesame"]
    assert keyed.header("X-Tenant") == ["blue"]
    assert keyed.header("Content-Type") == ["application/json"]
    assert keyed.header("Accept") == ["text/event-stream"]
    assert keyed.body == b'{"a": 1}'
    assert basically.first == "POST /base/v1/chat/completions HTTP/1.1"
    assert basically.header("Authorization") == [basic("us@er:p:w")]
    assert "@" not in basically.header("Host")[0]


def test_no_credential_is_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://user:proxysecret@127.0.0.1:{closed_port()}")
    monkeypatch.setenv("http_proxy", f"http://user:proxysecret@127.0.0.1:{closed_port()}")
    secrets = {"sesame", "tenantsecret", "urlsecret", "proxysecret"}
    secrets |= {base64.b64encode(f"user:{secret}".encode()).decode() for secret in secrets}
    shown = []
    for scheme in ("https", "http"):
        url = f"{scheme}://user:urlsecret@model.invalid/v1"
        for key in ("sesame", None):
            more: dict[str, Any] = {"api_key": key, "more_headers": {"X-Key": "tenantsecret"}}
            shown.append(repr(Route.to(target(url, **more))))
            (answer,) = run(fetched(url, **more))
            shown += [str(answer.error), repr(answer)]
    assert not [text for text in shown for secret in secrets if secret in text]


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("ftp://user:sesame@host/v1", {}),
        ("http://user:sesame@/v1", {}),
        ("http://user:sesame@host:99999/v1", {}),
        ("http://user:sesame@[::1/v1", {}),
        ("http://host/v1", {"api_key": "sesame\n"}),
        ("http://host/v1", {"api_key": "sesam\N{LATIN SMALL LETTER E WITH CARON}e"}),
        ("http://host/v1", {"more_headers": {"X-Key": "a\r\nX-Other: sesame"}}),
    ],
)
def test_what_cannot_be_sent_is_refused_without_showing_a_secret(url: str, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Route.to(target(url, **more))
    assert "sesam" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["socks5://user:sesame@host:1", "http://user:sesame@", "http://user:sesame@host:x"])
def test_a_proxy_that_cannot_be_used_is_refused_without_showing_a_secret(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(InvalidInputError, match="proxy") as caught:
        Route.to(target("http://host/v1"))
    assert "sesame" not in str(caught.value)


# ---- the kernel's clock


def _stamped() -> bool:
    """Whether this platform stamps what arrives; asked without the code that is tested."""
    if sys.platform != "linux":
        return False
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as near:
        near.setsockopt(socket.SOL_SOCKET, 35, 1)
        far, _ = listener.accept()
        with far:
            for _ in range(20):
                far.send(b"x")
                time.sleep(0.01)
                if near.recvmsg(1, 64)[1]:
                    return True
    return False


needs_stamps = pytest.mark.skipif(not _stamped(), reason="this platform gives no SO_TIMESTAMPNS stamps of TCP reads")
Sent = list[tuple[float, float]]
"""Clock before and after each chunk was given to the kernel."""


@contextlib.contextmanager
def pacing(streams: int, chunks: int, *, pace_s: float) -> Iterator[tuple[int, Callable[[], Sent]]]:
    """A server of its own thread: port, and what makes it send chunk by chunk, in turn over the streams, and waits."""
    begin, over, leave = threading.Event(), threading.Event(), threading.Event()
    sent: Sent = []

    def serve() -> None:
        with contextlib.ExitStack() as stack:
            clients = []
            for _ in range(streams):
                client, _ = listener.accept()
                stack.enter_context(client)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.recv(2**16)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (chunks // streams))
                clients.append(client)
            begin.wait(NEVER_S)
            for number in range(chunks):
                time.sleep(pace_s)
                before = time.perf_counter()
                clients[number % streams].send(b"x")
                sent.append((before, time.perf_counter()))
            over.set()
            leave.wait(NEVER_S)  # the end of a connection would bring a stamp of its own

    def send() -> Sent:
        begin.set()
        assert over.wait(NEVER_S)
        return sent

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(NEVER_S)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], send
        finally:
            begin.set()
            leave.set()
            thread.join()


async def behind_a_block(streams: int, chunks: int) -> tuple[list[Answer], Sent]:
    """Have chunks sent while this loop does not look, and 150 ms more pass."""
    with pacing(streams, chunks, pace_s=0.02) as (port, send):
        async with Transport(target(f"http://127.0.0.1:{port}"), no_progress_s=NEVER_S) as transport:
            answers = [Answer() for _ in range(streams)]
            left = asyncio.Semaphore(0)
            for answer in answers:
                begun = asyncio.Event()
                answer.on_piece = begun.set
                transport.send(b"{}", answer, lambda _: left.release())
                await begun.wait()
                answer.lag_s.clear()
            sent = send()
            time.sleep(0.15)  # noqa: ASYNC251 - it is to block
            for _ in answers:
                await left.acquire()
    return answers, sent


@needs_stamps
def test_arrivals_are_the_kernels_also_when_the_loop_is_blocked(run: Run) -> None:
    answers, sent = run(behind_a_block(streams=6, chunks=6))
    arrivals = [answer.read_s[0] for answer in answers]
    for arrival, (before, after) in zip(arrivals, sent, strict=True):
        assert before - 0.005 < arrival < after + 0.05, "150 ms of the block are in none"
    assert min(np.diff(arrivals)) > 0.005, "they keep the pace in which they were sent"


@needs_stamps
def test_what_waited_for_a_blocked_loop_is_recorded(run: Run) -> None:
    answers, sent = run(behind_a_block(streams=6, chunks=6))
    for answer, (_, after) in zip(answers, sent, strict=True):
        (lag,) = answer.lag_s
        assert lag >= 0.14
        assert lag >= sent[-1][1] - after + 0.1, "those before waited longer"


@needs_stamps
def test_of_several_chunks_in_one_read_the_arrival_is_that_of_the_last(run: Run) -> None:
    """The kernel keeps one stamp for what it has put together: the last token is exact, those before it are late."""
    (answer,), sent = run(behind_a_block(streams=1, chunks=5))
    assert answer.body == b"xxxxx"
    assert sent[-1][0] - 0.005 < answer.read_s[-1] < sent[-1][1] + 0.05
    assert answer.lag_s[-1] >= 0.14


def test_a_clock_that_was_set_between_arrival_and_read_is_not_believed() -> None:
    stamp = struct.Struct("qq")
    now = time.time()
    assert connection_module._waited_s(stamp.pack(int(now) - 3600, 0)) is None
    assert connection_module._waited_s(stamp.pack(int(now) + 3600, 0)) == 0.0
    waited = connection_module._waited_s(stamp.pack(int(now) - 5, 0))
    assert waited is not None
    assert 4 < waited < 7


# ---- cut anywhere


class Nowhere:
    """A way to nobody."""

    unsent = False

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Framing:
    """An HTTP answer, and where in it each byte of its body stands."""

    data: bytes
    places: list[int]


def framing(kind: str, body: bytes, sizes: list[int]) -> Framing:
    if kind != "chunked":
        head = b"HTTP/1.1 200 OK\r\n\r\n" if kind == "close" else framed(body)[: -len(body)]
        return Framing(head + body, list(range(len(head), len(head) + len(body))))
    data, places, at = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", list[int](), 0
    for size in itertools.cycle(sizes):
        if at >= len(body):
            break
        piece = body[at : at + size]
        data += b"%x\r\n" % len(piece)
        places += range(len(data), len(data) + len(piece))
        data += piece + b"\r\n"
        at += size
    return Framing(data + b"0\r\n\r\n", places)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(RECORDED)),
    kind=st.sampled_from(["length", "chunked", "close"]),
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=5),
    cuts=st.lists(st.floats(0, 1), max_size=40),
)
def test_an_answer_cut_anywhere_is_the_same_stream_and_its_events_arrive_with_their_last_byte(
    name: str, kind: str, sizes: list[int], cuts: list[float]
) -> None:
    body = RECORDED[name]
    whole = framing(kind, body, sizes)
    edges = sorted({0, len(whole.data), *(int(cut * len(whole.data)) for cut in cuts)})
    reads = [(100.0 + number, a, b) for number, (a, b) in enumerate(itertools.pairwise(edges))]

    answer, ended = Answer(), list[Connection]()
    connection = Connection()
    connection.linked(Nowhere())
    connection.ask(b"", answer, ended.append)
    for arrival_s, a, b in reads:
        assert not ended
        connection.received(arrival_s, 0.001, whole.data[a:b])
    if kind == "close":
        assert not ended
        connection.lost(None)

    def arrival_of(place: int) -> float:
        return next(arrival_s for arrival_s, a, b in reads if a <= place < b)

    ends = [at + 2 for at in range(len(body)) if body.startswith(b"\n\n", at)]
    expected = parse_stream(
        [(arrival_of(whole.places[end - 1]), body[begin:end]) for begin, end in itertools.pairwise([0, *ends])]
    )
    found = answer.stream()
    assert (ended, answer.done, answer.error) == ([connection], True, None)
    assert connection.closed == (kind == "close")
    assert found.chunk_s.tolist() == expected.chunk_s.tolist()
    assert found.chunk_tokens.tolist() == expected.chunk_tokens.tolist()
    for field in ("prompt_tokens", "completion_tokens", "finish_reason", "error", "speculation"):
        assert getattr(found, field) == getattr(expected, field)
    assert len(answer.lag_s) == len(reads)


# ---- opening and leaving


def test_exactly_so_many_connections_are_open_before_anything_is_sent(run: Run) -> None:
    async def main() -> list[tuple[int, int]]:
        async with serving(framed(STREAM)) as served, Transport(target(served.url), no_progress_s=NEVER_S) as transport:
            seen = []
            await transport.open(5)
            await asyncio.sleep(0.02)
            seen.append((served.connections, len(served.requests)))
            await transport.open(5)
            await asyncio.gather(*(transport.fetch(b"{}") for _ in range(5)))
            seen.append((served.connections, len(served.requests)))
            await asyncio.gather(*(transport.fetch(b"{}") for _ in range(7)))
            seen.append((served.connections, len(served.requests)))
            return seen

    assert run(main()) == [(5, 0), (5, 5), (7, 12)]


def test_connections_that_the_server_closed_are_not_counted_as_open(run: Run) -> None:
    async def main() -> int:
        connections = 0

        async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            if connections > 3:
                await reader.read()

        async with (
            listening(handler) as port,
            Transport(target(f"http://127.0.0.1:{port}"), no_progress_s=1) as transport,
        ):
            await transport.open(3)
            await asyncio.sleep(0.05)
            await transport.open(3)
            await asyncio.sleep(0.05)
        return connections

    assert run(main()) == 6


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("served_before", [False, True], ids=["fresh", "used"])
def test_a_transport_that_is_left_leaves_nothing_and_asks_nobody_again(
    run: Run, certificate: ssl.SSLContext, *, secure: bool, served_before: bool
) -> None:
    ended: list[Answer] = []

    async def main() -> Served:
        async def once(writer: asyncio.StreamWriter, number: int) -> None:
            if number or not served_before:
                await asyncio.sleep(NEVER_S)
            writer.write(framed(STREAM))

        async with serving(once, certificate if secure else None) as served:
            url = f"http{'s' * secure}://localhost:{served.port}"
            async with Transport(target(url), no_progress_s=NEVER_S) as transport:
                await transport.open(1)
                if served_before:
                    await transport.fetch(b"{}")
                for _ in range(3):
                    transport.send(b"{}", Answer(), ended.append)
                await asyncio.sleep(0.1)
            tasks = asyncio.all_tasks()
            before = served.connections
            await asyncio.sleep(0.1)
            assert asyncio.all_tasks() <= tasks
            assert served.connections == before == 3
            return served

    served = run(main())
    assert ended == [], "whoever leaves does not want to know"
    assert len(served.requests) == 3 + served_before


@pytest.mark.parametrize("secure", [False, True], ids=["connecting", "in the handshake"])
def test_a_transport_that_is_left_while_it_opens_leaves_nothing(run: Run, *, secure: bool) -> None:
    async def main() -> None:
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
            address = listener.getsockname()
            if not secure:  # fill the queue: whoever comes now gets no answer
                for _ in range(4):
                    filler = stack.enter_context(socket.socket())
                    filler.setblocking(False)
                    filler.connect_ex(address)
            url = f"http{'s' * secure}://127.0.0.1:{address[1]}"
            async with Transport(target(url), no_progress_s=NEVER_S) as transport:
                transport.send(b"{}", Answer(), lambda _: None)
                opening = asyncio.create_task(transport.open(3))
                await asyncio.sleep(0.05)
                opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await opening

    run(main())


def test_when_one_connection_cannot_be_opened_the_others_are_given_up(run: Run, certificate: ssl.SSLContext) -> None:
    """The first one is refused while the others are still in their handshake."""
    assert certificate

    async def main() -> None:
        connections = 0

        async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            if connections > 1:
                await reader.read()
                await asyncio.sleep(NEVER_S)

        async with listening(handler) as port:
            with pytest.raises(OSError):
                async with Transport(target(f"https://localhost:{port}"), no_progress_s=NEVER_S) as transport:
                    await transport.open(4)
            assert not [task for task in asyncio.all_tasks() if "Transport" in repr(task)], "still opening"

    run(main())


# ---- a whole point

WORKLOAD = Workload(isl=64, osl=8)
LIMITS = Limits(settle_s=0.05, warm_up_s=0.1, no_progress_s=5.0, deadline_s=NEVER_S)
COUNTED = b'data: {"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":64,"completion_tokens":8}}\n\n'


def cell_at(rate: float, arrivals: Arrivals = "constant", *, mtp: int = 0) -> Cell:
    engine = EngineSpec(model="m", precision="fp8", mtp=mtp)
    return Cell(engine, msgspec.structs.replace(WORKLOAD, arrivals=arrivals), 0, rate=rate)


async def point_on(
    script: Script, cell: Cell, *, limits: Limits = LIMITS, window_s: float = 0.3, continuous: bool = True
) -> tuple[LoadResult, Served]:
    async with serving(script) as served:
        to = replace(target(served.url), continuous_usage=continuous)
        writer = PromptWriter(target=to, workload=cell.workload, frame=20, costs={"Go on.": 3})
        rule = StopRule(floor_s=window_s, ceiling_s=window_s, precision=0.01)
        return await put_under_load(to, cell, writer, limits=limits, review=Reviewer(rule, cell.workload)), served


async def _counts_after_20_ms(writer: asyncio.StreamWriter, _: int) -> None:
    await asyncio.sleep(0.02)
    writer.write(framed(COUNTED))


def test_constant_arrivals_are_due_at_exact_times_and_sent_no_earlier(run: Run) -> None:
    result, served = run(point_on(_counts_after_20_ms, cell_at(70.0)))
    samples = result.traffic.samples
    assert len(samples) > 20
    assert [s.request.due_s for s in samples] == [index / 70 for index in range(len(samples))]
    lags = [s.start_s - (s.request.due_s or 0.0) for s in samples if s.status != "cut"]
    assert min(lags) >= 0
    assert np.median(lags) < 2.0, "within reason on a machine that others keep busy"
    assert 0 < result.client.send_lag_p99_ms <= result.client.send_lag_max_ms
    assert result.client.send_lag_max_ms <= 1000 * max(s.start_s - (s.request.due_s or 0.0) for s in samples) + 1e-6
    assert len(served.requests) >= len(lags)


@pytest.mark.parametrize("rate", [0.3, 7.0, 1000.0])
def test_constant_arrivals_do_not_drift(rate: float) -> None:
    due = [request.due_s for request in itertools.islice(requests_of(cell_at(rate)), 3000)]
    assert due == [index / rate for index in range(3000)]


@pytest.mark.parametrize("rate", [0.5, 20.0])
def test_poisson_arrivals_have_exponential_gaps_of_the_right_mean_in_every_mode(rate: float) -> None:
    def due(mtp: int) -> list[float | None]:
        requests = requests_of(cell_at(rate, "poisson", mtp=mtp))
        return [request.due_s for request in itertools.islice(requests, 20_000)]

    off = due(0)
    gaps = np.diff(np.array(off, dtype=np.float64)) * rate
    assert off[0] == 0
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(1, abs=0.03)
    assert gaps.std() == pytest.approx(1, abs=0.05)
    assert (gaps > 1).mean() == pytest.approx(np.exp(-1), abs=0.02)
    assert due(3) == off


def test_an_open_loop_on_a_server_that_falls_behind_ends_with_words(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_module, "_MOST_IN_FLIGHT", 30)

    async def drips(writer: asyncio.StreamWriter, _: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b": still there\n\n")
            await asyncio.sleep(0.05)

    with pytest.raises(EngineError, match=r"^30 requests are in flight: the server cannot keep up with 200rps$"):
        run(point_on(drips, cell_at(200.0)))


async def _never_answers(_: asyncio.StreamWriter, __: int) -> None:
    await asyncio.sleep(NEVER_S)


def test_an_open_loop_on_a_server_that_never_answers_ends_with_words(run: Run) -> None:
    limits = dataclasses.replace(LIMITS, no_progress_s=0.2)
    with pytest.raises(EngineError, match=r"requests failed; the last one: no progress for 0.2 s$"):
        run(point_on(_never_answers, cell_at(50.0), limits=limits))


def test_an_open_loop_that_is_not_done_meets_its_deadline(run: Run) -> None:
    limits = dataclasses.replace(LIMITS, deadline_s=0.5)
    with pytest.raises(EngineError, match=r"deadline of 0.5 s: 0 requests had finished and \d+ were in flight$"):
        run(point_on(_never_answers, cell_at(50.0), limits=limits))


def test_an_open_loop_without_running_counts_drains(run: Run) -> None:
    """Nothing more is sent once the window is over: at this rate something would always be in flight."""

    async def slowly(writer: asyncio.StreamWriter, _: int) -> None:
        await asyncio.sleep(0.1)
        writer.write(framed(COUNTED))

    limits = dataclasses.replace(LIMITS, deadline_s=5.0)
    result, _ = run(point_on(slowly, cell_at(50.0), limits=limits, continuous=False))
    assert {s.status for s in result.traffic.samples} == {"ok"}


def test_a_server_that_cannot_be_reached_is_named_without_its_credentials() -> None:
    async def main() -> str:
        to = target(f"http://user:urlsecret@127.0.0.1:{closed_port()}/v1")
        writer = PromptWriter(target=to, workload=WORKLOAD, frame=20, costs={"Go on.": 3})
        review = Reviewer(StopRule(floor_s=0.1, ceiling_s=0.1, precision=0.01), WORKLOAD)
        cell = Cell(EngineSpec(model="m", precision="fp8"), WORKLOAD, 2)
        with pytest.raises(EngineError, match="cannot be reached") as caught:
            await put_under_load(to, cell, writer, limits=LIMITS, review=review)
        return f"{caught.value} {to!r}"

    assert "urlsecret" not in asyncio.run(main())


def test_a_closed_loop_sends_one_for_each_that_ends_on_the_same_connections(run: Run) -> None:
    """The server answers one request only when all four are there: with fewer in flight this would never go on."""
    flying, most = set[int](), 0

    async def main() -> tuple[LoadResult, Served]:
        full = asyncio.Condition()

        async def one_at_a_time(writer: asyncio.StreamWriter, number: int) -> None:
            nonlocal most
            async with full:
                flying.add(number)
                most = max(most, len(flying))
                full.notify_all()
                await full.wait_for(lambda: len(flying) == 4 and number == min(flying))
                flying.remove(number)
                await asyncio.sleep(0.002)
            writer.write(framed(COUNTED))

        cell = Cell(EngineSpec(model="m", precision="fp8"), WORKLOAD, 4)
        return await point_on(one_at_a_time, cell)

    result, served = run(main())
    assert most == 4
    assert served.connections == 4
    assert len(served.requests) > 20
    assert {s.status for s in result.traffic.samples} == {"ok", "cut"}
