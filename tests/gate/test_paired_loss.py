"""The mathematics of acceptance gates: paired tests, trends, unpaired tests, Holm."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from studies import examples

from pytest_specdec.domain.metric import Limits
from pytest_specdec.gate.acceptance.check import LENGTH, LIMITS, TREND
from pytest_specdec.gate.acceptance.loss import Loss, paired_loss, paired_trend, unpaired_loss
from pytest_specdec.gate.holm import holm

ALPHA = 0.01
PROMPTS = 80
HETEROGENEITY, JITTER = 0.22, 0.04
"""Between prompts, and of one prompt from run to run: the side study's."""
unhurried = examples(50)
NOTHING = Limits(tolerance=0.0, margin=0.5)

lengths = st.floats(1.0, 6.0)
pairs = st.lists(st.tuples(lengths, lengths), min_size=5, max_size=60)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def sides(drawn: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    before, after = np.array(drawn).T
    return before, after


def world(rng: np.random.Generator, loss: float = 0.0, prompts: int = PROMPTS) -> tuple[np.ndarray, np.ndarray]:
    """One prompt per row: its own length, and what the engine makes of it each time."""
    own = 3.2 * np.exp(rng.normal(0, HETEROGENEITY, prompts))
    before, after = (own * np.exp(rng.normal(0, JITTER, prompts)) for _ in range(2))
    return before, after * (1 - loss)


@unhurried
@given(pairs)
def test_it_is_the_paired_t_test_of_the_logarithms(drawn: list[tuple[float, float]]) -> None:
    before, after = sides(drawn)
    assume(np.ptp(np.log(before) - np.log(after)) > 1e-3)
    found = paired_loss(before, after, LENGTH)
    ours, none, much = np.log(after), np.log(before * (1 - 0.005)), np.log(before * (1 - 0.03))
    assert found.p_value == pytest.approx(stats.ttest_rel(none, ours, alternative="greater").pvalue, abs=1e-9)
    assert found.p_holds == pytest.approx(stats.ttest_rel(much, ours, alternative="less").pvalue, abs=1e-9)


@unhurried
@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_prompts_says_nothing(drawn: list[tuple[float, float]], random: Any) -> None:
    other = list(drawn)
    random.shuffle(other)
    found, shuffled = (paired_loss(*sides(each), LENGTH) for each in (drawn, other))
    assert (found.value, found.p_value) == pytest.approx((shuffled.value, shuffled.p_value), abs=1e-9)


@unhurried
@given(pairs, st.floats(0.1, 10))
def test_a_scale_that_both_sides_share_says_nothing(drawn: list[tuple[float, float]], scale: float) -> None:
    before, after = sides(drawn)
    found, scaled = paired_loss(before, after, LENGTH), paired_loss(scale * before, scale * after, LENGTH)
    assert (found.value, found.low, found.p_holds) == pytest.approx(
        (scaled.value, scaled.low, scaled.p_holds), abs=1e-6
    )


@unhurried
@given(pairs, st.floats(0.01, 0.5))
def test_it_looks_one_way_only(drawn: list[tuple[float, float]], gain: float) -> None:
    before, after = sides(drawn)
    found, better = (paired_loss(before, side, LENGTH) for side in (after, after * (1 + gain)))
    assert better.value < found.value
    assert better.p_value >= found.p_value
    assert better.p_holds <= found.p_holds
    assert paired_loss(before, before * (1 + gain), LENGTH).p_value > 0.5, "a gain is no loss"
    assert found.low <= found.value <= found.high


@unhurried
@given(st.lists(lengths, min_size=5, max_size=60))
def test_the_same_again_holds(drawn: list[float]) -> None:
    before = np.array(drawn)
    found = paired_loss(before, before.copy(), LENGTH)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.p_holds < ALPHA
    assert found.p_value > 0.5


def test_the_interval_is_near_the_bootstrap_of_the_ratio_of_sums() -> None:
    before, after = world(np.random.default_rng(5), loss=0.03)

    def loss(b: np.ndarray, a: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(1 - a.sum(axis=axis) / b.sum(axis=axis))

    resampled = stats.bootstrap(
        (before, after), loss, paired=True, method="BCa", vectorized=True, rng=np.random.default_rng(1)
    ).confidence_interval
    found = paired_loss(before, after, LENGTH)
    assert (found.low, found.high) == pytest.approx((resampled.low, resampled.high), abs=0.004)


def shares(loss: float, rounds: int = 2000) -> tuple[float, float]:
    """Shares of worlds in which acceptance is said to have fallen, and to hold."""
    rng = np.random.default_rng(11)
    found = [paired_loss(*world(rng, loss), LENGTH) for _ in range(rounds)]
    return float(np.mean([f.p_value < ALPHA for f in found])), float(np.mean([f.p_holds < 0.025 for f in found]))


def test_false_alarms_stay_below_alpha_though_prompts_differ_by_22_percent() -> None:
    unchanged, _ = shares(0.0)
    at_tolerance, _ = shares(LENGTH.tolerance)
    # 2000 worlds: three standard deviations above 1 % are 1.7 %.
    assert unchanged <= 0.005
    assert at_tolerance <= 0.017


def test_a_loss_of_the_margin_is_found_and_never_passed() -> None:
    fell, held = shares(LENGTH.margin)
    assert fell >= 0.9
    assert held <= 0.025 + 3 * np.sqrt(0.025 / 2000)
    assert shares(0.0)[1] >= 0.9, "a sound engine is shown to hold"


def test_runs_with_other_prompts_find_nothing_of_the_kind() -> None:
    """Why prompts are paired: the heterogeneity hides what the pairs show."""
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(300):
        before, _ = world(rng)
        _, after = world(rng, loss=LENGTH.margin)
        test: Any = stats.ttest_ind(np.log(before), np.log(after), alternative="greater")
        found += test.pvalue < ALPHA
    assert found < 60


@unhurried
@given(st.floats(0.0, 0.4), st.integers(0, 1000))
def test_a_trend_is_found_where_it_is_and_not_where_the_loss_is_even(fall: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = 3 * np.exp(rng.normal(0, HETEROGENEITY, 100))
    along = np.linspace(1000, 9000, 100)
    noise = np.exp(rng.normal(0, 1e-3, 100))
    growing = before * np.exp(np.log1p(-fall) * (along - 1000) / (0.8 * 8000)) * noise
    found = paired_trend(before, growing, along, TREND)
    assert found.value == pytest.approx(fall, abs=0.005)
    even = paired_trend(before, before * (1 - fall) * noise, along, TREND)
    assert even.value == pytest.approx(0, abs=0.005)
    assert even.p_holds < ALPHA


@unhurried
@given(st.floats(0.15, 0.3), st.integers(0, 2**32 - 1))
def test_what_has_only_become_better_at_one_end_has_lost_nothing(gain: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = world(rng)
    along = np.arange(PROMPTS) / (PROMPTS - 1)
    better = after * (1 + gain * (1 - along))
    assert paired_trend(before, better, along, TREND).value > 0, "the slope is there"
    # Examples are many, and one in ten thousand may look like a loss.
    assert paired_trend(before, better, along, TREND).p_value > 1e-4
    worse = after * (1 - gain * along)
    assert paired_trend(before, worse, along, TREND).p_value < 0.01


def test_the_upper_end_is_that_of_the_fitted_line() -> None:
    """By hand: the line at the 90th percentile with its standard error, beside the slope with its own."""
    rng = np.random.default_rng(5)
    along = np.sort(rng.uniform(0, 10, 40))
    losses = 0.02 + 0.001 * along + rng.normal(0, 0.02, 40)
    found = paired_trend(np.exp(losses), np.ones(40), along, Limits(tolerance=0.0, margin=0.5))
    fit = stats.linregress(along, losses)
    slope, intercept = float(fit.slope), float(fit.intercept)
    scatter = np.sqrt(np.sum((losses - intercept - slope * along) ** 2) / 38)
    end = np.percentile(along, 90)
    spread = np.sum((along - along.mean()) ** 2)
    error = scatter * np.sqrt(1 / 40 + (end - along.mean()) ** 2 / spread)
    itself = stats.t.sf((intercept + slope * end) / error, 38)
    by_slope = stats.t.sf(slope / (scatter / np.sqrt(spread)), 38)
    assert found.p_value == pytest.approx(max(itself, by_slope))


def test_equal_pairs_have_no_trend() -> None:
    before = np.linspace(2.0, 4.0, 30)
    found = paired_trend(before, before, np.arange(30.0), TREND)
    assert found.value == 0
    assert found.p_value == pytest.approx(1)
    assert found.p_holds == pytest.approx(0)


@unhurried
@given(st.lists(lengths, min_size=3, max_size=10), lengths, st.floats(0.001, 0.1))
def test_unpaired_is_students_prediction_of_the_next_session(before: list[float], after: float, noise: float) -> None:
    found = unpaired_loss(before, after, noise, NOTHING)
    logs = np.log(before)
    error = max(float(logs.std(ddof=1)), noise) * np.sqrt(1 + 1 / len(before))
    expected = stats.t.sf((logs.mean() - np.log(after)) / error, len(before) - 1)
    assert found.p_value == pytest.approx(float(expected), abs=1e-9)


def test_equal_sessions_are_not_believed_beyond_the_noise_of_one() -> None:
    sure, unsure = (unpaired_loss([3.0, 3.0, 3.0], 2.9, noise, LENGTH) for noise in (0.001, 0.05))
    assert sure.p_value < 0.01
    assert unsure.p_value > 0.2


@unhurried
@given(p_values)
def test_holm_is_the_closed_test_of_bonferroni(found: list[float]) -> None:
    """A hypothesis is as doubtful as the worst set of hypotheses that it belongs to."""
    indices = range(len(found))
    sets = [chosen for size in indices for chosen in itertools.combinations(indices, size + 1)]
    closed = [
        max(min(1.0, len(chosen) * min(found[i] for i in chosen)) for chosen in sets if index in chosen)
        for index in indices
    ]
    assert holm(found) == pytest.approx(closed)


@unhurried
@given(p_values)
def test_holm_keeps_the_order_and_makes_nothing_surer(found: list[float]) -> None:
    adjusted = holm(found)
    assert all(0 <= p <= a <= 1 for p, a in zip(found, adjusted, strict=True))
    for (p, a), (q, b) in itertools.combinations(zip(found, adjusted, strict=True), 2):
        assert (a <= b) if p < q else (b <= a) if q < p else a == b


def test_every_check_has_a_tolerance_below_its_margin() -> None:
    assert all(0 < bounds.tolerance < bounds.margin for bounds in LIMITS.values())


def test_a_loss_is_relative() -> None:
    found = paired_loss(np.array([4.0, 4.0, 4.0]), np.array([3.0, 3.0, 3.0]), LENGTH)
    assert isinstance(found, Loss)
    assert found.value == pytest.approx(0.25)
