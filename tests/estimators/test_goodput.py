"""Goodput: every bound must hold, what is judged is what ended in the window, and the interval is honest."""

from __future__ import annotations

import dataclasses
import math
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from virtual import run_closed_loop

from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.traffic import PlannedRequest, RequestSample, Status, Traffic
from pytest_specdec.errors import InconclusiveError, InvalidInputError
from pytest_specdec.estimators.goodput import goodput, is_good
from pytest_specdec.estimators.slo import Slo, parse_slo
from pytest_specdec.simulator.presets import find_preset

LOOSE = Slo(e2e_ms=1e9)


def request(  # noqa: PLR0913 - a request is all of these
    start: float, *, ttft: float = 0.5, gap: float = 0.05, tokens: int = 11, status: Status = "ok", skipped: int = 0
) -> RequestSample:
    """One token at `ttft`, then one every `gap` seconds."""
    return RequestSample(
        request=PlannedRequest(index=0, prompt=0, isl=10, osl=max(tokens, 1), skipped=skipped),
        start_s=start,
        chunk_s=start + ttft + gap * np.arange(tokens, dtype=np.float64),
        chunk_tokens=np.ones(tokens, dtype=np.int64),
        prompt_tokens=10,
        status=status,
        error="reset" if status == "failed" else None,
    )


def window(*samples: RequestSample, start: float = 10.0, end: float = 20.0) -> Traffic:
    return Traffic(samples=samples, window_start_s=start, window_end_s=end)


requests = st.builds(
    request,
    st.floats(0, 25),
    ttft=st.floats(0.001, 5),
    gap=st.floats(0, 0.5),
    tokens=st.integers(0, 20),
    status=st.sampled_from(["ok", "ok", "ok", "failed", "cut"]),
    skipped=st.sampled_from([0, 0, 0, 5]),
)
traffics = st.lists(requests, max_size=30).map(lambda samples: window(*samples))
bounds = st.none() | st.floats(1e-3, 1e5)
slos = (
    st.tuples(bounds, bounds, bounds)
    .filter(lambda t: t != (None, None, None))
    .map(lambda t: Slo(ttft_ms=t[0], tpot_ms=t[1], e2e_ms=t[2]))
)


class TestSlo:
    @pytest.mark.parametrize(
        ("text", "slo"),
        [
            ("ttft=500", Slo(ttft_ms=500)),
            ("ttft=500,tpot=50", Slo(ttft_ms=500, tpot_ms=50)),
            (" TTFT = 0.5s , tpot=12.5ms,e2e=30s ", Slo(ttft_ms=500, tpot_ms=12.5, e2e_ms=30_000)),
            ("ttft:500 tpot:50 e2el:30000", Slo(ttft_ms=500, tpot_ms=50, e2e_ms=30_000)),
            ("e2e=1e4", Slo(e2e_ms=10_000)),
        ],
    )
    def test_it_is_parsed(self, text: str, slo: Slo) -> None:
        assert parse_slo(text) == slo

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "'' is not a bound; write it as ttft=500,tpot=50"),
            ("ttft", "'ttft' is not a bound"),
            ("ttft<500", "'ttft<500' is not a bound"),
            ("ttft=fast", "'ttft=fast' is not a bound"),
            ("ttft=500 ms", "'ms' is not a bound"),
            ("ttft=500,", "'' is not a bound"),
            ("tpot=-5", "'tpot=-5' is not a bound"),
            ("tpot=nan", "'tpot=nan' is not a bound"),
            ("itl=20", "no bound is called 'itl'; known are ttft, tpot and e2e"),
            ("ttft=500,ttft=400", "bounds ttft twice"),
            ("e2e=500,e2el=400", "bounds e2el twice"),
            ("tpot=0", "the SLO's bound for tpot must be positive and finite, not 0 ms"),
            ("tpot=1e999", "must be positive and finite, not inf ms"),
        ],
    )
    def test_what_is_no_slo_is_refused_in_words(self, text: str, words: str) -> None:
        with pytest.raises(InvalidInputError) as caught:
            parse_slo(text)
        assert words in str(caught.value)

    def test_no_bound_is_no_slo(self) -> None:
        with pytest.raises(InvalidInputError, match="at least one bound: write it as"):
            Slo()

    @given(slos)
    def test_its_text_and_its_file_read_back(self, slo: Slo) -> None:
        assert parse_slo(str(slo)) == slo
        assert msgspec.json.decode(msgspec.json.encode(slo), type=Slo) == slo

    def test_words(self) -> None:
        slo = Slo(ttft_ms=500, tpot_ms=12.5)
        assert slo.words == "TTFT <= 500 ms and TPOT <= 12.5 ms"
        assert str(slo) == "ttft=500,tpot=12.5"


