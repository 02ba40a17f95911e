"""A server of known timing, which load generators are held against. Linux, standard library only, one process.

    python tests/benchmark/known_timing_server.py --port 8900 --ttft-ms 50 --step-ms 20 --tokens-per-chunk 2.6

Chunk k of a stream is due at *arrival + TTFT + k x step*, an absolute time: lateness does not add up. Arrival is the
kernel's time stamp of the request, so that the time a burst of requests waits in this process is part of the known TTFT
and not of the client's error. Streams that start together therefore send together, as in an engine, where one step
gives every request its next token; `--stagger-ms` delays starts by up to so much, evenly, and takes them apart: then
every chunk is a wake-up of its own for the client, which costs it several times as much.

One chunk is one decoding step; with `--tokens-per-chunk 2.6` it carries as many tokens
as a server with multi-token prediction gives.

Serves /v1/chat/completions, /v1/completions, /generate (SGLang), /v1/models, /health, /metrics (vLLM's names), and
GET /truth[?reset=1][&last=N]: what was really sent.

It waits in epoll, whose time-outs are whole milliseconds, so a timerfd wakes it for the next chunk.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import heapq
import json
import math
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from known_timing_answers import (
    PATHS,
    STREAM_HEAD,
    Kind,
    RoleChunk,
    chunk_sizes,
    read_request,
    stream_chunks,
    whole_answer,
)
from known_timing_ledger import Ledger, Served

_CLOCK = time.perf_counter
_READ_BYTES = 262_144
_BACKLOG = 4096
_SENDS_BEFORE_A_LOOK = 64
"""Chunks sent in a row before new requests are looked at."""
_GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it, less their whole part, fill the unit interval as evenly as can be."""
_SO_TIMESTAMPNS = 35
_ANCILLARY_BYTES = 64
_TIMESPEC = struct.Struct("@qq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When chunks leave and what they hold."""

    ttft_s: float
    step_s: float
    stagger_s: float
    tokens_per_chunk: float
    draft_length: int
    role_chunk: RoleChunk


class Alarm:
    """A timerfd: `os.timerfd_create` came with Python 3.13 only."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._settime = libc.timerfd_settime
        # struct itimerspec: interval (seconds, nanoseconds), then value.
        self._setting = (ctypes.c_long * 4)()
        self._pointer = ctypes.byref(self._setting)

    def set(self, due_s: float) -> None:
        """Ring at an absolute time of the monotonic clock."""
        seconds = int(due_s)
        self._setting[2] = seconds
        self._setting[3] = max(1, int((due_s - seconds) * 1e9))
        absolute = 1
        self._settime(self.fd, absolute, self._pointer, None)


@dataclass(slots=True, kw_only=True)
class Stream:
    """An answer on its way."""

    connection: Connection
    arrival_s: float
    chunks: Iterator[bytes]
    sizes: tuple[int, ...]
    tokens: int
    due_s: float
    sent: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    late_s: float = 0.0


class Connection:
    """One client's socket, with what has been read of it and what it has not taken yet."""

    __slots__ = ("backlog", "closed", "fd", "received", "socket", "stream", "streamed")

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.fd = accepted.fileno()
        self.received = b""
        self.backlog = b""
        self.stream: Stream | None = None
        self.streamed = False
        self.closed = False


class Server:
    """The event loop."""

    def __init__(self, *, host: str, port: int, model: str, pace: Pace, default_tokens: int) -> None:
        self._pace = pace
        self._model = model
        self._default_tokens = default_tokens
        self._ledger = Ledger(model=model, tokens_per_chunk=pace.tokens_per_chunk, draft_length=pace.draft_length)
        self._listener = socket.create_server((host, port), backlog=_BACKLOG)
        self._listener.setblocking(False)
        # Accepted sockets inherit it, and so does what arrives before they are accepted.
        self._listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._alarm = Alarm()
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        # Edge-triggered: the alarm need never be read.
        self._epoll.register(self._alarm.fd, select.EPOLLIN | select.EPOLLET)
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[float, int, Stream]] = []
        self._number = 0
        """Of the last request."""
        self._order = 0
        """Of the last entry in the heap: streams cannot be compared."""
        self._running = 0
        self._armed_s = 0.0

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    def serve(self, seconds: float) -> None:
        """Serve for so long at most."""
        end_s = _CLOCK() + seconds
        listener, alarm = self._listener.fileno(), self._alarm.fd
        while (now := _CLOCK()) < end_s:
            self._send_due(now)
            for fd, events in self._epoll.poll(self._patience_s(end_s)):
                if fd == alarm:
                    self._armed_s = 0.0
                elif fd == listener:
                    self._accept()
                elif connection := self._connections.get(fd):
                    if events & select.EPOLLOUT:
                        self._flush(connection)
                    if events & ~select.EPOLLOUT and not connection.closed:
                        self._receive(connection)

    def _patience_s(self, end_s: float) -> float:
        """How long to wait for sockets: not at all when a chunk is due, else until the alarm that is set here."""
        now = _CLOCK()
        if not self._due:
            return end_s - now
        next_s = self._due[0][0]
        if next_s <= now:
            return 0.0
        if next_s != self._armed_s:
            self._alarm.set(next_s)
            self._armed_s = next_s
        return end_s - now

    def _send_due(self, now: float) -> None:
        due = self._due
        for _ in range(_SENDS_BEFORE_A_LOOK):
            if not due or due[0][0] > now:
                return
            stream = due[0][2]
            if self._send_chunk(stream, now):
                self._order += 1
                heapq.heapreplace(due, (stream.due_s, self._order, stream))
            else:
                heapq.heappop(due)
            now = _CLOCK()

    def _send_chunk(self, stream: Stream, now: float) -> bool:
        """Send the chunk that is due; whether another will be."""
        connection = stream.connection
        if connection.closed:
            return False
        late_s = now - stream.due_s
        stream.late_s = max(stream.late_s, late_s)
        if not stream.sent:
            stream.first_s = now
        stream.last_s = now
        stream.sent += 1
        if not self._send(connection, next(stream.chunks)):
            return False
        if stream.sent < len(stream.sizes):
            stream.due_s += self._pace.step_s
            return True
        if not connection.backlog:
            self._close_stream(stream)
        return False

    def _close_stream(self, stream: Stream) -> None:
        stream.connection.stream = None
        self._running -= 1
        self._ledger.close(
            Served(
                arrival_s=stream.arrival_s,
                first_s=stream.first_s,
                last_s=stream.last_s,
                tokens=stream.tokens,
                chunks=stream.sent,
                late_s=stream.late_s,
            ),
            stream.sizes,
        )

    def _accept(self) -> None:
        for _ in range(_BACKLOG):
            try:
                accepted, _address = self._listener.accept()
            except BlockingIOError:
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(accepted)
            self._connections[connection.fd] = connection
            self._epoll.register(connection.fd, select.EPOLLIN)

    def _receive(self, connection: Connection) -> None:
        try:
            data, ancillary, _flags, _address = connection.socket.recvmsg(_READ_BYTES, _ANCILLARY_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self._close(connection)
            return
        arrival_s = _arrival_s(ancillary)
        connection.received += data
        while not connection.closed and (parsed := _take_request(connection)):
            method, target, body = parsed
            try:
                self._handle(connection, method, target, body, arrival_s)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self._reply(connection, {"error": {"message": f"{type(error).__name__}: {error}"}}, "400 Bad Request")

    def _handle(self, connection: Connection, method: str, target: str, body: bytes, arrival_s: float) -> None:
        path, _, query = target.partition("?")
        kind = PATHS.get(path)
        if method == "POST" and kind:
            self._answer(connection, kind, body, arrival_s)
        elif path == "/v1/models":
            model = {"id": self._model, "object": "model", "owned_by": "known-timing", "max_model_len": 1_000_000}
            self._reply(connection, {"object": "list", "data": [model]})
        elif path == "/metrics":
            self._reply(connection, self._ledger.metrics(self._running))
        elif path == "/truth":
            asked = parse_qs(query)
            last = int(asked["last"][0]) if "last" in asked else None
            self._reply(connection, self._ledger.truth(last=last, reset="reset" in asked))
        elif path in {"/server_info", "/get_server_info"}:
            state = {"avg_spec_accept_length": self._pace.tokens_per_chunk}
            self._reply(connection, {"internal_states": [state]})
        elif path in {"/model_info", "/get_model_info"}:
            self._reply(connection, {"model_path": self._model})
        elif path in {"/", "/health", "/ping", "/health_generate", "/flush_cache", "/reset_prefix_cache"}:
            self._reply(connection, {})
        else:
            self._reply(connection, {"error": {"message": f"no such path: {path}"}}, "404 Not Found")

    def _answer(self, connection: Connection, kind: Kind, body: bytes, arrival_s: float) -> None:
        request = read_request(kind, body, default_tokens=self._default_tokens)
        totals, pace = self._ledger.totals, self._pace
        totals.prompt_tokens += request.prompt_tokens
        self._number += 1
        if not request.stream:
            totals.generation_tokens += request.tokens
            self._reply(connection, whole_answer(request, model=self._model, number=self._number))
            return
        sizes = chunk_sizes(request.tokens, pace.tokens_per_chunk)
        chunks = stream_chunks(
            request, model=self._model, number=self._number, sizes=sizes, role_chunk=pace.role_chunk != "none"
        )
        stream = Stream(
            connection=connection,
            arrival_s=arrival_s,
            chunks=chunks,
            sizes=sizes,
            tokens=request.tokens,
            due_s=arrival_s + pace.ttft_s + pace.stagger_s * (self._number * _GOLDEN % 1.0),
        )
        connection.stream = stream
        self._running += 1
        self._ledger.run.requests += 1
        if not connection.streamed:
            connection.streamed = True
            self._ledger.run.connections += 1
        self._order += 1
        heapq.heappush(self._due, (stream.due_s, self._order, stream))
        self._send(connection, STREAM_HEAD)

    def _reply(self, connection: Connection, content: dict[str, Any] | str, status: str = "200 OK") -> None:
        text, kind = (
            (content, "text/plain; version=0.0.4")
            if isinstance(content, str)
            else (json.dumps(content), "application/json")
        )
        body = text.encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._send(connection, head.encode() + body)

    def _send(self, connection: Connection, data: bytes) -> bool:
        """Send now what the socket takes and the rest later; whether the connection is still there."""
        if connection.backlog:
            connection.backlog += data
            return True
        try:
            taken = connection.socket.send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self._close(connection)
            return False
        if taken < len(data):
            self._ledger.run.blocked += 1
            connection.backlog = data[taken:]
            self._epoll.modify(connection.fd, select.EPOLLIN | select.EPOLLOUT)
        return True

    def _flush(self, connection: Connection) -> None:
        try:
            taken = connection.socket.send(connection.backlog)
        except BlockingIOError:
            return
        except OSError:
            self._close(connection)
            return
        connection.backlog = connection.backlog[taken:]
        if connection.backlog:
            return
        self._epoll.modify(connection.fd, select.EPOLLIN)
        stream = connection.stream
        if stream is not None and stream.sent == len(stream.sizes):
            stream.last_s = _CLOCK()
            self._close_stream(stream)

    def _close(self, connection: Connection) -> None:
        if connection.closed:
            return
        connection.closed = True
        if connection.stream is not None:
            connection.stream = None
            self._running -= 1
            self._ledger.run.lost += 1
        self._epoll.unregister(connection.fd)
        del self._connections[connection.fd]
        connection.socket.close()


def _arrival_s(ancillary: list[tuple[int, int, bytes]]) -> float:
    """When the kernel received what was just read, on the monotonic clock."""
    now = _CLOCK()
    if not ancillary:
        return now
    seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2][: _TIMESPEC.size])
    age_s: float = time.time() - (seconds + nanoseconds * 1e-9)
    return now - max(0.0, age_s)


