"""One HTTP/1.1 connection: a request out, time-stamped pieces of its answer in.

On plain sockets the kernel stamps the arrival of each read (SO_TIMESTAMPNS), so that the delay of a busy client is not
attributed to the server, and is known. Behind TLS only the process's own clock is available.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from pytest_specdec.load.response import Answer, refusal
from pytest_specdec.load.route import Route

_READ_BYTES = 2**14
"""One read. Many chunks of a stream fit, and the buffer is made anew each time: large ones cost more than they save."""
_SO_TIMESTAMPNS = 35  # Linux; the socket module has no name for it
_STAMP = struct.Struct("qq")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_STAMP.size)
_CLOCK_STEPPED_S = 60.0
_CONNECT_S = 20.0
_STALE_S = 1.0
"""A server that keeps a request for longer before it closes has read it."""
_FRAMING = (b"content-length", b"transfer-encoding")

OnEnd = Callable[["Connection"], None]


class _Link(Protocol):
    @property
    def unsent(self) -> bool:
        """True while a part of the request is still to be sent."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Connection:
    """Carries one request at a time; `on_end` is called from the read that ends it."""

    def __init__(self) -> None:
        self.closed = False
        self.answer = Answer()
        """Answer to the newest request."""
        self.served = 0
        """Answers that ended here."""
        self.stale = False
        """The server closed it between two requests: it never read the request, which may be sent again."""
        self.last_s = 0.0
        """Time of the last progress of the request in flight."""
        self._link: _Link | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._feed = self._parser.feed_data
        self._on_end: OnEnd | None = None
        """None between requests."""
        self._complete = False
        self._framed = False
        self._heard = False
        self._has_status = False
        self._keeps = False
        """The server keeps the connection after the answer; the parser forgets it with the end."""

    @classmethod
    async def open(cls, route: Route) -> Connection:
        """Connect.

        Raises:
            OSError: the server cannot be reached, time-outs and refused certificates included.
        """
        loop = asyncio.get_running_loop()
        connection = cls()
        try:
            async with asyncio.timeout(_CONNECT_S):
                plain = await _connect(loop, route)
                try:
                    if route.tunnel:
                        await _tunnel(loop, plain, route.tunnel)
                    if route.tls is None:
                        connection.linked(_SocketLink(loop, plain, connection))
                    else:
                        await loop.create_connection(
                            lambda: _TlsLink(connection), sock=plain, ssl=route.tls, server_hostname=route.server_name
                        )
                except BaseException:
                    plain.close()
                    raise
        except TimeoutError as error:
            raise OSError(f"no connection within {_CONNECT_S:g} s") from error
        except UnicodeError as error:
            raise OSError(f"{route.host} is no name of a host") from error
        return connection

    def ask(self, request: bytes, answer: Answer, on_end: OnEnd) -> None:
        """Send a request; every failure ends up in `answer.error`."""
        assert self._link is not None, "unreachable because an open connection has a link"
        self.answer, self._on_end = answer, on_end
        self._complete = self._framed = self._heard = self._has_status = False
        answer.start_s = self.last_s = time.perf_counter()
        self._link.write(request)

    def abort(self, error: str | None = None) -> None:
        """Close, and end the request in flight."""
        self.close()
        if self._on_end is not None:
            self.answer.error = error
            self._end(self._on_end)

    def close(self) -> None:
        """Close without ending the request."""
        if not self.closed:
            self.closed = True
            if self._link is not None:
                self._link.close()

    # ---- called by links

    def linked(self, link: _Link) -> None:
        """Attach the link."""
        self._link = link

    def received(self, arrival_s: float, lag_s: float | None, data: bytes) -> None:
        """Take one read."""
        answer, on_end = self.answer, self._on_end
        if on_end is None:
            self.close()  # unrequested: a server that is about to close announces it this way
            return
        self.last_s = arrival_s
        self._heard = True
        if lag_s is not None:
            answer.lag_s.append(lag_s)
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.abort(f"connection lost: not HTTP: {error}")
            return
        if self._complete:
            assert self._link is not None, "unreachable because an answer comes by a link"
            if not self._keeps or self._link.unsent:
                self.close()
            self._finish(on_end)
        elif answer.on_piece is not None:
            answer.on_piece()

    def progressed(self) -> None:
        """Note that the server has taken a part of the request."""
        self.last_s = time.perf_counter()

    def lost(self, error: Exception | None) -> None:
        """Handle a connection that the server closed."""
        if self.closed:
            return  # this side did
        self.close()
        answer, on_end = self.answer, self._on_end
        if on_end is None:
            return
        if self._has_status and not self._framed and error is None:
            self._finish(on_end)  # the end of the connection is the end of the answer
            return
        kept_s = time.perf_counter() - answer.start_s
        self.stale = self.served > 0 and not self._heard and kept_s < _STALE_S
        answer.error = f"connection lost: {error or 'closed by the server'}"
        self._end(on_end)

    # ---- called by the parser

    def on_header(self, name: bytes, _: bytes) -> None:
        """Note a header that states the length of the answer."""
        self._framed = self._framed or name.lower() in _FRAMING

    def on_headers_complete(self) -> None:
        """Take the status."""
        self.answer.status = self._parser.get_status_code()
        self._has_status = self.answer.status >= 200

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self.answer.read_s.append(self.last_s)
        self.answer.pieces.append(data)

    def on_message_complete(self) -> None:
        """Take the end, of the answer proper."""
        self._complete = self._has_status
        self._keeps = self._parser.should_keep_alive()

    # ---- helpers

    def _finish(self, on_end: OnEnd) -> None:
        answer = self.answer
        if answer.status == 200:
            answer.done = True
        else:
            answer.error = refusal(answer.status, answer.body)
        self._end(on_end)

    def _end(self, on_end: OnEnd) -> None:
        self._on_end = None
        self.served += 1
        on_end(self)


