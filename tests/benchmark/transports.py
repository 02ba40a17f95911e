"""Client designs side by side: what a streamed chunk costs, and what the client adds to TTFT.

    python tests/benchmark/transports.py --concurrency 64 256 --rounds 2

Each design is a closed loop in a process of its own, against the known-timing server, in turn over the rounds. All but
`openai`, which cannot do otherwise, keep raw reads and parse them after the run. Needs aiohttp, httptools, msgspec,
openai and uvloop.

CPU is the process's own, user and system: of the loop alone, start-up left out; of parsing apart.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import importlib
import json
import resource
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, cast

from raw_reader import closed_loop as epoll_loop
from ruler import Pace, Ruler, serving
from streams import Answer, Endpoint, Figures, Stream, figures, http_request, parse, request_body

_CLOCK = time.perf_counter
_SO_TIMESTAMPNS = 35
_ANCILLARY_BYTES = 64
_TIMESPEC = struct.Struct("@qq")
_SHARED = [bytearray(2**20)]
"""What every socket is read into: `recvmsg(262144)` allocates as much each time, which triples the cost of a chunk."""
_SHARED_VIEW = memoryview(_SHARED[0])
_CHILD_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A closed loop to run."""

    url: str
    concurrency: int
    requests: int
    isl: int
    osl: int


Streams = Callable[[], list[Stream]]
"""Parses what was kept, once the clock is off."""


def _parsed(answers: list[Answer]) -> Streams:
    return lambda: [parse(answer) for answer in answers]


def run_epoll(job: Job) -> Streams:
    endpoint = Endpoint.of(job.url)
    request = http_request(endpoint, request_body(job.isl, job.osl))
    return _parsed(epoll_loop(endpoint, request, concurrency=job.concurrency, requests=job.requests))


async def _in_slots(job: Job, ask: Callable[[], Coroutine[Any, Any, None]]) -> None:
    left = iter(range(job.requests))

    async def slot() -> None:
        for _ in left:
            await ask()

    await asyncio.gather(*(slot() for _ in range(job.concurrency)))


async def run_openai(job: Job) -> Streams:
    openai = importlib.import_module("openai")
    # Its own HTTP client with its own limits, as everybody uses it.
    client = openai.AsyncOpenAI(base_url=f"{job.url}/v1", api_key="none", max_retries=0)
    fields = json.loads(request_body(job.isl, job.osl))
    streams: list[Stream] = []

    async def ask() -> None:
        stream = Stream(_CLOCK())
        streams.append(stream)
        async for event in await client.chat.completions.create(**fields):
            if event.choices and event.choices[0].delta.content:
                stream.arrivals.append(_CLOCK())
            if event.usage:
                stream.tokens = event.usage.completion_tokens

    await _in_slots(job, ask)
    await client.close()
    return lambda: streams


async def run_aiohttp(job: Job) -> Streams:
    aiohttp = importlib.import_module("aiohttp")
    body = request_body(job.isl, job.osl)
    answers: list[Answer] = []
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"Content-Type": "application/json"},
        read_bufsize=2**20,
    ) as session:

        async def ask() -> None:
            answer = Answer(_CLOCK())
            answers.append(answer)
            async with session.post(f"{job.url}/v1/chat/completions", data=body) as response:
                async for data in response.content.iter_any():
                    answer.reads.append((_CLOCK(), data))

        await _in_slots(job, ask)
    return _parsed(answers)


class _Wave:
    """What the raw designs share: requests handed out one by one, and a future for the end of the last."""

    def __init__(self, job: Job) -> None:
        endpoint = Endpoint.of(job.url)
        self.endpoint = endpoint
        self.request = http_request(endpoint, request_body(job.isl, job.osl))
        self.answers: list[Answer] = []
        self.done = asyncio.get_running_loop().create_future()
        self._most = job.requests
        self._finished = 0

    def next_answer(self) -> Answer | None:
        """The answer to the request that is to be sent now, if one is left."""
        if len(self.answers) >= self._most:
            return None
        answer = Answer(_CLOCK())
        self.answers.append(answer)
        return answer

    def finish(self) -> None:
        """One more is over."""
        self._finished += 1
        if self._finished == self._most and not self.done.done():
            self.done.set_result(None)


