"""What a measurement costs and how true its interval is, against the published recipe, on the simulated engine.

    python tests/benchmark/precision.py coverage --runs 200     how often the 95 % interval holds the long run
    python tests/benchmark/precision.py cost --seeds 10         GPU-seconds to a table of three levels x two modes

Everything runs in virtual time: the machine's own speed changes nothing. `cost` sets this project's way (find the two
neighbouring concurrencies of each level, measure both until they are sure) beside the recipe of the published tables
(InferenceX: powers of two, 2 x C warm-up and 10 x C measured requests a point, all started at once, whole-run figures).
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

import numpy as np
from tabulate import tabulate

from pytest_specdec.domain.cell import Workload, parse_sequence
from pytest_specdec.domain.curve import Curve, Point
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.estimators.neighbours import next_wanted, probe_s, reading_precision
from pytest_specdec.estimators.summary import Speeds, speeds
from pytest_specdec.estimators.window import ProbeReview, Reviewer, StopRule, rough_interactivity
from pytest_specdec.simulator.core import EngineCore, Sequence
from pytest_specdec.simulator.presets import find_preset
from pytest_specdec.workload.schedule import closed_loop_requests

sys.path.append(str(Path(__file__).parents[1] / "support"))
from virtual import run_closed_loop

PRESET = find_preset("h200-qwen3.5-397b-fp8")
GPUS = 8
RULE = StopRule(floor_s=10.0, ceiling_s=120.0, precision=0.01)
FIRST = 8
"""Concurrency to begin with."""
LONG = StopRule(floor_s=2000.0, ceiling_s=2000.0, precision=0.01)
LEVELS = (55.0, 75.0, 96.0)
GRID = (4, 8, 16, 32, 64)
MODES = (0, 3)
RESULTS = Path(__file__).parent / "results"


def measure(workload: Workload, *, mtp: int, concurrency: int, seed: int, rule: StopRule) -> tuple[Speeds, float]:
    """One point by this project's rule, and the seconds that the engine was busy for it."""
    run = run_closed_loop(
        PRESET,
        mtp=mtp,
        workload=workload,
        concurrency=concurrency,
        window_s=rule.floor_s,
        seed=seed,
        review=Reviewer(rule, workload),
    )
    return speeds(run.traffic, workload), run.traffic.window_end_s


# ---- coverage


def one_window(job: tuple[str, int, int, int]) -> tuple[float, ...]:
    """Estimates and half-widths of one point, and how long it took."""
    sequence, mtp, concurrency, seed = job
    workload = parse_sequence(sequence, seed=seed)
    found, seconds = measure(workload, mtp=mtp, concurrency=concurrency, seed=seed, rule=RULE)
    halves = (found.output.half_width or 0.0, found.tpot.half_width or 0.0)
    return found.output.value, halves[0], found.tpot.value, halves[1], seconds


def long_run(job: tuple[str, int, int]) -> tuple[float, float]:
    """Output tok/s and TPOT of a very long window."""
    sequence, mtp, concurrency = job
    workload = parse_sequence(sequence, seed=9999)
    found, _ = measure(workload, mtp=mtp, concurrency=concurrency, seed=9999, rule=LONG)
    return found.output.value, found.tpot.value


