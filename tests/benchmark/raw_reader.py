"""The floor: a closed loop of raw reads in epoll, with as little as Python can do per chunk. Plain HTTP, Linux.

    python tests/benchmark/raw_reader.py --url http://127.0.0.1:8900 --concurrency 64 --requests 320 --osl 200 \\
        --out reader.json

It understands no HTTP: an answer is over when a read ends with the end of the chunked encoding.
"""

from __future__ import annotations

import argparse
import select
import socket
import time
from pathlib import Path

from known_timing_answers import STREAM_END
from streams import Answer, Endpoint, figures, http_request, parse, request_body

_CLOCK = time.perf_counter
_READ_BYTES = 65_536
_SILENCE_S = 60.0


def closed_loop(endpoint: Endpoint, request: bytes, *, concurrency: int, requests: int) -> list[Answer]:
    """Send so many requests, at most `concurrency` at a time, over connections that are open before the first.

    Raises:
        TimeoutError: nothing came for a minute.
    """
    epoll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    running: dict[int, Answer] = {}
    answers: list[Answer] = []
    finished = 0
    for _ in range(min(concurrency, requests)):
        connection = socket.create_connection((endpoint.host, endpoint.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        sockets[connection.fileno()] = connection
        epoll.register(connection.fileno(), select.EPOLLIN)

    def ask(fd: int) -> None:
        answer = Answer(_CLOCK())
        sockets[fd].send(request)
        running[fd] = answer
        answers.append(answer)

    for fd in sockets:
        ask(fd)
    while finished < len(answers):
        ready = epoll.poll(_SILENCE_S)
        if not ready:
            raise TimeoutError(f"no data for {_SILENCE_S:g} s")
        for fd, _events in ready:
            data = sockets[fd].recv(_READ_BYTES)
            running[fd].reads.append((_CLOCK(), data))
            if data.endswith(STREAM_END) or not data:
                finished += 1
                if not data:
                    epoll.unregister(fd)
                elif len(answers) < requests:
                    ask(fd)
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--isl", type=int, default=128)
    parser.add_argument("--osl", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    endpoint = Endpoint.of(options.url)
    request = http_request(endpoint, request_body(options.isl, options.osl))
    answers = closed_loop(endpoint, request, concurrency=options.concurrency, requests=options.requests)
    figures([parse(answer) for answer in answers], options.requests).write(options.out)


if __name__ == "__main__":
    main()