class _Parts:
    """The callbacks of httptools: pieces of the body since the last read, and whether the answer is over."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.over = False
        self.on_body = self.pieces.append

    def on_message_complete(self) -> None:
        self.over = True

    def take(self, answer: Answer, arrival_s: float) -> bool:
        """Move the pieces into the answer; whether that was all of it."""
        if self.pieces:
            answer.reads.extend((arrival_s, piece) for piece in self.pieces)
            self.pieces.clear()
        over, self.over = self.over, False
        return over


class _Protocol(asyncio.Protocol):
    def __init__(self, wave: _Wave, response_parser: Any) -> None:
        self._wave = wave
        self._response_parser = response_parser
        self._parts = _Parts()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def ask(self) -> None:
        answer = self._wave.next_answer()
        if answer is not None:
            self._answer = answer
            self._feed = self._response_parser(self._parts).feed_data
            self._transport.write(self._wave.request)

    def data_received(self, data: bytes) -> None:
        arrival_s = _CLOCK()
        self._feed(data)
        if self._parts.take(self._answer, arrival_s):
            self._wave.finish()
            self.ask()


async def run_protocol(job: Job) -> Streams:
    parser = importlib.import_module("httptools").HttpResponseParser
    wave = _Wave(job)
    loop = asyncio.get_running_loop()
    protocols = [
        (
            await loop.create_connection(
                functools.partial(_Protocol, wave, parser), wave.endpoint.host, wave.endpoint.port
            )
        )[1]
        for _ in range(job.concurrency)
    ]
    for protocol in protocols:
        protocol.ask()
    await wave.done
    return _parsed(wave.answers)


class _Reader:
    """A socket in the event loop's own poll; arrival is the kernel's time stamp of the read's last segment."""

    def __init__(self, wave: _Wave, response_parser: Any, realtime_offset_s: float) -> None:
        self._wave = wave
        self._response_parser = response_parser
        self._offset_s = realtime_offset_s
        self._parts = _Parts()
        self._socket = socket.create_connection((wave.endpoint.host, wave.endpoint.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setblocking(False)
        self._receive = self._socket.recvmsg_into
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def ask(self) -> None:
        answer = self._wave.next_answer()
        if answer is not None:
            self._answer = answer
            self._feed = self._response_parser(self._parts).feed_data
            self._socket.send(self._wave.request)

    def _readable(self) -> None:
        size, ancillary, _flags, _address = self._receive(_SHARED, _ANCILLARY_BYTES)
        seconds, nanoseconds = _TIMESPEC.unpack_from(ancillary[0][2])
        self._feed(_SHARED_VIEW[:size])
        if self._parts.take(self._answer, seconds + nanoseconds * 1e-9 - self._offset_s):
            self._wave.finish()
            self.ask()


async def run_kernel(job: Job) -> Streams:
    parser = importlib.import_module("httptools").HttpResponseParser
    wave = _Wave(job)
    offset_s = time.time() - _CLOCK()
    readers = [_Reader(wave, parser, offset_s) for _ in range(job.concurrency)]
    for reader in readers:
        reader.ask()
    await wave.done
    return _parsed(wave.answers)


def _on_uvloop(run: Callable[[Job], Coroutine[Any, Any, Streams]]) -> Callable[[Job], Streams]:
    def ran(job: Job) -> Streams:
        uvloop = importlib.import_module("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run(job))

    return ran


DESIGNS: dict[str, Callable[[Job], Streams]] = {
    "openai": lambda job: asyncio.run(run_openai(job)),
    "aiohttp-uvloop": _on_uvloop(run_aiohttp),
    "protocol-uvloop": _on_uvloop(run_protocol),
    "kernel-uvloop": _on_uvloop(run_kernel),
    "epoll": run_epoll,
}


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run_one(design: str, job: Job) -> dict[str, float]:
    """Run one design in this process.

    One request goes first and is not counted: imports and first calls are no part of a chunk's cost.
    """
    run = DESIGNS[design]
    run(Job(url=job.url, concurrency=1, requests=1, isl=1, osl=2))
    gc.collect()
    gc.freeze()
    started = _cpu_s()
    streams = run(job)
    looped = _cpu_s()
    result: Figures = figures(streams(), job.requests)
    parsed = _cpu_s()
    return {
        **asdict(result),
        "loop_us": 1e6 * (looped - started) / result.chunks,
        "parse_us": 1e6 * (parsed - looped) / result.chunks,
    }


def run_apart(design: str, job: Job, ruler: Ruler, ideal_tok_s: float) -> dict[str, float]:
    """Run one design in a process of its own, and put the server's truth beside what it says."""
    ruler.reset()
    done = subprocess.run(
        [sys.executable, __file__, "--design", design, "--job", json.dumps(asdict(job))],
        capture_output=True,
        text=True,
        check=False,
        timeout=_CHILD_S,
    )
    if done.returncode:
        raise RuntimeError(f"{design} failed:\n{done.stderr[-2000:]}")
    truth = ruler.truth(job.requests)["judged"]
    result: dict[str, float] = json.loads(done.stdout)
    return {
        **result,
        "true_ttft_mean_ms": truth["ttft_mean_ms"],
        "true_tpot_p50_ms": truth["tpot_p50_ms"],
        "late_max_ms": truth["late_max_ms"],
        "lost_share": 1 - truth["output_tok_s"] / ideal_tok_s,
    }


_COLUMNS: dict[str, Callable[[dict[str, float]], str]] = {
    "loop us/chunk": lambda r: f"{r['loop_us']:.1f}",
    "parse": lambda r: f"{r['parse_us']:.1f}",
    "TTFT mean ms": lambda r: f"{r['ttft_mean_ms']:.2f}",
    "TTFT p50": lambda r: f"{r['ttft_p50_ms']:.2f}",
    "true TTFT": lambda r: f"{r['true_ttft_mean_ms']:.2f}",
    "TPOT p50 ms": lambda r: f"{r['tpot_p50_ms']:.3f}",
    "true TPOT": lambda r: f"{r['true_tpot_p50_ms']:.3f}",
    "server late max": lambda r: f"{r['late_max_ms']:.1f}",
    "lost": lambda r: f"{100 * r['lost_share']:.2f} %",
    "failed": lambda r: f"{r['failed']:.0f}",
}


def table(runs: dict[tuple[str, int], list[dict[str, float]]]) -> str:
    """Medians over the rounds, as Markdown."""
    lines = [
        "| design | C | " + " | ".join(_COLUMNS) + " |",
        "|---|---|" + "---|" * len(_COLUMNS),
    ]
    for (design, concurrency), rounds in runs.items():
        median = {name: statistics.median(run[name] for run in rounds) for name in rounds[0]}
        cells = " | ".join(show(median) for show in _COLUMNS.values())
        lines.append(f"| {design} | {concurrency} | {cells} |")
    return "\n".join(lines)


def compare(options: argparse.Namespace) -> str:
    """Run all designs in turn."""
    pace = Pace(
        ttft_ms=50.0,
        step_ms=options.step_ms,
        tokens_per_chunk=options.tokens_per_chunk,
        stagger_ms=options.stagger_ms,
    )
    runs: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    with serving(pace) as ruler:
        for concurrency, number in product(options.concurrency, range(options.rounds)):
            # Every other round in reverse, so that no design always follows the same one.
            for design in options.designs[:: -1 if number % 2 else 1]:
                requests = options.waves * concurrency
                job = Job(url=ruler.url, concurrency=concurrency, requests=requests, isl=128, osl=options.osl)
                result = run_apart(design, job, ruler, pace.output_tok_s(concurrency, options.osl))
                runs[design, concurrency].append(result)
                sys.stderr.write(f"{design} C={concurrency} round {number + 1}: {result['loop_us']:.1f} us/chunk\n")
    ordered = {(d, c): runs[d, c] for c in options.concurrency for d in options.designs}
    return table(ordered)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--waves", type=int, default=5, help="requests per stream of the loop")
    parser.add_argument("--osl", type=int, default=200)
    parser.add_argument("--step-ms", type=float, default=20.0)
    parser.add_argument("--stagger-ms", type=float, default=0.0, help="up to so much later does a stream start")
    parser.add_argument("--tokens-per-chunk", type=float, default=1.0)
    parser.add_argument("--designs", nargs="+", choices=list(DESIGNS), default=list(DESIGNS))
    parser.add_argument("--out", type=Path, help="write the table here too")
    parser.add_argument("--design", choices=list(DESIGNS), help=argparse.SUPPRESS)
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.design:
        sys.stdout.write(json.dumps(run_one(options.design, Job(**options.job))))
        return
    text = compare(options) + "\n"
    sys.stdout.write(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
