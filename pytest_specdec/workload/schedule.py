"""The schedule of requests: lengths drawn once from the seed, equal for every speculation mode.

A closed loop that starts C requests of one length at once runs in waves: all prefills coincide, and all completions.
The schedule starts in steady state instead: slot i of the first wave treats a share (i + 1/2)/C of its output as
already generated, requests the rest only, and sends a prompt that is longer by the skipped part, so that the context
lengths are those of the steady state too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_specdec.domain.cell import Cell, Workload
from pytest_specdec.domain.traffic import PlannedRequest

PROMPTS_PER_POINT = 1_000_000
"""More than any point sends; the identity of a prompt is concurrency x this + its index."""
_OPEN_LOOPS = 5000
"""Prompts of open loops are numbered from this concurrency on, which no closed loop reaches."""
_RATES = 4000


def requests_of(cell: Cell) -> Iterator[PlannedRequest]:
    """Yield the endless sequence of requests of a cell."""
    if cell.rate:
        return open_loop_requests(cell.workload, cell.rate)
    return closed_loop_requests(cell.workload, cell.concurrency)


def open_loop_requests(workload: Workload, rate: float) -> Iterator[PlannedRequest]:
    """Yield requests at `rate` per second, evenly spaced or as a Poisson process."""
    rng = np.random.default_rng([workload.seed, workload.isl, workload.osl])
    gaps = np.random.default_rng([workload.seed, round(1000 * rate)])
    first = (_OPEN_LOOPS + round(10 * rate) % _RATES) * PROMPTS_PER_POINT
    index, due = 0, 0.0
    while True:
        isl, osl = _lengths(rng, workload)
        yield PlannedRequest(index=index, prompt=first + index, isl=isl, osl=osl, due_s=due)
        index += 1
        # By multiplication: a constant rate must not drift by the rounding of a sum.
        due = index / rate if workload.arrivals == "constant" else due + float(gaps.exponential(1 / rate))


def closed_loop_requests(workload: Workload, concurrency: int) -> Iterator[PlannedRequest]:
    """Yield the endless sequence of requests of a closed loop; the first `concurrency` are the stationary start."""
    rng = np.random.default_rng([workload.seed, workload.isl, workload.osl])
    shares = (np.arange(concurrency) + 0.5) / concurrency
    np.random.default_rng([workload.seed, concurrency]).shuffle(shares)
    index = 0
    while True:
        isl, osl = _lengths(rng, workload)
        skipped = int(osl * shares[index]) if index < concurrency else 0
        prompt = concurrency * PROMPTS_PER_POINT + index
        # Prompts of a file are sent unchanged: their context starts shorter by the skipped part.
        sent = isl + skipped if isl else 0
        yield PlannedRequest(index=index, prompt=prompt, isl=sent, osl=osl - skipped, skipped=skipped)
        index += 1


def _lengths(rng: np.random.Generator, workload: Workload) -> tuple[int, int]:
    return _draw(rng, workload.isl, workload.shortest), _draw(rng, workload.osl, workload.shortest)


def _draw(rng: np.random.Generator, nominal: int, shortest: float) -> int:
    if not nominal:
        return 0  # prompts of a file have lengths of their own
    return int(rng.integers(max(1, round(nominal * shortest)), nominal, endpoint=True))
