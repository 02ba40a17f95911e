"""The catalogue of faults: published regressions of engines as faults of the simulated one, and healthy controls.

`row` is the number of a regression in the project's list of published ones. Every row has a
fault, or says in `UNSEEN` why a client cannot see it. Whatever those threads do not give is called `chosen`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Something published that is no fault of the simulated engine."""

    thread: str
    row: int | None
    what: str
    reason: str


UNSEEN = (
    Unseen(
        thread="vllm#46830",
        row=2,
        what="crash while the engine initialises with MTP 1, beside the accuracy loss of vllm#46834",
        reason="there is no endpoint yet, so only the launcher sees it; what it sees is that of start-fails",
    ),
    Unseen(
        thread="vllm#48517",
        row=15,
        what="the benchmark client did not ask for the full length",
        reason="a mistake of another client; the effect on an engine's answers is stops-early",
    ),
    Unseen(
        thread="aiperf#1147",
        row=15,
        what="the benchmark client did not ask for the full length",
        reason="a mistake of another client; the effect on an engine's answers is stops-early",
    ),
    Unseen(
        thread="sglang#35822",
        row=21,
        what="GPU at 100 % and 25 W while it hangs",
        reason="GPU telemetry sees it, no HTTP answer shows it, and there is no GPU here; a client sees hang",
    ),
    Unseen(
        thread="vllm#52536",
        row=None,
        what="random prompts are not representative",
        reason="a property of the workload, not of the engine",
    ),
    Unseen(
        thread="vllm#48915",
        row=None,
        what="no speculation metrics per request",
        reason="a missing feature: nothing gets slower or wrong",
    ),
    Unseen(
        thread="engines: no per-request off, no dynamic K with data parallelism",
        row=None,
        what="speculation cannot be switched off for one request, and not by batch size with several replicas",
        reason="missing features: nothing gets slower or wrong",
    ),
    Unseen(
        thread="vllm#53436",
        row=None,
        what="throughput and acceptance vary from run to run at temperature 0",
        reason="no regression: the noise that a gate must live with, see the controls",
    ),
)

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
