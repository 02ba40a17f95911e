"""Results of other tools in the core: what may be compared, curves from runs, numbers that cannot be true."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import examples

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import InvalidInputError, NotComparableError
from pytest_specdec.importers.curves import compare_peers, join
from pytest_specdec.importers.definitions import (
    AIPERF,
    IMPORTED,
    MEANINGS,
    SPECDEC,
    VLLM_BENCH,
    Meaning,
    differences,
    refuse_other_tool,
)
from pytest_specdec.importers.result import PeerResult

unhurried = examples(40)


def run(
    concurrency: int = 4, *, tpot_ms: float = 10.0, requests: int = 40, osl: int = 100, **changes: Any
) -> PeerResult:
    """A run whose numbers agree: every request takes 100 ms and its tokens."""
    per_request_s = (100 + (osl - 1) * tpot_ms) / 1000
    duration_s = per_request_s * requests / concurrency
    result = PeerResult(
        meaning=VLLM_BENCH,
        token_source="usage",
        source=f"c{concurrency}.json",
        backend="openai-chat",
        concurrency=concurrency,
        completed=requests,
        failed=0,
        duration_s=duration_s,
        input_tokens=50 * requests,
        output_tokens=osl * requests,
        output_tok_s=osl * requests / duration_s,
        total_tok_s=(osl + 50) * requests / duration_s,
        tpot_p50_ms=tpot_ms,
        readings={"ttft_p50_ms": Estimate(100.0)},
    )
    return replace(result, **changes)


def sweep(factor: float = 1.0, /, **changes: Any) -> list[PeerResult]:
    return [run(c, tpot_ms=tpot * factor, **changes) for c, tpot in ((2, 5.0), (4, 7.0), (8, 11.0))]


@pytest.mark.parametrize(("one", "other"), list(combinations(MEANINGS, 2)), ids=lambda meaning: meaning.tool)
def test_no_tool_is_compared_with_another_and_the_reason_is_said(one: Meaning, other: Meaning) -> None:
    with pytest.raises(NotComparableError) as refused:
        refuse_other_tool(one, other)
    said = str(refused.value)
    assert "\n" not in said
    assert f"{one.tool} against {other.tool}" in said
    assert differences(one, other)
    for mine, theirs in differences(one, other).values():
        assert f"{mine}, against {theirs}" in said


@pytest.mark.parametrize("meaning", MEANINGS, ids=lambda meaning: meaning.tool)
def test_a_tool_is_comparable_with_itself(meaning: Meaning) -> None:
    refuse_other_tool(meaning, meaning)
    assert differences(meaning, meaning) == {}


@pytest.mark.parametrize("meaning", IMPORTED, ids=lambda meaning: meaning.tool)
def test_a_mixture_with_a_saved_run_names_window_and_tpot(meaning: Meaning) -> None:
    with pytest.raises(
        NotComparableError, match=r"ramp-up and drain in it.*against tokens in the steady window"
    ) as said:
        refuse_other_tool(meaning, SPECDEC)
    assert "median over the run's requests" in str(said.value)
    assert "median over streams" in str(said.value)


def test_throughput_is_per_gpu_and_interactivity_is_one_over_median_tpot() -> None:
    point = join([run(4, tpot_ms=8.0)], gpus=8).curve.points[0]
    assert point.interactivity.value == pytest.approx(125)
    assert point.throughput.value == pytest.approx(run(4, tpot_ms=8.0).total_tok_s / 8)
    parts = point.readings["output_tok_s_gpu"].value + point.readings["input_tok_s_gpu"].value
    assert parts == pytest.approx(point.throughput.value)


@unhurried
@given(st.permutations(sweep()))
def test_the_order_of_files_does_not_matter(runs: list[PeerResult]) -> None:
    assert join(runs, 1).curve.points == join(sweep(), 1).curve.points


@unhurried
@given(st.lists(st.floats(5.0, 20.0), min_size=1, max_size=6, unique=True))
def test_runs_at_one_concurrency_are_averaged_and_three_tell_their_scatter(tpots: list[float]) -> None:
    (point,) = join([run(tpot_ms=tpot) for tpot in tpots], 1).curve.points
    mean = point.readings["tpot_p50_ms"]
    assert mean.value == pytest.approx(sum(tpots) / len(tpots))
    assert point.interactivity.value == pytest.approx(1000 / mean.value)
    assert (mean.half_width is None) == (len(tpots) < 3)


@unhurried
@given(st.integers(1, 4))
def test_a_run_that_two_files_have_counts_once(times: int) -> None:
    copies = [replace(result, source=f"copy {n}") for n in range(times) for result in sweep()]
    assert len(join(copies, 1).results) == 3


@unhurried
@given(st.floats(0.2, 5.0), st.integers(1, 64))
def test_a_ratio_of_two_sweeps_depends_on_no_gpu_count(factor: float, gpus: int) -> None:
    old, new = ([run(4, tpot_ms=10.0 * f)] for f in (1.0, factor))
    level = compare_peers(join(old, gpus), join(new, gpus)).at_concurrency(4)
    assert level.throughput_ratio.value == pytest.approx(new[0].total_tok_s / old[0].total_tok_s)
    assert level.interactivity_ratio.value == pytest.approx(1 / factor)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"meaning": AIPERF}, "tool differs, 'vllm bench serve' against 'AIPerf'"),
        ({"backend": "openai"}, "backend differs"),
        ({"token_source": "tokenizer"}, "source of the token counts differs"),
        ({"draft_tokens": 3}, "draft tokens differs, None against 3"),
        ({"tool_version": "2"}, "version of the tool differs"),
        ({"osl": 200}, "mean OSL differs, 100.0 against 200.0"),
    ],
)
def test_a_curve_never_mixes(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(NotComparableError, match=words):
        join([run(4), run(8, **changes)], 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backend": "openai"}, "backend differs, 'openai' against 'openai-chat'"),
        ({"token_source": "tokenizer"}, "source of the token counts differs"),
        ({"model": "b"}, "model differs, 'b' against 'a'"),
        ({"workload": "random"}, "workload differs"),
        ({"osl": 120}, "mean OSL differs, 120.0 against 100.0"),
        ({"meaning": AIPERF}, "vllm bench serve against AIPerf"),
    ],
)
def test_two_sides_of_unlike_things_are_refused(changes: dict[str, Any], words: str) -> None:
    known: dict[str, Any] = {"model": "a", "workload": "sharegpt"}
    with pytest.raises(NotComparableError, match=words):
        compare_peers(join(sweep(**known), 1), join(sweep(**{**known, **changes}), 1))


def test_another_number_of_gpus_is_not_comparable() -> None:
    with pytest.raises(NotComparableError, match="number of GPUs differs, 8 against 4"):
        compare_peers(join(sweep(), 4), join(sweep(), 8))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tool_version": "0.14"}, "version of vllm bench serve differs, 0.14 against 0.13"),
        ({"osl": 102}, "output tokens per request are 102.0 against 100.0 on average"),
        ({"engine_version": "2"}, "version differs (2 against 1)"),
        ({"requests": 400}, "concurrency 4: 100.0 against 10.0 requests per stream"),
        ({"requests": 16}, "new: few requests per stream (4.0 at concurrency 4, 2.0 at concurrency 8)"),
        ({"failed": 3}, "c2.json and 2 more: 3 of 43 requests failed"),
        ({"failed": None}, "does not state how many requests failed"),
    ],
)
def test_what_makes_a_comparison_doubtful_is_said(changes: dict[str, Any], words: str) -> None:
    known: dict[str, Any] = {"tool_version": "0.13", "engine_version": "1"}
    comparison = compare_peers(join(sweep(**known), 1), join(sweep(**{**known, **changes}), 1))
    assert any(words in caution for caution in comparison.cautions), comparison.cautions


def test_equal_sides_have_no_caution_but_that_nothing_was_repeated() -> None:
    known = {"tool_version": "0.13"}
    comparison = compare_peers(join(sweep(**known), 1), join(sweep(1.1, **known), 1))
    assert [caution.partition(":")[0] for caution in comparison.cautions] == ["one run per point"]
    repeated = [*sweep(**known), *sweep(1.01, **known)]
    assert compare_peers(join(repeated, 1), join(sweep(**known), 1)).cautions == ()


def test_sides_are_named_by_their_speculation_where_it_differs() -> None:
    off, unknown, mtp = (join(sweep(draft_tokens=k), 1) for k in (0, None, 3))
    assert compare_peers(off, mtp).names == ("new (K=3)", "old (Off)")
    assert compare_peers(unknown, mtp).names == ("new (K=3)", "old (no speculation seen)")
    assert compare_peers(mtp, mtp).names == ("new", "old")


def test_gpus_are_asked_for_and_never_guessed() -> None:
    with pytest.raises(InvalidInputError, match=r"c2.json does not state the number of GPUs: .*--gpus N"):
        join(sweep())
    assert join(sweep(gpus=8)).gpus == 8
    assert join(sweep(gpus=8), 8).gpus == 8
    with pytest.raises(InvalidInputError, match="number of GPUs is 4 and 8"):
        join(sweep(gpus=8), 4)


def test_a_sweep_may_pass_midnight() -> None:
    runs = [replace(result, date=f"2026-11-2{day}") for day, result in enumerate(sweep())]
    assert join(runs, 1).curve.identity.date == "2026-11-20 to 2026-11-22"


def test_a_reading_that_one_point_lacks_is_missing_and_not_zero() -> None:
    bare = replace(run(8), readings={})
    curve = join([run(4), bare], 1).curve
    assert "ttft_p50_ms" not in curve.at_concurrency(8).readings
    assert "ttft_p50_ms" in curve.at_concurrency(4).readings
    assert "ttft_p50_ms" in bare.missing


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"completed": 0}, "no request was completed"),
        ({"output_tokens": 0}, "0 output tokens: nothing was counted"),
        ({"input_tokens": 0}, "0 input and"),
        ({"tpot_p50_ms": 0.0}, "tpot_p50_ms is 0, expected a positive number"),
        ({"tpot_p50_ms": math.nan}, "tpot_p50_ms is nan"),
        ({"total_tok_s": math.inf}, "total_tok_s is inf"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"readings": {"ttft_p50_ms": Estimate(math.nan)}}, "ttft_p50_ms is nan"),
        ({"concurrency": 64}, "40 completed requests never filled 64 streams"),
    ],
)
def test_numbers_that_cannot_be_true_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        replace(run(4), **changes)


@pytest.mark.parametrize("field", ["tpot_p50_ms", "duration_s", "output_tok_s", "total_tok_s"])
@unhurried
@given(tpot_ms=st.floats(1.0, 200.0), concurrency=st.sampled_from([1, 4, 32]), osl=st.integers(10, 1000))
def test_a_number_in_another_unit_is_seen(field: str, tpot_ms: float, concurrency: int, osl: int) -> None:
    good = run(concurrency, tpot_ms=tpot_ms, osl=osl)
    for factor in (1000, 1 / 1000):
        readings = {} if field == "tpot_p50_ms" else good.readings
        with pytest.raises(InvalidInputError, match="wrong units"):
            replace(good, readings=readings, **{field: getattr(good, field) * factor})


@unhurried
@given(st.floats(1.0, 200.0), st.sampled_from([1, 2, 8, 40]), st.integers(2, 1000))
def test_numbers_that_agree_are_never_refused(tpot_ms: float, concurrency: int, osl: int) -> None:
    assert run(concurrency, tpot_ms=tpot_ms, osl=osl).rounds == 40 / concurrency
