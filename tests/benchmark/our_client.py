"""This project's own transport, as a closed loop of a fixed number of requests: the form that peers' tools have.

    python tests/benchmark/our_client.py --url http://127.0.0.1:8900 --concurrency 64 --requests 320 --osl 200 \\
        --out ours.json
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from pathlib import Path

import uvloop
from streams import Figures, Stream, figures, request_body

from pytest_specdec.load.response import Answer
from pytest_specdec.load.target import Target
from pytest_specdec.load.transport import Transport

_NO_PROGRESS_S = 60.0


async def closed_loop(url: str, body: bytes, *, concurrency: int, requests: int) -> list[Answer]:
    """Send so many requests, the next one in the read that ends the one before."""
    answers: list[Answer] = []
    done = asyncio.get_running_loop().create_future()
    finished = 0
    async with Transport(Target(base_url=url, model="known-timing"), no_progress_s=_NO_PROGRESS_S) as transport:
        await transport.open(concurrency)

        def ask() -> None:
            answer = Answer()
            answers.append(answer)
            transport.send(body, answer, ended)

        def ended(_: Answer) -> None:
            nonlocal finished
            finished += 1
            if len(answers) < requests:
                ask()
            elif finished == requests:
                done.set_result(None)

        for _ in range(min(concurrency, requests)):
            ask()
        await done
    return answers


def _parsed(answer: Answer) -> Stream:
    stream = answer.stream()
    if answer.error:
        return Stream(answer.start_s)
    return Stream(answer.start_s, stream.chunk_s.tolist(), stream.completion_tokens or 0)


def run(options: argparse.Namespace) -> Figures:
    """Run the loop, then parse."""
    # The product asks for counts on every chunk; so does this.
    body = request_body(options.isl, options.osl, continuous_usage=True)
    # As the product does before a point: the collector need not walk through what was imported.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answers = runner.run(closed_loop(options.url, body, concurrency=options.concurrency, requests=options.requests))
    return figures([_parsed(answer) for answer in answers], options.requests)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--isl", type=int, default=128)
    parser.add_argument("--osl", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    run(options).write(options.out)


if __name__ == "__main__":
    main()
