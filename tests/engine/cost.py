"""Seconds of a real vLLM to a table of three levels x two modes: this project's way, and the published recipe's.

    SPECDEC_VLLM_PYTHON=... python tests/engine/cost.py [ROUNDS]

The deepened tiny model, Off and MTP 3, both served at once and loaded in turn. Ours is the rule of `--specdec-refine`,
from one look on: find the two neighbouring concurrencies of each level, measure both until the reading is sure. The
recipe runs `vllm bench serve` at 1, 2, 4 and 8, 10 x C prompts after 2 x C of warm-up. Over the rounds the ratio of the
answers has a 95 % interval: it says what the machine repeats to.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from live import HERE, MODEL, PYTHON, engine, paired_ratio, serving
from tabulate import tabulate
from vllm_bench import bench, write_prompts

from pytest_specdec.domain.cell import Cell, parse_sequence
from pytest_specdec.domain.curve import Curve, Point
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.estimators.neighbours import next_wanted, reading_precision
from pytest_specdec.estimators.summary import speeds
from pytest_specdec.estimators.window import Reviewer, StopRule
from pytest_specdec.load.point import Limits, put_under_load
from pytest_specdec.load.target import Target
from pytest_specdec.load.writers import PromptWriter

WORKLOAD = parse_sequence("128x256", shortest=1.0)
RULE = StopRule(floor_s=5.0, ceiling_s=20.0, precision=0.014)
PROBE = StopRule(floor_s=2.0, ceiling_s=8.0, precision=0.2)
LIMITS = Limits(settle_s=0.5, warm_up_s=3, no_progress_s=60, deadline_s=300)
GRID = (1, 2, 4, 8)
MOST = 12
FIRST = 2
"""Concurrency to begin with."""
Server = tuple[Endpoint, str, PromptWriter]


async def measure(server: Server, concurrency: int, rule: StopRule) -> tuple[Point, float]:
    """One point, and the seconds for which the server was loaded."""
    endpoint, model, writer = server
    target = Target(base_url=endpoint.url, model=model)
    cell = Cell(engine(0), WORKLOAD, concurrency)
    review = Reviewer(rule, WORKLOAD)
    result = await put_under_load(target, cell, writer.retargeted(target), limits=LIMITS, review=review)
    found = speeds(result.traffic, WORKLOAD)
    point = Point(interactivity=found.tpot.inverse(), throughput=found.output, concurrency=concurrency)
    return point, result.traffic.window_end_s


async def look(server: Server, concurrency: int) -> tuple[float, float]:
    """Rough interactivity, and the seconds for which the server was loaded.

    Requests last a second here, so a look is a short measurement: a mere count of tokens would hold the prefills.
    """
    point, seconds = await measure(server, concurrency, PROBE)
    return point.interactivity.value, seconds


async def ours(server: Server, levels: list[float]) -> tuple[dict[float, Estimate], float]:
    """Output tok/s at each level with its half-width, and the seconds that it took."""
    looked: dict[int, float] = {}
    looked[FIRST], spent = await look(server, FIRST)
    sure: dict[int, Point] = {}
    for level in levels:
        while wanted := next_wanted(sure.values(), looked, level, precision=RULE.precision, most=MOST):
            if wanted.precision is None:
                looked[wanted.concurrency], seconds = await look(server, wanted.concurrency)
            else:
                sure[wanted.concurrency], seconds = await measure(server, wanted.concurrency, wanted.rule(RULE))
            spent += seconds
    found = read(Curve(sure.values()), levels) if sure else {}
    halves = {level: reading_precision(sure.values(), looked, level) for level in found}
    return {level: Estimate(one.value, one.value * (halves[level] or 0.0)) for level, one in found.items()}, spent


def recipe(server: Server, prompts: Path, levels: list[float]) -> tuple[dict[float, Estimate], float]:
    """The same by whole runs at powers of two."""
    endpoint, model, _ = server
    spent, points = 0.0, []
    for concurrency in GRID:
        bench(endpoint, model, prompts, WORKLOAD.osl, prompts_sent=2 * concurrency, concurrency=concurrency)
        found = bench(endpoint, model, prompts, WORKLOAD.osl, prompts_sent=10 * concurrency, concurrency=concurrency)
        spent += 1.2 * float(found["duration"])
        interactivity = Estimate(1000 / float(found["median_tpot_ms"]))
        throughput = Estimate(float(found["output_throughput"]))
        points.append(Point(interactivity=interactivity, throughput=throughput, concurrency=concurrency))
    return read(Curve(points), levels), spent


def read(curve: Curve, levels: list[float]) -> dict[float, Estimate]:
    """What a curve says within its range."""
    low, high = curve.range
    return {level: curve.at(level).throughput for level in levels if low <= level <= high}


async def levels_of(servers: Mapping[int, Server]) -> list[float]:
    """Three levels that both modes reach."""
    ends = [[(await measure(server, c, PROBE))[0].interactivity.value for c in (4, 1)] for server in servers.values()]
    low, high = max(a for a, _ in ends), min(b for _, b in ends)
    return [low + share * (high - low) for share in (0.25, 0.5, 0.75)]


async def writer_of(endpoint: Endpoint, model: str) -> PromptWriter:
    """Prompts are calibrated once and sent to both."""
    return await PromptWriter.calibrate(Target(base_url=endpoint.url, model=model), WORKLOAD)


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, deep = Path(name), Path(name) / "deep"
        subprocess.run([PYTHON, HERE / "deepen_target.py", MODEL, deep, "6"], check=True)
        with serving(engine(0, deep), folder) as off, serving(engine(3, deep), folder) as mtp:
            writer = asyncio.run(writer_of(off, str(deep)))
            prompts = write_prompts(folder / "prompts.jsonl", writer, WORKLOAD, 10 * max(GRID))
            servers: dict[int, Server] = {0: (off, str(deep), writer), 3: (mtp, str(deep), writer)}
            levels = asyncio.run(levels_of(servers))
            spent = {"ours": 0.0, "recipe": 0.0}
            answers: dict[tuple[int, float], list[tuple[Estimate, Estimate]]] = {}
            for number in range(rounds):
                for mode, server in servers.items():
                    mine, seconds = asyncio.run(ours(server, levels))
                    spent["ours"] += seconds
                    theirs, seconds = recipe(server, prompts, levels)
                    spent["recipe"] += seconds
                    for level in mine.keys() & theirs.keys():
                        answers.setdefault((mode, level), []).append((mine[level], theirs[level]))
                print(f"round {number + 1} of {rounds}: {spent}", flush=True)
    rows = []
    for (mode, level), pairs in sorted(answers.items()):
        first, second = ([side.value for side in sides] for sides in zip(*pairs, strict=True))
        claimed = np.mean([mine.relative or np.nan for mine, _ in pairs])
        ratio, low, high = paired_ratio(first, second) if len(pairs) > 1 else (first[0] / second[0], 0.0, float("inf"))
        row = [f"MTP {mode}" if mode else "Off", f"{level:.1f}", f"{np.mean(first):.1f}"]
        row += [f"±{claimed:.1%}", f"{np.mean(second):.1f}"]
        rows.append([*row, f"{ratio:.3f} [{low:.3f}, {high:.3f}]", str(len(pairs))])
    headers = ["mode", "tok/s/user", "ours, output tok/s", "ours claims", "recipe", "ours / recipe (95 %)", "rounds"]
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))
    print(f"seconds of the engine: ours {spent['ours']:.0f}, recipe {spent['recipe']:.0f}: ", end="")
    print(f"ratio {spent['ours'] / spent['recipe']:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
