"""The catalogue of faults: each has its published magnitude, moves nothing else, and at level 0 is no fault at all."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache
from typing import Any

import aiohttp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import examples, one_of_each
from unseen import UNSEEN
from virtual import VirtualRun, run_closed_loop

from pytest_specdec.domain.acceptance import Acceptance, SpecCounters, acceptance_from
from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.price import Price
from pytest_specdec.domain.token_check import token_truth
from pytest_specdec.engine.counters import EngineReading, Samples
from pytest_specdec.engine.sglang import Sglang
from pytest_specdec.engine.vllm import Vllm
from pytest_specdec.errors import EngineError, InvalidInputError
from pytest_specdec.estimators.summary import summarize
from pytest_specdec.simulator.core import EngineCore, Sequence
from pytest_specdec.simulator.faults.catalogue import FAULTS, HEALTHY_CONTROLS, QUANTITIES, find_fault
from pytest_specdec.simulator.faults.fault import HEALTHY, Cause, Fault, Timing
from pytest_specdec.simulator.json_example import example
from pytest_specdec.simulator.presets import find_preset
from pytest_specdec.simulator.server import SimulatorOptions, start

QWEN = find_preset("h200-qwen3.5-397b-fp8")
TINY = find_preset("tiny")
PRICE = Price(usd_per_gpu_hour=1.41, kw_per_gpu=1.73)
ALL = {**FAULTS, **HEALTHY_CONTROLS}
Shape = tuple[int, int]
SHORT: Shape = (1024, 1024)
LONG: Shape = (8192, 1024)
BRIEF: Shape = (1024, 256)

# ---- the catalogue


def test_every_published_regression_is_a_fault_or_says_why_a_client_cannot_see_it() -> None:
    assert {fault.row for fault in FAULTS.values()} - {None} == set(range(1, 27))
    assert all(one.reason and one.what for one in UNSEEN)


@pytest.mark.parametrize("fault", ALL.values(), ids=lambda f: f.id)
def test_an_entry_says_what_it_stands_for_and_what_must_move(fault: Fault) -> None:
    known = set(METRICS) | set(QUANTITIES)
    assert {move.quantity for move in fault.moves} <= known
    assert bool(fault.moves) == (fault.cause != "none")
    assert fault.what.endswith(".")
    assert fault.seen
    assert fault.magnitude
    assert fault.row is None or (fault.threads and fault.engine)


def test_there_is_a_fault_for_every_cause() -> None:
    causes: set[Cause] = {fault.cause for fault in ALL.values()}
    assert causes == set(Cause.__args__)  # type: ignore[attr-defined]


def test_faults_are_found_by_id_and_level() -> None:
    assert find_fault("slow-steps") is FAULTS["slow-steps"]
    assert find_fault("healthy") is HEALTHY
    assert find_fault("slow-steps@0.5").timing.factor == pytest.approx(1 + (1 / 0.85 - 1) / 2)
    with pytest.raises(InvalidInputError, match=r"unknown fault 'slow'; there are: .*slow-steps.*control-same"):
        find_fault("slow")
    with pytest.raises(InvalidInputError, match=r"between 0 and 1, not 1\.5"):
        find_fault("slow-steps@1.5")
    with pytest.raises(InvalidInputError, match="'slow-steps@half' is not a number"):
        find_fault("slow-steps@half")


def test_a_weaker_fault_is_weaker_in_every_way_that_says_how_much() -> None:
    assert find_fault("queued@0.5").serving.max_running == 96
    assert find_fault("queued@0").serving.max_running is None
    assert find_fault("later-positions-collapse@0.5").drafting.keeps == pytest.approx((1.0, (1 + 0.25 / 0.86) / 2))
    assert find_fault("hang@0.5").failing.hang_after_s == 20
    assert find_fault("off-silently@0.5").drafting.off
    assert not find_fault("off-silently@0").drafting.off
    assert find_fault("drafter-gaps@0.5").timing == Timing(plus_ms=2.0, from_batch=16)


# ---- virtual time


def run(  # noqa: PLR0913 - a point is all of these
    fault: Fault = HEALTHY,
    *,
    mtp: int = 3,
    concurrency: int = 16,
    shape: Shape = SHORT,
    window_s: float = 45.0,
    seed: int = 1,
) -> VirtualRun:
    workload = Workload(isl=shape[0], osl=shape[1])
    return run_closed_loop(
        QWEN, mtp=mtp, workload=workload, concurrency=concurrency, window_s=window_s, seed=seed, fault=fault
    )


def acceptance(found: VirtualRun) -> Acceptance | None:
    return acceptance_from(found.counters) if found.counters else None


def measure(found: VirtualRun, shape: Shape = SHORT) -> dict[str, float]:
    """Metrics of a run, and what its looks and counters tell."""
    workload = Workload(isl=shape[0], osl=shape[1])
    accepted = acceptance(found)
    values, _ = summarize(found.traffic, workload, gpus=8, acceptance=accepted, price=PRICE)
    look, steps = found.looks[-1], found.counters or SpecCounters(steps=0, drafted=0, accepted=0)
    samples = found.traffic.samples
    more = {
        "p_0": accepted.per_position[0] if accepted else 0.0,
        "p_last": accepted.per_position[-1] if accepted else 0.0,
        "draft_tokens": steps.drafted / steps.steps if steps.steps else 0.0,
        "verify_share": (steps.steps + steps.accepted) / look.generation_tokens,
        "step_ms": 1000 * look.step_s / look.engine_steps,
        "prefill_us": 1e6 * look.prefill_s / look.prompt_tokens,
        "prefix_hits": look.prefix_hits / look.prompt_tokens,
        "preemptions": float(look.preemptions),
        "prompt_tokens": sum(s.prompt_tokens or 0 for s in samples) / sum(s.request.isl for s in samples),
        "waiting": float(np.median([one.waiting for one in found.looks])),
    }
    return {key: estimate.value for key, estimate in values.items()} | more


@cache
def measured(
    fault_id: str, mtp: int = 3, concurrency: int = 16, shape: Shape = SHORT, window_s: float = 45.0
) -> dict[str, float]:
    found = run(find_fault(fault_id), mtp=mtp, concurrency=concurrency, shape=shape, window_s=window_s)
    return measure(found, shape)


# Ratio to the healthy engine at the same point; what a thread gives comes first.
MAGNITUDES: tuple[tuple[str, str, float, float, dict[str, Any]], ...] = (
    ("state-corrupted", "p_0", 0.0, 0.04, {}),
    ("drafter-broken", "p_0", 0.02, 0.03, {}),
    ("drafter-broken", "acceptance_length", 0.30, 0.33, {}),
    ("later-positions-collapse", "p_0", 0.99, 1.01, {}),
    ("later-positions-collapse", "p_last", 0.06, 0.11, {}),
    ("acceptance-slips", "acceptance_length", 0.93, 0.95, {}),
    ("acceptance-low-after-upgrade", "acceptance_length", 0.75, 0.79, {}),
    ("drafter-unbound", "acceptance_rate", 0.0, 0.004, {}),
    ("garbled", "p_last", 0.51, 0.54, {}),
    ("slower-at-equal-acceptance", "step_ms", 1.133, 1.143, {}),
    ("slower-at-equal-acceptance", "output_tok_s_gpu", 0.87, 0.91, {}),
    ("slow-steps", "step_ms", 1.17, 1.183, {}),
    ("slow-steps", "output_tok_s_gpu", 0.845, 0.88, {}),
    ("slow-steps", "output_tok_s_gpu", 0.845, 0.90, {"mtp": 0}),
    ("dynamic-k-thrashes", "output_tok_s_gpu", 24 / 232, 157 / 232, {"concurrency": 8}),
    ("dynamic-k-thrashes", "step_ms", 0.999, 1.001, {"concurrency": 4}),
    ("slower-with-every-request", "step_ms", 1.09, 1.13, {"concurrency": 4}),
    ("slower-with-every-request", "step_ms", 1.35, 1.45, {"concurrency": 64}),
    ("drafter-gaps", "step_ms", 1.0, 1.0001, {"concurrency": 8}),
    ("drafter-gaps", "step_rate_s", 0.90, 0.96, {"concurrency": 32}),
    ("acceptance-falls-with-context", "p_0", 0.98, 0.998, {}),
    ("acceptance-falls-with-context", "p_0", 0.92, 0.96, {"shape": LONG, "concurrency": 8}),
    ("fewer-draft-tokens", "draft_tokens", 2 / 3, 2 / 3, {}),
    ("fewer-draft-tokens", "p_last", 0.0, 0.0, {}),
    ("off-silently", "verify_share", 0.0, 0.0, {}),
    ("off-above-batch", "verify_share", 0.999, 1.001, {"concurrency": 16}),
    ("off-above-batch", "verify_share", 0.0, 0.02, {"concurrency": 32}),
    ("acceptance-falls-under-load", "acceptance_length", 0.55, 0.75, {"window_s": 90.0}),
    ("slow-on-long-context", "step_ms", 1.0, 1.0, {}),
    ("slow-on-long-context", "step_ms", 1.8, 1.91, {"shape": LONG, "concurrency": 8}),
    ("queued", "ttft_p50_ms", 10.0, 100.0, {"concurrency": 64}),
    ("queued", "interactivity_tok_s_user", 1.1, 1.4, {"concurrency": 64}),
    ("queued", "output_tok_s_gpu", 0.999, 1.001, {"concurrency": 32}),
    ("slow-prefill", "prefill_us", 1.495, 1.505, {}),
    ("slow-prefill", "ttft_p50_ms", 1.2, 1.5, {}),
    ("prefix-hits", "prefill_us", 0.39, 0.41, {}),
    ("preempted", "itl_p99_ms", 1.05, 1.3, {"window_s": 90.0}),
    ("steps-stall", "itl_p99_ms", 1.5, 3.0, {}),
    ("prefills-stall", "ttft_p99_ms", 5.0, 20.0, {}),
    ("usage-inflated", "output_tok_s_gpu", 1.2, 1.26, {}),
    ("tokens-lost", "output_tok_s_gpu", 0.985, 0.995, {}),
    ("accepted-overcounted", "acceptance_rate", 1.09, 1.11, {}),
    ("speculation-counted-twice", "verify_share", 1.99, 2.01, {}),
)


@pytest.mark.parametrize(("fault_id", "quantity", "low", "high", "point"), MAGNITUDES)
def test_a_fault_has_its_magnitude(
    fault_id: str, quantity: str, low: float, high: float, point: dict[str, Any]
) -> None:
    ratio = measured(fault_id, **point)[quantity] / measured("healthy", **point)[quantity]
    assert low - 1e-9 <= ratio <= high + 1e-9


# Where a fault shows that does not show at 16 requests of 1k1k.
WHERE: dict[str, dict[str, Any]] = {
    "dynamic-k-thrashes": {"concurrency": 8},
    "drafter-gaps": {"concurrency": 32},
    "acceptance-falls-with-context": {"concurrency": 8, "shape": LONG},
    "slow-on-long-context": {"concurrency": 8, "shape": LONG},
    "off-above-batch": {"concurrency": 32},
    "queued": {"concurrency": 64},
}
UNMEASURED = ("crash", "start")


@pytest.mark.parametrize(
    "fault", [f for f in FAULTS.values() if f.cause not in UNMEASURED and f.id != "stops-early"], ids=lambda f: f.id
)
def test_what_must_move_does(fault: Fault) -> None:
    point = WHERE.get(fault.id, {})
    healthy, faulty = measured("healthy", **point), measured(fault.id, **point)
    for move in fault.moves:
        # Those that a run in virtual time has no words for are tested over HTTP.
        if move.quantity in healthy:
            before = healthy[move.quantity]
            # A fault that stops all speculation leaves no acceptance to speak of.
            change = faulty.get(move.quantity, 0.0) - before
            assert (change < -0.009 * before) if move.direction == "falls" else (change > 0.009 * before), move


ACCEPTANCE = ("acceptance_length", "p_0", "p_last", "draft_tokens", "verify_share")
TIME = ("step_ms", "prefill_us", "ttft_p50_ms", "output_tok_s_gpu")
SERVING = ("prompt_tokens",)

UNTOUCHED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("drafter-broken", ("step_ms", "prefill_us", "draft_tokens", *SERVING)),
    ("later-positions-collapse", ("step_ms", "prefill_us", "p_0", "draft_tokens", *SERVING)),
    ("slow-at-good-acceptance", (*ACCEPTANCE, "prefill_us", *SERVING)),
    ("slower-at-equal-acceptance", (*ACCEPTANCE, "prefill_us", *SERVING)),
    ("slower-than-off", (*ACCEPTANCE, "prefill_us", *SERVING)),
    ("drafter-gaps", (*ACCEPTANCE, "prefill_us", *SERVING)),
    ("slow-steps", (*ACCEPTANCE, "prefill_us", *SERVING)),
    ("fewer-draft-tokens", ("p_0", "prefill_us", *SERVING)),
    ("preempted", (*ACCEPTANCE, *SERVING)),
    ("slow-prefill", (*ACCEPTANCE, "step_ms", *SERVING)),
    ("prefix-hits", (*ACCEPTANCE, "step_ms", *SERVING)),
    ("template-changed", (*ACCEPTANCE, "step_ms")),
    ("tokens-lost", (*ACCEPTANCE, "step_ms", "ttft_p50_ms", *SERVING)),
    ("usage-inflated", (*ACCEPTANCE, "step_ms", "ttft_p50_ms", *SERVING)),
    ("steps-stall", (*ACCEPTANCE, "prefill_us", "itl_p50_ms", *SERVING)),
    ("prefills-stall", (*ACCEPTANCE, "step_ms", "itl_p50_ms", *SERVING)),
    ("gauge-lies", (*ACCEPTANCE, *TIME)),
    ("accepted-overcounted", TIME),
    ("tokens-undercounted", TIME),
    *((fault.id, (*ACCEPTANCE, *TIME, *SERVING)) for fault in FAULTS.values() if fault.id in (
        "answers-wrong", "text-differs", "anothers-text", "endless", "gibberish", "replacement-characters",
        "invalid-utf8", "structured-invalid", "structured-stuck",
    )),
)  # fmt: skip


@pytest.mark.parametrize(("fault_id", "quantities"), UNTOUCHED, ids=[fault_id for fault_id, _ in UNTOUCHED])
def test_a_fault_leaves_alone_what_it_is_not_about(fault_id: str, quantities: tuple[str, ...]) -> None:
    healthy, faulty = measured("healthy"), measured(fault_id)
    for quantity in quantities:
        assert faulty[quantity] == pytest.approx(healthy[quantity], rel=0.015), quantity


@pytest.mark.parametrize(("fault_id", "share"), [("slow-at-good-acceptance", 128.3 / 342.2), ("slower-than-off", 0.7)])
@pytest.mark.parametrize("mtp", [1, 3])
def test_speculation_can_be_slower_than_none(fault_id: str, share: float, mtp: int) -> None:
    off, on = measured("healthy", mtp=0, concurrency=4), measured(fault_id, mtp=mtp, concurrency=4)
    assert on["interactivity_tok_s_user"] / off["interactivity_tok_s_user"] == pytest.approx(share, rel=0.06)


def test_a_broken_drafter_costs_as_much_as_was_published() -> None:
    ratio = measured("drafter-broken", mtp=1)["output_tok_s_gpu"] / measured("healthy", mtp=0)["output_tok_s_gpu"]
    assert -0.41 <= ratio - 1 <= -0.25


def test_off_silently_is_off_in_all_but_its_settings() -> None:
    found, off = run(find_fault("off-silently")), run(mtp=0)
    assert found.counters == SpecCounters(steps=0, drafted=0, accepted=0, per_position=(0.0, 0.0, 0.0))
    assert off.counters is None
    assert_same(found, off)


def test_the_first_request_is_spared_and_no_other() -> None:
    found = run(find_fault("state-corrupted"), concurrency=1, window_s=60)
    lengths = [1 + s.speculation.accepted / s.speculation.steps for s in found.traffic.samples if s.speculation]
    assert lengths[0] > 2.8
    assert max(lengths[1:]) < 1.1
    assert len(lengths) > 3


def test_acceptance_wears_off_while_the_engine_is_busy() -> None:
    found = run(find_fault("acceptance-falls-under-load"), window_s=90)
    lengths = []
    for begin, end in ((0, 10), (30, 40), (70, 80)):
        before, after = found.around(begin, end)
        assert before.speculation is not None
        assert after.speculation is not None
        during = acceptance_from(after.speculation - before.speculation)
        assert during is not None
        lengths.append(during.length)
    assert lengths[0] > 2.8
    assert lengths[1] == pytest.approx(2.2, abs=0.3)
    # Half of every chance: 1 + .44 + .44 * .43 + ...
    assert lengths[2] == pytest.approx(1.7, abs=0.1)


def test_a_threshold_switches_speculation_off_for_good() -> None:
    found = run(find_fault("off-for-good"), window_s=90)
    steps = [one.speculation.steps for one in found.looks if one.speculation is not None]
    assert 0 < steps[len(steps) // 2] == steps[-1]
    before, after = found.around(60, 80)
    assert after.engine_steps > before.engine_steps


def test_a_preempted_sequence_is_computed_anew_and_loses_nothing() -> None:
    found = run(find_fault("preempted"))
    last = found.looks[-1]
    assert last.preemptions == pytest.approx(last.engine_steps / 20, rel=0.02)
    assert last.prefill_tokens > 1.2 * last.prompt_tokens
    done = [s for s in found.traffic.samples if s.status == "ok"]
    assert done
    assert all(s.output_tokens == s.request.osl for s in done)


@pytest.mark.parametrize(
    ("fault_id", "concurrency", "shape", "statuses"),
    [
        ("crash-at-high-concurrency", 32, SHORT, {"failed"}),
        ("crash-at-high-concurrency", 16, SHORT, {"ok", "cut"}),
        ("crash-under-load", 16, SHORT, {"failed"}),
        ("crash-at-warm-up", 1, SHORT, {"failed"}),
        ("crash-on-long-context", 4, LONG, {"ok", "failed"}),
        ("crash-on-long-context", 4, SHORT, {"ok", "cut"}),
    ],
)
def test_a_crash_fails_everything_from_then_on(
    fault_id: str, concurrency: int, shape: Shape, statuses: set[str]
) -> None:
    found = run(find_fault(fault_id), concurrency=concurrency, shape=shape, window_s=30)
    assert {sample.status for sample in found.traffic.samples} == statuses
    assert bool(found.dead) == ("failed" in statuses)
    if found.dead:
        with pytest.raises(EngineError, match="requests failed; most often: CUDA error"):
            measure(found, shape)


def test_a_hang_stops_all_streams_until_the_watchdog_kills_the_engine() -> None:
    found = run(find_fault("hang"), window_s=100)
    latest = max(sample.chunk_s[-1] for sample in found.traffic.samples if len(sample.chunk_s))
    assert latest == pytest.approx(10, abs=0.5)
    assert not found.dead
    later = run(find_fault("hang"), window_s=400)
    assert "watchdog" in later.dead
    assert sum(sample.status == "failed" for sample in later.traffic.samples) == 16


def test_starts_fail_as_often_as_they_should() -> None:
    def starts(fault_id: str, mtp: int) -> float:
        started = 0
        for seed in range(200):
            try:
                EngineCore(TINY, mtp=mtp, seed=seed, fault=find_fault(fault_id))
            except EngineError:
                continue
            started += 1
        return started / 200

    assert starts("start-fails", 3) == 0
    assert starts("start-fails", 0) == 1
    assert (starts("start-fails-above-k1", 1), starts("start-fails-above-k1", 2)) == (1, 0)
    assert starts("start-fails-sometimes", 3) == pytest.approx(0.8, abs=0.07)


def test_an_answer_that_stops_early_says_so_in_its_usage() -> None:
    found = run(find_fault("stops-early"), shape=BRIEF)
    done = [s for s in found.traffic.samples if s.status == "ok" and s.request.osl > 128]
    assert {s.output_tokens for s in done} == {128}


@pytest.mark.parametrize(
    ("fault_id", "share"),
    [
        ("healthy", 1.0),
        ("stops-early", 1.0),
        ("preempted", 1.0),
        ("tokens-lost", 0.99),
        ("usage-inflated", 1.25),
        ("tokens-undercounted", 1 / 0.98),
    ],
)
def test_token_truth_holds_unless_it_is_what_is_broken(fault_id: str, share: float) -> None:
    found = run(find_fault(fault_id), window_s=30)
    last = found.looks[-1]
    begun = [s for s in found.traffic.samples if len(s.chunk_s)]
    truth = token_truth(begun, last.generation_tokens, last.prompt_tokens)
    assert truth.usage_generated / last.generation_tokens == pytest.approx(share, abs=0.001 if share != 1 else 0)
    # What is missing may be the rest of the streams that were cut; what is too much cannot.
    assert ("fall short" in truth.reason) == (share > 1)


def test_a_longer_template_shows_in_every_prompt() -> None:
    found = run(find_fault("template-changed"), window_s=20)
    assert {s.prompt_tokens - s.request.isl for s in found.traffic.samples if s.prompt_tokens is not None} == {60}


def test_a_lying_gauge_is_not_what_the_counters_say() -> None:
    core = EngineCore(QWEN, mtp=3, fault=find_fault("gauge-lies"))
    for key in range(4):
        core.submit(Sequence(key=key, prompt_tokens=10, max_tokens=500), 0.0)
    while core.next_event is not None:
        core.complete()
    assert core.shown().counts.interval_length == pytest.approx(1.3 * core.counts.interval_length)
    assert core.shown().counts.steps == core.counts.steps
    assert EngineCore(QWEN, mtp=3).shown().counts is not core.counts


def test_overcounted_drafts_do_not_agree_with_what_chunks_hold() -> None:
    for fault_id, factor in (("healthy", 1.0), ("accepted-overcounted", 1.07)):
        found = run(find_fault(fault_id), window_s=60)
        tokens = np.concatenate([s.chunk_tokens[1:] for s in found.traffic.samples])
        told = acceptance(found)
        assert told is not None
        assert told.length / tokens.mean() == pytest.approx(factor, rel=0.01)


@pytest.mark.parametrize("control", HEALTHY_CONTROLS)
@pytest.mark.parametrize("mtp", one_of_each((3, 0)))
def test_a_healthy_control_differs_by_no_more_than_noise(control: str, mtp: int) -> None:
    plain = measured("healthy", mtp=mtp, window_s=180.0)
    other = measure(run(find_fault(control), mtp=mtp, window_s=180, seed=2))
    accepted = ACCEPTANCE if mtp else ()
    for quantity in ("output_tok_s_gpu", "interactivity_tok_s_user", "ttft_p50_ms", "step_ms", *accepted):
        assert other[quantity] == pytest.approx(plain[quantity], rel=0.02), quantity


def test_a_longer_stream_interval_changes_chunks_only() -> None:
    plain, other = run(), run(find_fault("control-stream-interval"))
    assert other.counters == plain.counters
    ours, theirs = (next(s for s in one.traffic.samples if s.status == "ok") for one in (plain, other))
    assert theirs.output_tokens == ours.output_tokens
    assert theirs.chunk_s[-1] == ours.chunk_s[-1]
    assert list(theirs.chunk_tokens[:2]) == [1, int(ours.chunk_tokens[1:3].sum())]


# ---- nothing at level 0


def assert_same(one: VirtualRun, other: VirtualRun) -> None:
    ours, theirs = one.traffic.samples, other.traffic.samples
    assert len(ours) == len(theirs)
    for mine, yours in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.chunk_s, yours.chunk_s)
        np.testing.assert_array_equal(mine.chunk_tokens, yours.chunk_tokens)
        assert (mine.status, mine.prompt_tokens) == (yours.status, yours.prompt_tokens)


@cache
def brief(fault: Fault, *, mtp: int, concurrency: int, seed: int) -> VirtualRun:
    workload = Workload(isl=300, osl=200)
    return run_closed_loop(
        TINY, mtp=mtp, workload=workload, concurrency=concurrency, window_s=1.0, seed=seed, fault=fault
    )


@examples(15)
@given(
    fault=st.sampled_from(sorted(ALL.values(), key=lambda f: f.id)),
    mtp=st.integers(0, 3),
    concurrency=st.integers(1, 40),
    seed=st.integers(0, 100),
)
def test_a_fault_of_no_magnitude_is_the_healthy_engine_exactly(
    fault: Fault, mtp: int, concurrency: int, seed: int
) -> None:
    healthy, none = (brief(f, mtp=mtp, concurrency=concurrency, seed=seed) for f in (HEALTHY, fault.at(0)))
    assert_same(none, healthy)
    assert none.counters == healthy.counters
    assert none.looks == healthy.looks


@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if f.from_mtp], ids=lambda f: f.id)
def test_a_fault_of_speculation_is_not_in_an_engine_without(fault: Fault) -> None:
    point = {"mtp": fault.from_mtp - 1, "concurrency": 20, "seed": 0}
    assert_same(brief(fault, **point), brief(HEALTHY, **point))


# ---- what a run tells


def test_looks_follow_the_engine_and_its_counters_add_up() -> None:
    found = run()
    start, end = found.traffic.window_start_s, found.traffic.window_end_s
    before, after = found.around(start, end)
    assert before.at_s <= start < before.at_s + 1
    assert after.at_s == end
    assert found.looks[0].generation_tokens == 0
    assert after.running == pytest.approx(16, abs=1)
    # Decoding and prefilling is all that it does.
    busy = after.step_s + after.prefill_s - before.step_s - before.prefill_s
    assert busy == pytest.approx(end - start, abs=0.7)
    steps = after.engine_steps - before.engine_steps
    assert (after.sequence_steps - before.sequence_steps) / steps == pytest.approx(16, abs=0.6)
    assert after.speculation == found.counters


def test_each_request_has_its_own_counters() -> None:
    found = run()
    done = [s for s in found.traffic.samples if s.status == "ok"]
    whole = sum((s.speculation for s in done if s.speculation), start=SpecCounters(steps=0, drafted=0, accepted=0))
    assert found.counters is not None
    assert 0 < whole.steps < found.counters.steps
    for one in done:
        assert one.speculation is not None
        assert one.speculation.drafted == 3 * one.speculation.steps
        # The first token is of the prefill; max_tokens cuts off what the last step has too much.
        assert 0 <= 1 + one.speculation.steps + one.speculation.accepted - one.output_tokens <= 3
    assert all(s.speculation is None for s in found.traffic.samples if s.status == "cut")


def test_prompts_that_differ_do_so_in_every_run() -> None:
    varied = replace(QWEN, acceptance=replace(QWEN.acceptance, prompt_spread=0.4))

    def lengths(seed: int, fault: Fault) -> dict[int, float]:
        workload = Workload(isl=1024, osl=1024)
        found = run_closed_loop(varied, mtp=3, workload=workload, concurrency=16, window_s=120, seed=seed, fault=fault)
        done = [s for s in found.traffic.samples if s.speculation is not None]
        return {s.request.prompt: 1 + s.speculation.accepted / s.speculation.steps for s in done if s.speculation}

    healthy, again = lengths(1, HEALTHY), lengths(2, HEALTHY)
    shared = sorted(healthy.keys() & again.keys())
    assert len(shared) > 50
    ours, theirs = (np.array([one[prompt] for prompt in shared]) for one in (healthy, again))
    assert ours.std() > 0.15
    assert np.corrcoef(ours, theirs)[0, 1] > 0.8
    assert (ours - theirs).std() < 0.5 * ours.std()
    assert ours.mean() == pytest.approx(QWEN.acceptance.length(3), rel=0.03)
    worse = lengths(3, find_fault("acceptance-slips"))
    paired = [worse[prompt] / healthy[prompt] - 1 for prompt in shared if prompt in worse]
    assert float(np.mean(paired)) == pytest.approx(-0.06, abs=0.02)


# ---- HTTP

Client = aiohttp.ClientSession
STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 1, "maximum": 9},
        "kind": {"enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "alive": {"type": "boolean"},
        "version": {"const": 3},
        "nothing": {"type": "null"},
    },
}


def over_http(test: Callable[[Client, str], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        server = await start(SimulatorOptions(preset="tiny", **{"mtp": 3, "speed": 20, **options}))
        try:
            async with aiohttp.ClientSession() as client:
                return await test(client, server.url.removesuffix("/v1"))
        finally:
            await server.close()

    return asyncio.run(main())


def body(prompt: str = "Tell me of rivers.", **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": prompt}], "max_tokens": 80, **more}


async def answer(client: Client, root: str, asked: dict[str, Any]) -> dict[str, Any]:
    async with client.post(f"{root}/v1/chat/completions", json=asked) as response:
        found: dict[str, Any] = json.loads((await response.read()).decode(errors="surrogateescape"))
        return {"status": response.status, **found}


def texts(fault: str | None, prompts: int = 40, *, mtp: int = 3, asked: dict[str, Any] | None = None) -> list[str]:
    async def test(client: Client, root: str) -> list[str]:
        said = []
        for i in range(prompts):
            found = await answer(client, root, body(f"Tell me of river {i}.", **(asked or {"ignore_eos": True})))
            said.append(found["choices"][0]["message"]["content"])
        return said

    said: list[str] = over_http(test, fault=fault, mtp=mtp)
    return said


def metrics(fault: str | None, adapter: Vllm | Sglang, **options: Any) -> EngineReading:
    async def test(client: Client, root: str) -> EngineReading:
        await asyncio.gather(*(answer(client, root, body(f"{i}", ignore_eos=True, max_tokens=300)) for i in range(8)))
        async with client.get(f"{root}/metrics") as response:
            return adapter.reading(Samples.parse(await response.text()))

    reading: EngineReading = over_http(test, fault=fault, **options)
    return reading


def wrong(ours: list[str], theirs: list[str]) -> float:
    return sum(a != b for a, b in zip(ours, theirs, strict=True)) / len(ours)


def test_a_healthy_text_is_offs_and_so_is_one_with_any_fault_of_speed() -> None:
    off = texts(None, mtp=0)
    for fault in (None, "drafter-broken", "slow-steps", "fewer-draft-tokens", "preempted", "answers-wrong@0"):
        assert texts(fault) == off


@pytest.mark.parametrize(
    ("fault", "share", "pattern"),
    [
        ("answers-wrong", 1.0, r"[a-z ]+"),
        ("text-differs", 1.0, r"[a-z ]+"),
        ("control-near-ties", 0.1, r"[a-z ]+"),
        ("anothers-text", 0.05, r"[a-z ]+"),
        ("garbled", 1.0, r"[a-z ]+( !!){70}"),
        ("gibberish", 1.0, r"[a-z ]+[^a-z ]{70}"),
        ("endless", 1.0, r"[a-z ]+?(( [a-z]+){3})\1{10,} ?[a-z ]*"),
        ("replacement-characters", 0.1, "[a-z ]*(\ufffd[a-z ]+)*\ufffd?|[a-z ]+"),
        ("invalid-utf8", 0.1, "[a-z ]*(\udcc3\\()+|[a-z ]+"),
        ("tokens-lost", 0.0, r"[a-z ]+"),
        ("tokens-lost@0.5", 0.0, r"[a-z ]+"),
    ],
)
def test_a_wrong_text_is_wrong_on_the_wire(fault: str, share: float, pattern: str) -> None:
    ours, off = texts(fault), texts(None, mtp=0)
    assert wrong(ours, off) == pytest.approx(share, abs=0.1)
    assert all(re.fullmatch(pattern, one) for one in ours), ours
    # Greedy decoding: wrong in the same way every time.
    assert texts(fault) == ours


def test_lost_tokens_are_missing_from_text_and_usage() -> None:
    async def test(client: Client, root: str) -> tuple[int, int]:
        found = await answer(client, root, body(ignore_eos=True, max_tokens=400))
        return found["usage"]["completion_tokens"], len(found["choices"][0]["message"]["content"].split())

    assert over_http(test, fault="tokens-lost") == (396, 396)
    assert over_http(test, fault="usage-inflated") == (500, 400)


def test_a_stream_of_lost_tokens_ends_as_any_other() -> None:
    async def test(client: Client, root: str) -> bytes:
        asked = body(ignore_eos=True, max_tokens=400, **STREAM)
        async with client.post(f"{root}/v1/chat/completions", json=asked) as response:
            return await response.read()

    for interval in (1, 3):
        found = over_http(test, fault="tokens-lost", mtp=1, stream_interval=interval)
        assert found.endswith(b"data: [DONE]\n\n")
        assert b'"finish_reason":"length"' in found
        assert b'"completion_tokens":396' in found


def test_loops_come_with_long_prompts_only_and_never_stop() -> None:
    async def test(client: Client, root: str) -> list[tuple[str, int]]:
        found = []
        for words in (10, 5000):
            for i in range(8):
                one = await answer(client, root, body(f"{i} " + "word " * words, max_tokens=900))
                found.append((one["choices"][0]["finish_reason"], one["usage"]["completion_tokens"]))
        return found

    healthy, faulty = (over_http(test, fault=fault, speed=200) for fault in (None, "loops-in-long-context"))
    assert faulty[:8] == healthy[:8]
    assert all(reason == "stop" for reason, _ in healthy)
    assert 1 <= sum(one == ("length", 900) for one in faulty[8:]) <= 7


def test_only_the_first_answer_of_a_corrupted_engine_is_right() -> None:
    ours, off = texts("state-corrupted", 5), texts(None, 5, mtp=0)
    assert ours[0] == off[0]
    assert not any(re.search("[a-z]", one) for one in ours[1:])


def test_structured_answers_are_valid_unless_that_is_the_fault() -> None:
    asked = {
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
        "max_tokens": 400,
    }
    healthy, off, faulty = (
        texts(None, asked=asked),
        texts(None, mtp=0, asked=asked),
        texts("structured-invalid", asked=asked),
    )
    assert healthy == off
    for one in healthy:
        value = json.loads(one)
        assert value.keys() == SCHEMA["properties"].keys()  # type: ignore[attr-defined]
        assert 1 <= value["age"] <= 9
        assert len(value["name"]) <= 12
        assert len(value["tags"]) == 2
        assert (value["kind"] in ("a", "b"), value["version"], value["nothing"]) == (True, 3, None)
    assert 0.1 < sum(not is_json(one) for one in faulty) / len(faulty) < 0.5
    assert all(is_json(one) for one in texts(None, 3, asked={"response_format": {"type": "json_object"}}))


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_a_stuck_grammar_stops_its_requests_and_no_others() -> None:
    async def test(client: Client, root: str) -> bool:
        structured = body(response_format={"type": "json_object"})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answer(client, root, structured), 0.4)
        later = await answer(client, root, body())
        return bool(later["status"] == 200)

    assert over_http(test, fault="structured-stuck")


def test_a_dead_engine_breaks_streams_off_and_is_unhealthy() -> None:
    async def test(client: Client, root: str) -> tuple[bytes, int, dict[str, Any]]:
        async with client.post(f"{root}/v1/chat/completions", json=body(**STREAM)) as response:
            stream = await response.read()
        async with client.get(f"{root}/health") as response:
            health = response.status
        return stream, health, await answer(client, root, body())

    stream, health, later = over_http(test, fault="crash-at-warm-up")
    assert b'"error":{"message":"CUDA error' in stream
    assert b"[DONE]" not in stream
    assert health == 503
    assert (later["status"], later["error"]["type"]) == (500, "InternalServerError")
    whole = over_http(lambda client, root: answer(client, root, body()), fault="crash-at-warm-up")
    assert whole["status"] == 500


def test_a_hanging_engine_looks_healthy_until_its_watchdog_ends_it() -> None:
    async def test(client: Client, root: str) -> tuple[int, bytes]:
        async def stream() -> bytes:
            asked = body(ignore_eos=True, max_tokens=30_000, **STREAM)
            async with client.post(f"{root}/v1/chat/completions", json=asked) as response:
                return await response.read()

        running = asyncio.create_task(stream())
        await asyncio.sleep(0.25)
        async with client.get(f"{root}/health") as response:
            health = response.status
        return health, await running

    # 10 s of load and 300 s of patience are 0.1 and 3 s here.
    health, stream = over_http(test, fault="hang", speed=100)
    assert health == 200
    assert b"watchdog" in stream


def test_a_start_that_fails_is_one_sentence() -> None:
    with pytest.raises(EngineError, match="failed to start: CUDA error"):
        over_http(lambda client, root: answer(client, root, body()), fault="start-fails")
    with pytest.raises(InvalidInputError, match="unknown fault 'nothing'"):
        over_http(lambda client, root: answer(client, root, body()), fault="nothing")


def test_faults_of_acceptance_and_of_k_show_in_the_metrics() -> None:
    def length(reading: EngineReading) -> Acceptance:
        assert reading.speculation is not None
        found = acceptance_from(reading.speculation)
        assert found is not None
        return found

    healthy, broken, fewer = (
        length(metrics(fault, Vllm())) for fault in (None, "drafter-broken", "fewer-draft-tokens")
    )
    assert healthy.length == pytest.approx(3.4, abs=0.2)
    assert broken.length < 1.1
    assert fewer.per_position[2] == 0
    assert fewer.rate == pytest.approx(0.85, abs=0.05)
    silent = metrics("off-silently", Vllm()).speculation
    assert silent is not None
    assert silent.steps == 0


def test_metrics_that_lie_do_so_on_the_wire() -> None:
    plain, twice = (metrics(f, Vllm()).speculation for f in (None, "speculation-counted-twice"))
    assert plain is not None
    assert twice is not None
    assert twice.accepted / plain.accepted == pytest.approx(2, rel=0.1)
    assert metrics("tokens-undercounted", Vllm()).generation_tokens == round(0.98 * 8 * 300)
    gauges = [metrics(fault, Sglang(), dialect="sglang").gauge_length or 0 for fault in (None, "gauge-lies")]
    assert gauges[1] / gauges[0] == pytest.approx(1.3, rel=0.12)


def test_prompts_grow_and_answers_shrink_on_the_wire() -> None:
    async def test(client: Client, root: str) -> tuple[int, int, str]:
        found = await answer(client, root, body(ignore_eos=True, max_tokens=300))
        usage = found["usage"]
        return usage["prompt_tokens"], usage["completion_tokens"], found["choices"][0]["finish_reason"]

    prompt, completion, reason = over_http(test)
    assert (completion, reason) == (300, "length")
    assert over_http(test, fault="template-changed") == (prompt + 60, 300, "length")
    assert over_http(test, fault="stops-early") == (prompt, 128, "stop")


def test_slow_steps_are_slow_in_real_time() -> None:
    """As slow as in virtual time, or slower where the machine is busy."""
    speed, tokens = 2, 400

    async def test(client: Client, root: str) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await answer(client, root, body(ignore_eos=True, max_tokens=tokens))
        return loop.time() - began

    def virtual(fault: Fault) -> float:
        core = EngineCore(TINY, mtp=3, fault=fault)
        core.submit(Sequence(key=0, prompt_tokens=10, max_tokens=tokens), 0.0)
        while (at_s := core.next_event) is not None:
            core.complete()
            ended = at_s
        return ended

    fault = find_fault("slow-at-good-acceptance")
    assert virtual(fault) > 2.5 * virtual(HEALTHY)
    assert over_http(test, fault=fault.id, speed=speed) > 0.9 * virtual(fault) / speed


def test_an_example_of_an_unknown_type_is_null() -> None:
    assert example({"type": "date"}, 1) is None
