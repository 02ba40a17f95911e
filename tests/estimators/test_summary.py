"""Facts -> values: known streams give known numbers, and the intervals cover."""

from __future__ import annotations

import dataclasses
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import examples, one_of_each
from virtual import run_closed_loop

from pytest_specdec.domain.acceptance import Acceptance, SpecCounters, acceptance_from
from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.price import Price
from pytest_specdec.domain.traffic import PlannedRequest, RequestSample, Traffic
from pytest_specdec.errors import EngineError, NotMeasuredError
from pytest_specdec.estimators.steady import batch_mean, median_estimate
from pytest_specdec.estimators.summary import acceptance_length, speeds, summarize
from pytest_specdec.simulator.presets import find_preset
from pytest_specdec.workload.schedule import closed_loop_requests

PRICE = Price(usd_per_gpu_hour=1.0, kw_per_gpu=1.0)
EXACT = Workload(isl=100, osl=100, shortest=1.0)


def stream(index: int, start: float, *, ttft: float = 0.1, gap: float = 0.02, per_chunk: int = 1) -> RequestSample:
    """A request of exactly 100 tokens: one at `ttft`, then `per_chunk` every `gap` seconds."""
    sizes = np.array([1, *[per_chunk] * (99 // per_chunk)])
    times = np.array([start + ttft + gap * i for i in range(len(sizes))])
    return RequestSample(
        request=PlannedRequest(index=index, prompt=index, isl=100, osl=100),
        start_s=start,
        chunk_s=times,
        chunk_tokens=sizes,
        prompt_tokens=100,
        status="ok",
    )


def steady(slots: int, *, until: float = 20.0, gap: float = 0.02, per_chunk: int = 1) -> Traffic:
    """Slots that start evenly spread and go on without a pause; the window is seconds 5 to 15."""
    length = 0.1 + gap * (99 // per_chunk)
    samples = [
        stream(slot * 1000 + k, slot * length / slots + k * length, gap=gap, per_chunk=per_chunk)
        for slot in range(slots)
        for k in range(int(until / length) + 1)
    ]
    return Traffic(samples=samples, window_start_s=5.0, window_end_s=15.0)


def values(traffic: Traffic, workload: Workload = EXACT, gpus: int = 1) -> dict[str, Estimate]:
    return summarize(traffic, workload, gpus=gpus, acceptance=None, price=PRICE)[0]


def test_a_steady_stream_gives_its_exact_numbers() -> None:
    found = values(steady(8), gpus=2)
    rate = 8 * 100 / (0.1 + 0.02 * 99)
    assert found["output_tok_s_gpu"].value == pytest.approx(rate / 2, rel=0.005)
    assert found["total_tok_s_gpu"].value == pytest.approx(rate, rel=0.005)
    assert np.median(speeds(steady(8), EXACT).tpots) == pytest.approx(0.020, rel=1e-6)
    # The median of the streams is exact; moving it to the long run sees that tokens come in grains.
    assert found["tpot_p50_ms"].value == pytest.approx(20, rel=5e-4)
    assert found["interactivity_tok_s_user"].value == pytest.approx(50, rel=5e-4)
    assert found["ttft_p50_ms"].value == pytest.approx(100, rel=1e-6)
    assert found["e2e_p50_ms"].value == pytest.approx(2080, rel=1e-6)
    assert found["cost_usd_mtok"].value == pytest.approx(1 / (found["total_tok_s_gpu"].value * 0.0036))


def test_tokens_per_chunk_change_the_itl_and_not_the_tpot() -> None:
    found = values(steady(8, gap=0.06, per_chunk=3))
    assert found["tpot_p50_ms"].value == pytest.approx(20, rel=5e-4)
    assert found["itl_p50_ms"].value == pytest.approx(60, rel=1e-6)


@examples(20)
@given(st.sampled_from([0.25, 0.5, 2.0, 8.0]))  # powers of two: no token crosses the edge of the window by rounding
def test_stretching_all_times_divides_the_rates(factor: float) -> None:
    traffic = steady(4)
    stretched = dataclasses.replace(
        traffic,
        samples=[
            dataclasses.replace(s, start_s=s.start_s * factor, chunk_s=s.chunk_s * factor) for s in traffic.samples
        ],
        window_start_s=traffic.window_start_s * factor,
        window_end_s=traffic.window_end_s * factor,
    )
    plain, slow = values(traffic), values(stretched)
    assert slow["total_tok_s_gpu"].value == pytest.approx(plain["total_tok_s_gpu"].value / factor)
    assert slow["tpot_p50_ms"].value == pytest.approx(plain["tpot_p50_ms"].value * factor)


@examples(20)
@given(st.permutations(range(36)))
def test_the_order_of_requests_does_not_matter(order: list[int]) -> None:
    traffic = steady(4)
    samples = [traffic.samples[i] for i in order if i < len(traffic.samples)]
    samples += [s for i, s in enumerate(traffic.samples) if i not in set(order)]
    shuffled = values(dataclasses.replace(traffic, samples=samples))
    for key, estimate in values(traffic).items():
        assert shuffled[key].value == pytest.approx(estimate.value)


def test_failed_requests_are_counted_apart_and_never_averaged_in() -> None:
    traffic = steady(40)
    broken = dataclasses.replace(stream(9999, 6.0, gap=1.0), status="failed", error="boom")
    found, counts = summarize(
        dataclasses.replace(traffic, samples=[*traffic.samples, broken]),
        EXACT,
        gpus=1,
        acceptance=None,
        price=PRICE,
    )
    assert counts.failed == 1
    assert found["tpot_p90_ms"].value == values(traffic)["tpot_p90_ms"].value
    assert found["output_tok_s_gpu"].value == values(traffic)["output_tok_s_gpu"].value


def test_too_many_failures_are_trouble_and_the_commonest_is_quoted() -> None:
    traffic = steady(2)
    errors = ["HTTP 500: overloaded", "HTTP 500: overloaded", "connection lost"]
    failed = [dataclasses.replace(stream(i, 6.0), status="failed", error=e) for i, e in enumerate(errors)]
    with pytest.raises(EngineError, match=r"3 of 23 requests failed; most often: HTTP 500: overloaded"):
        values(dataclasses.replace(traffic, samples=[*traffic.samples, *failed]))


def test_a_window_without_a_stream_says_to_measure_longer() -> None:
    with pytest.raises(NotMeasuredError, match="use a longer window"):
        values(dataclasses.replace(steady(2), window_start_s=5.0, window_end_s=5.1))


def test_answers_that_come_all_at_once_have_no_speed() -> None:
    traffic = steady(4)
    samples = [
        dataclasses.replace(s, chunk_s=np.full_like(s.chunk_s, s.chunk_s[0])) if i % 3 else s
        for i, s in enumerate(traffic.samples)
    ]
    with pytest.raises(NotMeasuredError, match="every other answer arrived all at once"):
        values(dataclasses.replace(traffic, samples=samples))


def test_input_is_credited_with_output_as_the_server_counted_it() -> None:
    workload = Workload(isl=8192, osl=100, shortest=1.0)
    traffic = steady(8)
    samples = [
        dataclasses.replace(s, request=dataclasses.replace(s.request, isl=8192), prompt_tokens=8192)
        for s in traffic.samples
    ]
    found = values(dataclasses.replace(traffic, samples=samples), workload)
    assert found["input_tok_s_gpu"].value == pytest.approx(found["output_tok_s_gpu"].value * 81.92)


def test_e2e_is_missing_where_the_window_is_shorter_than_the_requests() -> None:
    assert "e2e_p50_ms" not in values(dataclasses.replace(steady(8), window_start_s=5.0, window_end_s=6.5))


def test_e2e_is_missing_where_the_slow_ones_are_still_under_way() -> None:
    """Most answers are short; the long ones have not ended when the window has."""
    traffic = steady(8)
    assert "e2e_p50_ms" in values(traffic)
    for began, told in ((6.0, True), (4.0, False)):
        times = began + 0.1 * np.arange(1, 101, dtype=np.float64)
        tokens = np.ones(100, dtype=np.int64)
        late = dataclasses.replace(stream(99_999, began), status="cut", chunk_s=times, chunk_tokens=tokens)
        found = values(dataclasses.replace(traffic, samples=[*traffic.samples, late]))
        assert ("e2e_p50_ms" in found) == told


@pytest.mark.parametrize(("mtp", "concurrency"), one_of_each([(3, 16), (0, 16), (3, 64)]))
def test_the_interval_of_a_short_window_covers_the_long_run(mtp: int, concurrency: int) -> None:
    preset = find_preset("h200-qwen3.5-397b-fp8")

    def throughput(seed: int, window_s: float) -> Estimate:
        workload = Workload(isl=1024, osl=1024, seed=seed)
        run = run_closed_loop(preset, mtp=mtp, workload=workload, concurrency=concurrency, window_s=window_s, seed=seed)
        return summarize(run.traffic, workload, gpus=8, acceptance=None, price=PRICE)[0]["total_tok_s_gpu"]

    truth = throughput(99, 600.0).value
    found = [throughput(seed, 12.0) for seed in range(12)]
    assert sum(e.low <= truth <= e.high for e in found) >= 11
    assert all((e.relative or 0) < 0.04 for e in found)


def test_where_lengths_are_not_known_prefills_have_a_scatter_of_their_own() -> None:
    """The same traffic, and nobody knows how long answers will be: at concurrency 8 a window has a dozen prefills."""
    preset = find_preset("h200-qwen3.5-397b-fp8")

    def throughput(seed: int, window_s: float) -> tuple[Estimate, ...]:
        """With lengths that are known, and with the same ones unknown."""
        planned = Workload(isl=1024, osl=1024, seed=seed)
        run = run_closed_loop(preset, mtp=0, workload=planned, concurrency=8, window_s=window_s, seed=seed)
        both = (msgspec.structs.replace(planned, ignore_eos=ignore_eos) for ignore_eos in (True, False))
        found = (summarize(run.traffic, one, gpus=8, acceptance=None, price=PRICE)[0] for one in both)
        return tuple(values["total_tok_s_gpu"] for values in found)

    truth = throughput(99, 600.0)[0].value
    known, natural = zip(*(throughput(seed, 12.0) for seed in range(12)), strict=True)
    assert sum(e.low <= truth <= e.high for e in natural) >= 10
    assert np.mean([e.relative for e in natural]) > 4 * np.mean([e.relative for e in known])


def test_prompts_of_a_file_are_as_uncertain_as_their_number() -> None:
    traffic = steady(8)
    uneven = [dataclasses.replace(s, prompt_tokens=50 if i % 2 else 150) for i, s in enumerate(traffic.samples)]
    filed = Workload(isl=0, osl=100, shortest=1.0, prompts="file-abc")
    even = values(traffic, filed)
    found = values(dataclasses.replace(traffic, samples=uneven), filed)
    assert found["total_tok_s_gpu"].value == pytest.approx(even["total_tok_s_gpu"].value, rel=0.02)
    assert found["output_tok_s_gpu"] == even["output_tok_s_gpu"]
    share = 50 / 100 / math.sqrt(len(uneven)) * 1.96 / 2
    assert found["total_tok_s_gpu"].relative == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize(("length", "times"), [(1.2, 6.0), (1.5, 3.0), (3.0, 1.5)])
def test_the_error_of_a_rate_is_that_of_the_drafts(length: float, times: float) -> None:
    """Of a length of 1.2 only 0.2 are drafts: an error of 1 % is 6 % of them."""
    rate = (length - 1) / 3
    drafted = Acceptance(length=length, rate=rate, per_position=(rate, rate, rate), draft_tokens=3, steps=400)
    found = summarize(steady(8), EXACT, gpus=1, acceptance=drafted, price=PRICE)[0]
    of_length, of_rate = found["acceptance_length"].relative, found["acceptance_rate"].relative
    assert of_length is not None
    assert of_rate == pytest.approx(times * of_length)


def test_intervals_of_batch_means_cover_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(1)
    covered = [abs((e := batch_mean(rng.normal(5, 1, 10))).value - 5) <= (e.half_width or 0) for _ in range(2000)]
    assert 0.935 < np.mean(covered) < 0.965


@given(st.lists(st.floats(1, 100), min_size=1, max_size=50))
def test_a_median_lies_inside_its_interval_and_the_interval_inside_the_data(found: list[float]) -> None:
    estimate = median_estimate(np.array(found))
    assert estimate.value == pytest.approx(float(np.median(found)))
    if len(found) >= 6:
        assert estimate.half_width is not None
        assert estimate.half_width <= max(found) - min(found) + 1e-9


counters = st.builds(
    SpecCounters,
    steps=st.integers(1, 1000).map(float),
    drafted=st.integers(1, 3000).map(float),
    accepted=st.integers(0, 3000).map(float),
    per_position=st.just((1.0, 0.0)),
)


@given(counters, counters)
def test_differences_of_counters_add_up(a: SpecCounters, b: SpecCounters) -> None:
    total = SpecCounters(
        steps=a.steps + b.steps,
        drafted=a.drafted + b.drafted,
        accepted=a.accepted + b.accepted,
        per_position=(2.0, 0.0),
    )
    assert total - a == b


def test_counters_that_fell_mean_a_restart() -> None:
    low, high = (SpecCounters(steps=n, drafted=n, accepted=n) for n in (1, 2))
    with pytest.raises(EngineError, match="restarted"):
        _ = low - high


def test_acceptance_follows_its_definition() -> None:
    found = acceptance_from(SpecCounters(steps=100, drafted=300, accepted=230, per_position=(93, 80, 57)))
    assert found is not None
    assert (found.length, found.draft_tokens) == (3.3, 3)
    assert found.rate == pytest.approx(230 / 300)
    assert found.per_position == (0.93, 0.80, 0.57)


def test_nothing_drafted_is_no_acceptance_rather_than_zero() -> None:
    assert acceptance_from(SpecCounters(steps=0, drafted=0, accepted=0)) is None


def test_the_interval_of_the_acceptance_length_is_that_of_independent_steps() -> None:
    acceptance = Acceptance(length=1.5, rate=0.5, per_position=(0.5,), draft_tokens=1, steps=400)
    assert acceptance_length(acceptance).half_width == pytest.approx(1.96 * math.sqrt(0.25 / 400))


@given(st.integers(1, 64), st.integers(0, 5))
def test_a_closed_loop_is_the_same_every_time_and_starts_spread_out(concurrency: int, seed: int) -> None:
    workload = Workload(isl=1024, osl=512, seed=seed)
    first, second = (closed_loop_requests(workload, concurrency) for _ in range(2))
    requests = [next(first) for _ in range(3 * concurrency)]
    assert requests == [next(second) for _ in range(3 * concurrency)]
    start, rest = requests[:concurrency], requests[concurrency:]
    assert all(819 <= r.isl <= 1024 and 410 <= r.osl <= 512 and not r.skipped for r in rest)
    assert all(410 <= r.osl + r.skipped <= 512 and r.osl >= 1 for r in start)
    shares = sorted(r.skipped / (r.osl + r.skipped) for r in start)
    assert shares == pytest.approx([(i + 0.5) / concurrency for i in range(concurrency)], abs=0.01)
    assert len({r.prompt for r in requests}) == len(requests)
