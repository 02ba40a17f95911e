"""Connections to one server, kept open between requests; a request without progress for too long fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Self

from pytest_specdec.load.connection import Connection
from pytest_specdec.load.response import Answer
from pytest_specdec.load.route import Route
from pytest_specdec.load.target import Target

_OPENING_AT_ONCE = 64
_WATCH_S = 0.5

OnEnd = Callable[[Answer], None]


class Transport:
    """Sends requests and hands their answers back; use it as an async context manager."""

    def __init__(self, target: Target, *, no_progress_s: float) -> None:
        self._route = Route.to(target)
        self._no_progress_s = no_progress_s
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._begin(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for connection in (*self._idle, *self._busy):
            connection.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def open(self, count: int) -> None:
        """Open connections until there are so many.

        Raises:
            OSError: one of them cannot be opened.
        """
        gate = asyncio.Semaphore(_OPENING_AT_ONCE)
        self._idle = [connection for connection in self._idle if not connection.closed]

        async def one() -> None:
            async with gate:
                self._idle.append(await Connection.open(self._route))

        await asyncio.gather(*[self._begin(one()) for _ in range(count - len(self._idle))])

    def send(self, body: bytes, answer: Answer, on_end: OnEnd) -> None:
        """Send a request at once; `on_end` is called when its answer ends, by failure too."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                self._ask(connection, body, answer, on_end)
                return
        self._begin(self._open_and_ask(body, answer, on_end))

    async def fetch(self, body: bytes) -> Answer:
        """Send a request and wait for its answer."""
        answer = Answer()
        ended = asyncio.Event()
        self.send(body, answer, lambda _: ended.set())
        await ended.wait()
        return answer

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Work beside the caller, at most until this transport is left."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _ask(self, connection: Connection, body: bytes, answer: Answer, on_end: OnEnd) -> None:
        def ended(connection: Connection) -> None:
            self._busy.discard(connection)
            if not connection.closed:
                self._idle.append(connection)
            if connection.stale:
                answer.error = None
                self.send(body, answer, on_end)
            else:
                on_end(answer)

        self._busy.add(connection)
        connection.ask(self._route.request(body), answer, ended)

    async def _open_and_ask(self, body: bytes, answer: Answer, on_end: OnEnd) -> None:
        try:
            connection = await Connection.open(self._route)
        except OSError as error:
            answer.start_s = time.perf_counter()
            answer.error = f"connection lost: {error}"
            on_end(answer)
        else:
            self._ask(connection, body, answer, on_end)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(_WATCH_S, self._no_progress_s / 4))
            oldest = time.perf_counter() - self._no_progress_s
            for connection in [c for c in self._busy if c.last_s < oldest]:
                connection.abort(f"no progress for {self._no_progress_s:g} s")
