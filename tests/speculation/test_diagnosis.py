"""A change of throughput is taken apart into factors that multiply to it, and the sentence names the right one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual import run_closed_loop

from pytest_specdec.domain.acceptance import acceptance_from
from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.price import Price
from pytest_specdec.estimators.summary import summarize
from pytest_specdec.simulator.presets import find_preset
from pytest_specdec.speculation.diagnosis import Cause, diagnose

HEALTHY = {
    "acceptance_length": 2.61,
    "step_time_ms": 20.0,
    "decoding_streams": 15.0,
    "itl_p50_ms": 19.0,
    "ttft_p50_ms": 100.0,
}


def values(sure: float = 0.003, **changes: float) -> dict[str, Estimate]:
    """A point with these factors, and the throughput that follows from them."""
    factors = HEALTHY | {key: HEALTHY[key] * factor for key, factor in changes.items()}
    output = factors["decoding_streams"] * factors["acceptance_length"] / factors["step_time_ms"] * 1000
    step_rate = output / factors["acceptance_length"]
    known = {**factors, "output_tok_s_gpu": output, "step_rate_s": step_rate}
    return {key: Estimate(value, value * sure) for key, value in known.items()}


@pytest.mark.parametrize(
    ("changes", "cause", "first", "last"),
    [
        (
            {"acceptance_length": 0.877},
            "acceptance",
            "-12.3%: acceptance length 2.61 -> 2.29 (-12.3%), step time unchanged, decoding streams unchanged: ",
            "the drafter, not the kernels",
        ),
        (
            {"step_time_ms": 1.1, "itl_p50_ms": 1.1},
            "step time",
            "-9.1%: step time 20.00 -> 22.00 (-9.1%), acceptance length unchanged, decoding streams unchanged: ",
            "the steps themselves, not the drafter",
        ),
        (
            {"step_time_ms": 1.1},
            "stalls",
            "-9.1%: step time 20.00 -> 22.00 (-9.1%), acceptance length unchanged, ",
            "(prefills of other requests, preemptions), not the steps and not the drafter",
        ),
        (
            {"step_time_ms": 1.1, "ttft_p50_ms": 1.5},
            "prefill",
            "-9.1%: step time 20.00 -> 22.00 (-9.1%), acceptance length unchanged, ",
            "prefills, which stop the streams of others and move the TTFT, not the steps and not the drafter",
        ),
        ({"step_time_ms": 0.9, "ttft_p50_ms": 0.5}, "prefill", "+11.1%: ", "not the steps and not the drafter"),
        ({"step_time_ms": 1.1, "ttft_p50_ms": 0.5}, "stalls", "-9.1%: ", "not the steps and not the drafter"),
        ({"step_time_ms": 1.1, "itl_p50_ms": 1.1, "ttft_p50_ms": 1.5}, "step time", "-9.1%: ", "not the drafter"),
        (
            {"decoding_streams": 0.8},
            "waiting",
            "-20.0%: decoding streams 15.0 -> 12.0 (-20.0%), acceptance length unchanged, step time unchanged: ",
            "requests that wait for their first token (queue or prefill), not the drafter",
        ),
        ({"acceptance_length": 0.9, "decoding_streams": 0.9}, "several", "-19.0%: ", "several things at once"),
        ({"acceptance_length": 1.2}, "acceptance", "+20.0%: acceptance length 2.61 -> 3.13 (+20.0%)", "the kernels"),
        ({}, "none", "+0.0%: no change beyond the uncertainty", ""),
    ],
)
def test_the_sentence_names_what_moved(changes: dict[str, float], cause: Cause, first: str, last: str) -> None:
    found = diagnose(values(), values(**changes))
    assert found is not None
    assert found.cause == cause
    assert found.sentence.startswith(first)
    assert found.sentence.endswith(last)


def test_a_faster_factor_is_not_the_cause_of_a_slower_whole() -> None:
    found = diagnose(values(), values(acceptance_length=0.7, step_time_ms=0.9, itl_p50_ms=0.9))
    assert found is not None
    assert found.cause == "acceptance"
    assert "step time 20.00 -> 18.00 (+11.1%)" in found.sentence


@given(st.floats(0.5, 2), st.floats(0.5, 2), st.floats(0.5, 2))
def test_the_parts_and_the_rest_multiply_to_the_whole(length: float, step: float, streams: float) -> None:
    found = diagnose(values(), values(acceptance_length=length, step_time_ms=step, decoding_streams=streams))
    assert found is not None
    product = math.prod(1 + part.effect.value for part in found.parts) * (1 + found.rest)
    assert product == pytest.approx(1 + found.change.value)
    assert found.rest == pytest.approx(0, abs=1e-9)


@given(st.floats(0.7, 1.4), st.floats(0.7, 1.4))
def test_before_and_after_exchanged_give_the_inverse(length: float, step: float) -> None:
    changed = values(acceptance_length=length, step_time_ms=step, itl_p50_ms=step)
    there, back = diagnose(values(), changed), diagnose(changed, values())
    assert there is not None
    assert back is not None
    assert (1 + there.change.value) * (1 + back.change.value) == pytest.approx(1)


def test_what_no_factor_explains_is_shown_as_such() -> None:
    after = values()
    after["output_tok_s_gpu"] = after["output_tok_s_gpu"].scaled(0.9)
    found = diagnose(values(), after)
    assert found is not None
    assert found.cause == "unexplained"
    assert found.rest == pytest.approx(-0.1)
    assert "-10.0% unexplained: none of the measured factors" in found.sentence


def test_a_baseline_without_step_time_is_explained_by_the_step_rate() -> None:
    before, after = (
        {k: v for k, v in point.items() if k not in ("step_time_ms", "decoding_streams")}
        for point in (values(), values(step_time_ms=1.1))
    )
    found = diagnose(before, after)
    assert found is not None
    assert [part.metric for part in found.parts] == ["acceptance_length", "step_rate_s"]
    assert found.cause == "step time"


def test_uncertain_changes_are_no_change() -> None:
    found = diagnose(values(sure=0.2), values(sure=0.2, acceptance_length=0.9))
    assert found is not None
    assert found.cause == "none"


def test_without_throughput_there_is_no_diagnosis() -> None:
    assert diagnose({}, values()) is None


def test_off_has_no_acceptance_and_is_explained_all_the_same() -> None:
    before, after = (
        {k: v for k, v in point.items() if k != "acceptance_length"}
        for point in (values(), values(step_time_ms=1.2, itl_p50_ms=1.2))
    )
    found = diagnose(before, after)
    assert found is not None
    assert found.cause == "step time"


@pytest.mark.parametrize("mtp", [0, 3])
def test_on_the_simulated_engine_the_factors_are_the_rate(mtp: int) -> None:
    workload = Workload(isl=1024, osl=1024)
    run = run_closed_loop(find_preset("h200-qwen3.5-397b-fp8"), mtp=mtp, workload=workload, concurrency=16, window_s=20)
    found, _ = summarize(
        run.traffic,
        workload,
        gpus=8,
        acceptance=acceptance_from(run.counters) if run.counters else None,
        price=Price(usd_per_gpu_hour=1, kw_per_gpu=1),
    )
    length = found["acceptance_length"].value if mtp else 1.0
    product = found["decoding_streams"].value * length / found["step_time_ms"].value * 1000
    assert product == pytest.approx(8 * found["output_tok_s_gpu"].value, rel=1e-9)
    assert 10 < found["decoding_streams"].value <= 16