class _SocketLink:
    """A plain socket on the loop, read with the kernel's time stamps."""

    def __init__(self, loop: asyncio.AbstractEventLoop, plain: socket.socket, connection: Connection) -> None:
        self._loop = loop
        self._socket = plain
        self._connection = connection
        self._receive, self._received = plain.recvmsg, connection.received
        self._rest = memoryview(b"")
        if sys.platform == "linux":
            plain.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        loop.add_reader(plain, self._readable)

    @property
    def unsent(self) -> bool:
        return bool(self._rest)

    def write(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._loop.call_soon(self._connection.lost, error)
            return
        if sent < len(data):
            self._rest = memoryview(data)[sent:]
            self._loop.add_writer(self._socket, self._writable)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        if self._rest:
            self._loop.remove_writer(self._socket)
        self._socket.close()

    def _readable(self) -> None:
        try:
            data, ancillary, _, _ = self._receive(_READ_BYTES, _ANCILLARY_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._connection.lost(error)
            return
        if not data:
            self._connection.lost(None)
            return
        now = time.perf_counter()
        lag = _waited_s(ancillary[0][2]) if ancillary else None
        self._received(now - (lag or 0.0), lag, data)

    def _writable(self) -> None:
        try:
            sent = self._socket.send(self._rest)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._connection.lost(error)
            return
        self._rest = self._rest[sent:]
        self._connection.progressed()
        if not self._rest:
            self._loop.remove_writer(self._socket)


class _TlsLink(asyncio.Protocol):
    """An encrypted stream, read with this process's own clock."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without being derived from it
        self._connection.linked(self)

    def data_received(self, data: bytes) -> None:
        self._connection.received(time.perf_counter(), None, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.lost(exc)

    @property
    def unsent(self) -> bool:
        assert self._transport is not None, "unreachable because the link is used after the connection is made"
        return self._transport.get_write_buffer_size() > 0

    def write(self, data: bytes) -> None:
        assert self._transport is not None, "unreachable because the link is used after the connection is made"
        self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _waited_s(stamp: bytes) -> float | None:
    """Seconds since the kernel took the bytes in; of several segments in one read, the last."""
    seconds, nanoseconds = _STAMP.unpack_from(stamp)
    waited: float = time.time() - (seconds + nanoseconds * 1e-9)
    # The wall clock may be set between arrival and read; nothing waits this long.
    return max(waited, 0.0) if waited < _CLOCK_STEPPED_S else None


async def _connect(loop: asyncio.AbstractEventLoop, route: Route) -> socket.socket:
    """The first address that answers."""
    found = await loop.getaddrinfo(route.host, route.port, type=socket.SOCK_STREAM)
    problem = OSError(f"{route.host} has no address")
    for family, kind, protocol, _, address in found:
        try:
            plain = socket.socket(family, kind, protocol)
        except OSError as error:  # this machine lacks the family
            problem = error
            continue
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await loop.sock_connect(plain, address)
        except OSError as error:
            plain.close()
            problem = error
        except BaseException:
            plain.close()
            raise
        else:
            return plain
    raise problem


async def _tunnel(loop: asyncio.AbstractEventLoop, plain: socket.socket, request: bytes) -> None:
    """Open a tunnel through a proxy."""
    await loop.sock_sendall(plain, request)
    reply = b""
    while b"\r\n\r\n" not in reply:
        more = await loop.sock_recv(plain, 1024)
        if not more:
            raise OSError("the proxy closed the connection")
        reply += more
    status = reply.split(b"\r\n", 1)[0].decode("latin-1")
    if not status.partition(" ")[2].startswith("2"):
        raise OSError(f"the proxy refused the tunnel: {status}")