class TestGood:
    @pytest.mark.parametrize(
        ("text", "verdict"),
        [
            ("ttft=500", "good"),
            ("ttft=499.9", "not good"),
            ("tpot=50", "good"),
            ("tpot=49.9", "not good"),
            ("e2e=1000", "good"),
            ("e2e=999.9", "not good"),
            ("ttft=500,tpot=50,e2e=1000", "good"),
            ("ttft=500,tpot=50,e2e=999", "not good"),
            ("ttft=500,tpot=49,e2e=1000", "not good"),
            ("ttft=499,tpot=50,e2e=1000", "not good"),
        ],
    )
    def test_every_bound_must_hold_and_on_it_is_good(self, text: str, verdict: str) -> None:
        assert is_good(request(12.0), parse_slo(text)) is (verdict == "good")

    @given(
        start=st.floats(0, 1e4),
        ttft=st.integers(1, 5000),
        gap=st.integers(1, 200),
        tokens=st.integers(1, 1000),
    )
    def test_rounding_never_decides_on_the_bound(self, start: float, ttft: int, gap: int, tokens: int) -> None:
        sample = request(start, ttft=ttft / 1000, gap=gap / 1000, tokens=tokens)
        slo = Slo(ttft_ms=ttft, tpot_ms=gap, e2e_ms=ttft + gap * (tokens - 1))
        assert is_good(sample, slo)

    def test_tokens_and_not_chunks_divide_the_tpot(self) -> None:
        sample = dataclasses.replace(request(12.0, tokens=3, gap=0.15), chunk_tokens=np.array([1, 3, 3]))
        assert is_good(sample, Slo(tpot_ms=50))
        assert not is_good(sample, Slo(tpot_ms=49))

    def test_a_single_token_has_no_gap_to_miss(self) -> None:
        assert is_good(request(12.0, tokens=1), Slo(tpot_ms=0.001))

    @pytest.mark.parametrize(
        "sample", [request(12.0, status="failed"), request(12.0, status="cut"), request(12.0, tokens=0)]
    )
    def test_what_did_not_finish_is_not_good(self, sample: RequestSample) -> None:
        assert not is_good(sample, LOOSE)