def _take_request(connection: Connection) -> tuple[str, str, bytes] | None:
    """Method, target and body of the next whole request; chunked request bodies are not understood."""
    received = connection.received
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    head = received[:head_end]
    lower = head.lower()
    body_end = head_end + 4
    if (at := lower.find(b"\r\ncontent-length:")) >= 0:
        body_end += int(lower[at + 17 :].split(b"\r\n", 1)[0])
    if len(received) < body_end:
        return None
    connection.received = received[body_end:]
    method, target, _version = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
    return method, target, received[head_end + 4 : body_end]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--ttft-ms", type=float, default=50.0)
    parser.add_argument("--step-ms", type=float, default=20.0, help="between two chunks of a stream")
    parser.add_argument("--stagger-ms", type=float, default=0.0, help="the most that a stream starts later")
    parser.add_argument("--tokens-per-chunk", type=float, default=1.0)
    parser.add_argument("--draft-length", type=int, default=3, help="K of the speculation that the counters tell of")
    parser.add_argument("--role-chunk", choices=["with-first", "early", "none"], default="with-first")
    parser.add_argument("--model", default="known-timing")
    parser.add_argument("--default-tokens", type=int, default=128, help="where a request sets no limit")
    parser.add_argument("--seconds", type=float, default=7200.0, help="stop after so long")
    options = parser.parse_args()
    pace = Pace(
        ttft_s=options.ttft_ms / 1e3,
        step_s=options.step_ms / 1e3,
        stagger_s=options.stagger_ms / 1e3,
        tokens_per_chunk=options.tokens_per_chunk,
        draft_length=options.draft_length,
        role_chunk=options.role_chunk,
    )
    server = Server(
        host=options.host,
        port=options.port,
        model=options.model,
        pace=pace,
        default_tokens=options.default_tokens,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.stdout.write(f"serving on http://{options.host}:{server.port}\n")
    sys.stdout.flush()
    # Streams and connections let go of each other by hand; a collection would hold up every stream.
    gc.disable()
    try:
        server.serve(options.seconds)
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