def coverage(runs: int, pool: ProcessPoolExecutor) -> str:
    """A table, one row per workload, mode and concurrency."""
    points = list(product(("1k1k", "8k1k", "1k8k"), MODES, (8, 64)))
    truths = list(pool.map(long_run, points))
    rows = []
    for (sequence, mtp, concurrency), truth in zip(points, truths, strict=True):
        jobs = [(sequence, mtp, concurrency, seed) for seed in range(runs)]
        found = np.array(list(pool.map(one_window, jobs, chunksize=8)))
        row: list[object] = [sequence, f"MTP {mtp}" if mtp else "Off", concurrency, f"{found[:, 4].mean():.0f}"]
        for column, true in enumerate(truth):
            value, half = found[:, 2 * column], found[:, 2 * column + 1]
            error = np.abs(value / true - 1)
            row += [
                f"{np.mean(half / value):.2%}",
                f"{np.quantile(error, 0.95):.2%}",
                f"{np.mean(value) / true - 1:+.2%}",
                f"{np.mean(np.abs(value - true) <= half):.1%}",
            ]
        rows.append(row)
    headers = ["sequence", "mode", "C", "seconds"]
    for what in ("output tok/s", "TPOT"):
        headers += [f"{what}: claimed ±", "95 % of errors below", "bias", "interval holds"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


# ---- cost


@dataclass(frozen=True, slots=True)
class Answer:
    """Throughput per GPU at each level, and what it took."""

    at: dict[float, Estimate]
    seconds: float
    points: int = 0
    """Measured until they were sure."""
    looks: int = 0


def point(concurrency: int, output_tok_s: Estimate, tpot_s: Estimate, workload: Workload) -> Point:
    """A point of a curve: total throughput per GPU over interactivity."""
    credit = 1 + workload.mean_isl / workload.mean_osl
    return Point(interactivity=tpot_s.inverse(), throughput=output_tok_s.scaled(credit / GPUS), concurrency=concurrency)


def ours(workload: Workload, mtp: int, seed: int, rule: StopRule = RULE) -> Answer:
    """What `--specdec-refine` does, from one look at a small concurrency on."""
    spent = 0.0
    looked: dict[int, float] = {}
    sure: dict[int, Point] = {}

    def look(concurrency: int) -> None:
        nonlocal spent
        seconds = probe_s(rule)
        run = run_closed_loop(
            PRESET,
            mtp=mtp,
            workload=workload,
            concurrency=concurrency,
            window_s=seconds,
            settle_s=0.5,
            seed=seed,
            review=ProbeReview(seconds=seconds),
        )
        spent += run.traffic.window_end_s
        looked[concurrency] = rough_interactivity(run.traffic, concurrency)

    look(FIRST)
    for level in LEVELS:
        while wanted := next_wanted(sure.values(), looked, level, precision=rule.precision, most=128):
            if wanted.precision is None:
                look(wanted.concurrency)
                continue
            found, seconds = measure(
                workload, mtp=mtp, concurrency=wanted.concurrency, seed=seed, rule=wanted.rule(rule)
            )
            spent += seconds
            sure[wanted.concurrency] = point(wanted.concurrency, found.output, found.tpot, workload)
    curve = Curve(sure.values())
    at = {}
    for level in LEVELS:
        value, reached = curve.at(level).throughput.value, reading_precision(sure.values(), looked, level)
        at[level] = Estimate(value, None if reached is None else value * reached)
    return Answer(at=at, seconds=spent, points=len(sure), looks=len(looked))


def published(workload: Workload, mtp: int, seed: int) -> Answer:
    """Powers of two, whole-run figures, one curve through all."""
    spent, points = 0.0, []
    for concurrency in GRID:
        output, tpot, seconds = whole_run(workload, mtp, concurrency, seed)
        spent += seconds
        points.append(point(concurrency, Estimate(output), Estimate(tpot), workload))
    curve = Curve(points)
    return Answer(at={level: curve.at(level).throughput for level in LEVELS}, seconds=spent)


def whole_run(workload: Workload, mtp: int, concurrency: int, seed: int) -> tuple[float, float, float]:
    """10 x C requests after 2 x C of warm-up, all slots started at once: (output tok/s, median TPOT s, seconds)."""
    core = EngineCore(PRESET, mtp=mtp, seed=seed)
    planned = ((r.isl, r.osl) for r in islice(closed_loop_requests(workload, concurrency), concurrency, None))
    _, warm_s = batch(core, planned, concurrency, 2 * concurrency, 0.0)
    found, end_s = batch(core, planned, concurrency, 10 * concurrency, warm_s)
    tokens = sum(count for _, _, count in found)
    return tokens / (end_s - warm_s), float(np.median([(b - a) / (n - 1) for a, b, n in found])), end_s


def batch(
    core: EngineCore, planned: Iterator[tuple[int, int]], concurrency: int, count: int, start_s: float
) -> tuple[list[tuple[float, float, int]], float]:
    """Run so many requests: first token, last token, tokens of each, and when the last one ended."""
    arrivals = [(start_s, key) for key in range(concurrency)]
    sent, now = concurrency, start_s
    first: dict[int, float] = {}
    tokens: dict[int, int] = {}
    done: list[tuple[float, float, int]] = []
    offset = round(start_s * 1000) * 1000
    while len(done) < count:
        event = core.next_event if core.next_event is not None else math.inf
        if arrivals and arrivals[0][0] <= event:
            now, key = heapq.heappop(arrivals)
            isl, osl = next(planned)
            core.submit(Sequence(key=offset + key, prompt_tokens=isl, max_tokens=osl), now)
            continue
        now = event
        for emission in core.complete():
            first.setdefault(emission.key, now)
            tokens[emission.key] = tokens.get(emission.key, 0) + emission.tokens
            if emission.last:
                done.append((first[emission.key], now, tokens[emission.key]))
                if sent < count:
                    heapq.heappush(arrivals, (now + 0.001, sent))
                    sent += 1
    return done, now


def answer(job: tuple[str, int, int]) -> Answer:
    """One way, one mode, one seed."""
    way, mtp, seed = job
    workload = parse_sequence("1k1k", seed=seed)
    if way == "published":
        return published(workload, mtp, seed)
    return ours(workload, mtp, seed, LONG if way == "true" else RULE)


def cost(seeds: range, pool: ProcessPoolExecutor) -> str:
    """Answers, their errors and what they took, one row per mode and level."""
    true = dict(zip(MODES, pool.map(answer, [("true", mtp, 9999) for mtp in MODES]), strict=True))
    found = {
        (way, mtp): list(pool.map(answer, [(way, mtp, seed) for seed in seeds]))
        for way, mtp in product(("ours", "published"), MODES)
    }
    rows: list[list[object]] = []
    claims: list[float] = []
    held: list[bool] = []
    for mtp, level in product(MODES, LEVELS):
        right = true[mtp].at[level].value
        row: list[object] = [f"MTP {mtp}" if mtp else "Off", f"{level:g}", f"{right:.1f}"]
        for way in ("ours", "published"):
            values = np.array([a.at[level].value for a in found[way, mtp]])
            row += [f"{values.mean():.1f}", f"{np.sqrt(np.mean((values / right - 1) ** 2)):.2%}"]
        claimed = np.array([a.at[level].half_width or math.nan for a in found["ours", mtp]]) / right
        inside = [abs(a.at[level].value - right) <= (a.at[level].half_width or 0) for a in found["ours", mtp]]
        row += [f"±{claimed.mean():.2%}", f"{np.mean(inside):.0%}"]
        claims += list(claimed)
        held += inside
        rows.append(row)
    headers = ["mode", "tok/s/user", "true tok/s/GPU", "ours", "RMS error", "published recipe", "RMS error"]
    mine, theirs = (
        sum(float(np.mean([a.seconds for a in found[way, mtp]])) for mtp in MODES) for way in ("ours", "published")
    )
    table = tabulate(rows, [*headers, "ours claims", "holds"], tablefmt="github", disable_numparse=True)
    sure = np.mean(np.array(claims) <= RULE.precision)
    return (
        f"{table}\n\nSeconds of the engine for the table, both modes, mean of the seeds {seeds[0]} to {seeds[-1]}: "
        f"ours {mine:.0f} s, published recipe {theirs:.0f} s; ratio {mine / theirs:.3f}. Ours claims "
        f"±{np.mean(claims):.2%} on average, ±{RULE.precision:.0%} or less in {sure:.0%} of readings, "
        f"±{max(claims):.2%} at worst; the interval holds the truth in {sum(held)} of {len(held)}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("coverage", "cost"))
    parser.add_argument("--runs", type=int, default=200, help="windows per row of `coverage` (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=10, help="tables of `cost` (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="first seed of `cost` (default: %(default)s)")
    options = parser.parse_args()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        seeds = range(options.first, options.first + options.seeds)
        table = coverage(options.runs, pool) if options.what == "coverage" else cost(seeds, pool)
    print(table)
    RESULTS.mkdir(exist_ok=True)
    held_out = f"_from_{options.first}" if options.first else ""
    (RESULTS / f"{options.what}{held_out}.md").write_text(f"{table}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
