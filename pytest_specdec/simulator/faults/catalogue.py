"""The catalogue of faults: published regressions of engines as faults of the simulated one, and healthy controls.

`row` is the number of a regression in the project's list of published ones; every row has a fault. Values that the
published threads do not give are called `chosen`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.simulator.faults.fault import HEALTHY, Fault
from pytest_specdec.simulator.faults.others import CONTROLS, OTHERS
from pytest_specdec.simulator.faults.published import PUBLISHED

QUANTITIES: Mapping[str, str] = {
    "p_0": "unconditional acceptance of the first draft token",
    "p_last": "unconditional acceptance of the last draft token",
    "draft_tokens": "draft tokens per verify step, from counters",
    "verify_share": "share of the output tokens that came from verify steps, from counters",
    "waiting": "requests in the server's queue",
    "preemptions": "the engine's counter of preempted requests",
    "prefix_hits": "share of prompt tokens that the prefix cache had",
    "prompt_tokens": "`usage.prompt_tokens` against the requested length, or against Off",
    "completion_tokens": "`usage.completion_tokens` against what was asked",
    "token_truth": "sum of `usage` against the server's counters",
    "counter_truth": "tokens per chunk at the client against the acceptance length of the counters",
    "gauge_truth": "the gauge of the acceptance length against the counters",
    "text": "greedy text against Off's, by prompt",
    "canary": "repetition, symbols that are no text, U+FFFD, bytes that are no UTF-8",
    "length_hits": "share of answers that end by max_tokens although a natural end was allowed",
    "structured": "share of answers that must follow a grammar and do",
    "failed": "failed requests, health",
    "start": "starts that fail",
}
"""Measured quantities that are no metric."""

FAULTS: Mapping[str, Fault] = {fault.id: fault for fault in (*PUBLISHED, *OTHERS)}
HEALTHY_CONTROLS: Mapping[str, Fault] = {fault.id: fault for fault in CONTROLS}


def find_fault(name: str) -> Fault:
    """Return a fault or a control by its id, or a weaker one: `slow-steps@0.5` is half of it.

    Raises:
        InvalidInputError: there is none of that name, or the level is not a number from 0 to 1.
    """
    wanted, _, level = name.partition("@")
    known = {HEALTHY.id: HEALTHY, **FAULTS, **HEALTHY_CONTROLS}
    if wanted not in known:
        raise InvalidInputError(f"unknown fault {wanted!r}; there are: {', '.join(known)}")
    try:
        return known[wanted].at(float(level) if level else 1.0)
    except ValueError as error:
        raise InvalidInputError(f"the level of {name!r} is not a number") from error
