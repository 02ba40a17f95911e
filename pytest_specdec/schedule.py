"""Which requests a closed loop sends: lengths drawn once from the seed, equal for every MTP mode.

A closed loop that starts C requests of one length at once runs in waves: all prefills together, all ends together.
The schedule starts in the middle instead: slot i of the first wave pretends that a share (i + 1/2)/C of its output is
already there, asks for the rest only, and sends a prompt that is longer by the pretended part, so that the context
lengths are those of the steady state too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_specdec.cell import Workload
from pytest_specdec.sample import PlannedRequest

PROMPTS_PER_POINT = 1_000_000
"""More than any point sends; the identity of a prompt is concurrency x this + its index."""


def closed_loop_requests(workload: Workload, concurrency: int) -> Iterator[PlannedRequest]:
    """Yield the endless sequence of requests of a closed loop; the first `concurrency` are the stationary start."""
    rng = np.random.default_rng([workload.seed, workload.isl, workload.osl])
    shares = (np.arange(concurrency) + 0.5) / concurrency
    np.random.default_rng([workload.seed, concurrency]).shuffle(shares)
    index = 0
    while True:
        isl, osl = (_draw(rng, nominal, workload.shortest) for nominal in (workload.isl, workload.osl))
        skipped = int(osl * shares[index]) if index < concurrency else 0
        prompt = concurrency * PROMPTS_PER_POINT + index
        yield PlannedRequest(index=index, prompt=prompt, isl=isl + skipped, osl=osl - skipped, skipped=skipped)
        index += 1


def _draw(rng: np.random.Generator, nominal: int, shortest: float) -> int:
    return int(rng.integers(max(1, round(nominal * shortest)), nominal, endpoint=True))
