"""Every published regression that a run can show is flagged by the right check, with the right cause; controls are not.

Two seeds here; `catalogue.py` runs twenty and prints the table of docs/regressions.md.
"""

from __future__ import annotations

import pytest
from catalogue import ELSEWHERE, catch

from pytest_specdec.simulator.fault import Cause, Fault
from pytest_specdec.simulator.faults import FAULTS, HEALTHY_CONTROLS

SEEDS = (0, 1)

# What a diagnosis may say of each kind of fault, and one of the checks that must flag it.
RIGHT: dict[Cause, tuple[set[str], set[str]]] = {
    "acceptance": ({"acceptance", "drafter-broken"}, {"acceptance_length", "drafter-broken"}),
    "step_time": ({"step time"}, {"step_rate_s"}),
    "draft_tokens": ({"draft-tokens"}, {"draft-tokens"}),
    "switched_off": ({"speculation-off"}, {"speculation-off"}),
    "queueing": ({"waiting"}, {"queue-limited"}),
    "preemption": ({"stalls"}, {"preempted"}),
    "prefill": ({"stalls", "waiting"}, {"total_tok_s_gpu"}),
    "prefix_cache": ({"stalls", "waiting", ""}, {"prefix-hits"}),
    "prompt": ({""}, {"prompt-tokens"}),
    "tokens": ({"not measured"}, {"NotMeasuredError"}),
    "usage": ({"stalls", "step time", "unexplained", ""}, {"token-truth"}),
    "stall": ({"stalls"}, {"total_tok_s_gpu"}),
    "crash": ({"not measured", "stalls", "waiting"}, {"EngineError", "total_tok_s_gpu"}),
    "metrics": ({"counters-lie", ""}, {"counters-lie", "token-truth"}),
}
DIFFERS: dict[str, tuple[set[str], set[str]]] = {
    # While it thrashes, steps without drafts are what shows most.
    "dynamic-k-thrashes": ({"speculation-off"}, {"speculation-off"}),
    # Both: acceptance falls, and symbols that are no text come out (which only the text tells).
    "garbled": ({"acceptance"}, {"acceptance_length"}),
}
SEEN = [fault for fault in FAULTS.values() if fault.id not in ELSEWHERE]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", SEEN, ids=lambda fault: fault.id)
def test_a_fault_is_flagged_by_its_check_and_named(fault: Fault, seed: int) -> None:
    causes, checks = DIFFERS.get(fault.id) or RIGHT[fault.cause]
    found = catch(fault, seed)
    assert checks & set(found.checks), found
    assert found.cause in causes, found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("control", HEALTHY_CONTROLS.values(), ids=lambda control: control.id)
def test_a_healthy_control_is_not_flagged(control: Fault, seed: int) -> None:
    found = catch(control, seed)
    assert (found.checks, found.failed) == ((), False)


def test_every_fault_is_run_here_or_says_where_it_is_told() -> None:
    assert set(ELSEWHERE) < set(FAULTS)
    assert all(ELSEWHERE.values())
