"""This instrument and `vllm bench serve` in turn on one live server: the same prompts, lengths and concurrency.

    SPECDEC_VLLM_PYTHON=... python tests/engine/peer.py [ROUNDS]

The peer reads prompts with pandas, which must be in its environment besides the pinned packages.

Prints, per round, whole-run figures by the peer's definition, and over the rounds the paired ratio ours / peer with its
95 % interval. The client's mean TTFT stands beside the server's own histogram.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from live import Drained, drained, engine, paired_ratio, serving
from tabulate import tabulate
from vllm_bench import bench, write_prompts

from pytest_specdec.domain.cell import parse_sequence
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.load.target import Target
from pytest_specdec.load.writers import PromptWriter
from pytest_specdec.measure.crosscheck import Snapshots, observed_ttft

WORKLOAD = parse_sequence("256x128", shortest=1.0)
CONCURRENCY = 4
SECONDS = 12.0
PROMPTS = 200


async def calibrated(endpoint: Endpoint, model: str) -> PromptWriter:
    return await PromptWriter.calibrate(Target(base_url=endpoint.url, model=model), WORKLOAD)


def main(rounds: int) -> None:
    spec = engine(3)
    with tempfile.TemporaryDirectory() as folder, serving(spec, Path(folder)) as endpoint:
        writer = asyncio.run(calibrated(endpoint, spec.model))
        prompts = write_prompts(Path(folder) / "prompts.jsonl", writer, WORKLOAD, PROMPTS)
        ours: list[Drained] = []
        theirs: list[dict[str, Any]] = []
        for number in range(rounds):
            theirs.append(
                bench(endpoint, spec.model, prompts, WORKLOAD.osl, prompts_sent=PROMPTS, concurrency=CONCURRENCY)
            )
            ours.append(
                asyncio.run(drained(endpoint, spec.model, WORKLOAD, CONCURRENCY, seconds=SECONDS, writer=writer))
            )
            print(f"round {number + 1} of {rounds}", flush=True)
    print(report(ours, theirs))


def report(ours: list[Drained], theirs: list[dict[str, Any]]) -> str:
    columns = {
        "acceptance length": ([o.acceptance.length for o in ours if o.acceptance], "spec_decode_acceptance_length"),
        "output tok/s": ([o.output_tok_s for o in ours], "output_throughput"),
        "TPOT p50 ms": ([o.tpot_p50_ms for o in ours], "median_tpot_ms"),
    }
    rows, lines = [], []
    for title, (mine, key) in columns.items():
        peers = [float(result[key]) for result in theirs]
        rows += [[title, "ours", *mine], [title, "vllm bench", *peers]]
        ratio, low, high = paired_ratio(mine, peers)
        lines.append(f"{title}: ours / vllm bench serve = {ratio:.4f} [{low:.4f}, {high:.4f}]")
    ttft = [observed_ttft(Snapshots(before=o.before, after=o.after), o.traffic.samples) for o in ours]
    rows.append(["TTFT mean ms", "ours", *(t.client_mean_ms if t else None for t in ttft)])
    rows.append(["TTFT mean ms", "server", *(t.server_mean_ms if t else None for t in ttft)])
    headers = ["", "", *(f"round {n + 1}" for n in range(len(ours)))]
    return "\n".join([tabulate(rows, headers=headers, floatfmt=".4g"), "", *lines])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