class TestGoodput:
    def test_a_known_window(self) -> None:
        slow = [request(11.0 + at, gap=0.1) for at in range(3)]
        fast = [request(11.0 + at) for at in range(5)]
        found = goodput(window(*slow, *fast), Slo(ttft_ms=500, tpot_ms=50))
        assert found is not None
        assert (found.good, found.judged, found.streaming) == (5, 8, 0)
        assert found.share.value == 5 / 8
        assert found.requests_s.value == pytest.approx(0.5)
        assert found.requests_s.relative == pytest.approx(found.share.relative)
        assert found.words == "5 of 8 requests (62.5 %) met TTFT <= 500 ms and TPOT <= 50 ms: 0.5 req/s"

    @pytest.mark.parametrize(
        ("sample", "judged", "streaming"),
        [
            (request(12.0), 1, 0),
            (request(9.5), 1, 0),  # it began before the window and ends in it
            (request(8.0), 0, 0),
            (request(9.0), 1, 0),  # it ends on the opening edge
            (request(19.0), 0, 1),  # it ends on the closing edge
            (request(19.5), 0, 1),
            (request(19.5, status="cut"), 0, 1),
            (request(20.0), 0, 0),
            (request(12.0, skipped=3), 0, 0),
            (request(12.0, status="failed"), 1, 0),
            (request(12.0, status="failed", tokens=0), 1, 0),
            (request(9.0, status="failed", tokens=0), 0, 0),
            (request(21.0, status="failed", tokens=0), 0, 0),
        ],
    )
    def test_judged_is_what_ended_in_the_window(self, sample: RequestSample, judged: int, streaming: int) -> None:
        other = request(14.0)
        found = goodput(window(other, sample), LOOSE)
        assert found is not None
        assert (found.judged - 1, found.streaming) == (judged, streaming)

    def test_a_failure_counts_against_the_share(self) -> None:
        found = goodput(window(request(12.0), request(13.0, status="failed")), LOOSE)
        assert found is not None
        assert (found.good, found.judged) == (1, 2)

    @pytest.mark.parametrize(
        "traffic",
        [window(), window(request(19.5, status="cut")), window(request(10.0), start=10.0, end=10.0)],
    )
    def test_nothing_judged_is_no_goodput(self, traffic: Traffic) -> None:
        assert goodput(traffic, LOOSE) is None

    @given(traffics, slos)
    def test_the_share_is_a_share(self, traffic: Traffic, slo: Slo) -> None:
        found = goodput(traffic, slo)
        if found is None:
            return
        assert 0 <= found.good <= found.judged <= len(traffic.samples)
        assert 0 <= found.share.value <= 1
        assert found.share.half_width is not None
        assert 0 < found.share.half_width < 1
        assert found.requests_s.value == pytest.approx(found.good / 10)

    @given(traffics, slos, st.randoms(use_true_random=False))
    def test_the_order_of_requests_does_not_matter(self, traffic: Traffic, slo: Slo, shuffle: random.Random) -> None:
        samples = list(traffic.samples)
        shuffle.shuffle(samples)
        assert goodput(dataclasses.replace(traffic, samples=samples), slo) == goodput(traffic, slo)

    @given(traffics, slos, st.tuples(*[st.floats(1, 100)] * 3), st.sets(st.sampled_from(["ttft", "tpot", "e2e"])))
    def test_a_looser_slo_never_lowers_it(
        self, traffic: Traffic, slo: Slo, factors: tuple[float, float, float], dropped: set[str]
    ) -> None:
        looser = {
            f"{name}_ms": bound * factor
            for (name, bound), factor in zip(slo.bounds.items(), factors, strict=False)
            if name not in dropped
        }
        strict, loose = goodput(traffic, slo), goodput(traffic, Slo(**looser) if looser else LOOSE)
        assert (strict is None) == (loose is None)
        if strict is not None and loose is not None:
            assert loose.good >= strict.good
            assert loose.judged == strict.judged

    @given(st.integers(0, 60), st.integers(0, 60))
    def test_the_interval_covers_wilsons(self, good: int, bad: int) -> None:
        if not good + bad:
            return
        found = goodput(window(*[request(12.0)] * good, *[request(12.0, gap=0.1)] * bad), Slo(tpot_ms=50))
        assert found is not None
        interval = stats.binomtest(good, good + bad).proportion_ci(method="wilson")
        assert found.share.low <= interval.low + 1e-12
        assert found.share.high >= interval.high - 1e-12
        assert found.share.low == pytest.approx(interval.low) or found.share.high == pytest.approx(interval.high)

    def test_few_requests_do_not_decide(self) -> None:
        few, many = (goodput(window(*[request(12.0)] * count), LOOSE) for count in (10, 100))
        assert few is not None
        assert many is not None
        with pytest.raises(InconclusiveError):
            assert few.share >= 0.9
        assert many.share >= 0.9

    @settings(max_examples=3, deadline=None)
    @given(st.integers(0, 5))
    def test_it_judges_the_simulated_engine(self, seed: int) -> None:
        run = run_closed_loop(
            find_preset("h200-qwen3.5-397b-fp8"),
            mtp=3,
            workload=Workload(isl=256, osl=64),
            concurrency=8,
            window_s=8.0,
            seed=seed,
        )
        found = goodput(run.traffic, LOOSE)
        assert found is not None
        assert found.good == found.judged
        assert 0 < found.streaming <= 8
        tight = goodput(run.traffic, Slo(tpot_ms=1e-3))
        assert tight is not None
        assert tight.good == 0
        assert math.isclose(tight.share.high, found.share.half_width or 0.0)
