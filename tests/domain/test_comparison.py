"""Comparisons, cost, and the words for both."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.domain.curve import Curve, CurveIdentity, Point
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.price import PRICE_BOOKS, TIERS, Price, cost_usd_mtok, j_tok, list_price, tok_s_mw
from pytest_specdec.errors import InvalidInputError, NotComparableError, NotMeasuredError
from pytest_specdec.report.comparison_table import comparison_frame, comparison_table

PRICE = Price(usd_per_gpu_hour=1.41, kw_per_gpu=1.73)
rates = st.floats(1, 1e5)


def curve(pairs: dict[int, tuple[float, float]], **identity: str) -> Curve:
    points = (Point(interactivity=Estimate(x), throughput=Estimate(y), concurrency=c) for c, (x, y) in pairs.items())
    return Curve(points, CurveIdentity(**identity))


OFF = curve({4: (100, 100), 8: (80, 160), 16: (60, 240)}, mode="off", model="m")
MTP = curve({4: (150, 150), 8: (110, 220), 16: (70, 280)}, mode="mtp3", model="m")


@given(rates, st.floats(0.1, 50), st.floats(0.1, 5))
def test_cost_times_throughput_is_the_price(throughput: float, usd: float, kw: float) -> None:
    price = Price(usd_per_gpu_hour=usd, kw_per_gpu=kw)
    estimate = Estimate(throughput)
    assert cost_usd_mtok(price, estimate).value * throughput * 0.0036 == pytest.approx(usd)
    assert tok_s_mw(price, estimate).value * j_tok(price, estimate).value == pytest.approx(1e6)


def test_the_published_cost_follows_from_its_throughput() -> None:
    assert cost_usd_mtok(PRICE, Estimate(549.4)).value == pytest.approx(0.713, abs=5e-4)
    assert tok_s_mw(PRICE, Estimate(549.4)).value == pytest.approx(317572, abs=1)


@given(rates, rates)
def test_saving_and_ratio_say_the_same(a: float, b: float) -> None:
    level = Comparison(curve({8: (50, a)}, mode="mtp3"), curve({8: (50, b)}, mode="off"), price=PRICE).at(50)
    assert level.saving == pytest.approx(1 - 1 / level.throughput_ratio.value)
    costs = [level.cost(side) for side in (level.candidate, level.reference)]
    assert costs[0] is not None
    assert costs[1] is not None
    assert level.cost_ratio.value == pytest.approx(costs[0].value / costs[1].value)


def test_a_ratio_of_1_62_is_a_saving_of_38_percent_and_never_62() -> None:
    sentence = Comparison(curve({8: (55, 162)}, mode="mtp3"), curve({8: (55, 100)}, mode="off")).at(55).sentence()
    assert "1.62x" in sentence
    assert "38 % less" in sentence
    assert "62 %" not in sentence


@given(rates, rates)
def test_the_winner_of_the_sentence_has_the_larger_number_first(a: float, b: float) -> None:
    level = Comparison(curve({8: (50, a)}, mode="mtp3"), curve({8: (50, b)}, mode="off")).at(50)
    numbers = [float(n) for n in re.findall(r"(\d+\.\d) against (\d+\.\d)", level.sentence())[0]]
    assert numbers[0] >= numbers[1] or "level" in level.sentence()
    if "serves" in level.sentence():
        assert ("MTP 3 serves" in level.sentence()) == (a > b)


def test_levels_are_the_quarters_of_the_overlap() -> None:
    assert Comparison(MTP, OFF).overlap == (70, 100)
    assert Comparison(MTP, OFF).levels() == (78, 85, 93)


def test_curves_that_do_not_meet_say_so() -> None:
    fast = curve({1: (500, 10), 2: (400, 20)}, mode="mtp3")
    with pytest.raises(NotMeasuredError, match=r"no overlap: MTP 3 covers 400.0 to 500.0 tok/s/user and Off"):
        Comparison(fast, OFF).levels()


def test_matched_concurrency_compares_measured_points() -> None:
    comparison = Comparison(MTP, OFF)
    level = comparison.at_concurrency(8)
    assert comparison.shared_concurrencies() == (4, 8, 16)
    assert level.throughput_ratio.value == pytest.approx(220 / 160)
    assert level.interactivity_ratio.value == pytest.approx(110 / 80)
    assert level.matched_by == "concurrency"
    assert "concurrency 8" in level.sentence()
    with pytest.raises(NotMeasuredError, match="concurrency 5"):
        comparison.at_concurrency(5)


@pytest.mark.parametrize("field", ["model", "hardware", "precision", "parallelism", "sequence", "workload"])
def test_unlike_curves_are_refused_naming_the_field(field: str) -> None:
    with pytest.raises(NotComparableError, match=f"not comparable: {field} differs, 'a' against 'b'"):
        Comparison(curve({4: (1, 1)}, **{field: "a"}), curve({4: (1, 1)}, **{field: "b"}))


@pytest.mark.parametrize("field", ["engine", "version"])
def test_another_engine_is_compared_with_a_caution(field: str) -> None:
    comparison = Comparison(curve({4: (1, 1)}, **{field: "a"}), curve({4: (1, 1)}, **{field: "b"}))
    assert any(f"{field} differs (a against b)" in caution for caution in comparison.cautions)


def test_a_level_outside_the_range_is_not_measured_in_the_table_and_the_frame() -> None:
    comparison = Comparison(MTP, OFF, price=PRICE)
    table = comparison_table(comparison, [85, 300])
    assert table.rows[-1] == ["300", "not measured"]
    assert any("lies outside" in note for note in table.notes)
    frame = comparison_frame(comparison, [85, 300])
    assert list(frame["measured"]) == [True, True, False]
    assert frame["total_tok_s_gpu"].isna().tolist() == [False, False, True]


def test_every_listed_price_is_positive_and_the_two_books_differ() -> None:
    for tier in TIERS:
        assert list_price("h200", tier=tier).usd_per_gpu_hour > 0
    old, new = (list_price("h200", book=book) for book in PRICE_BOOKS)
    assert (old.usd_per_gpu_hour, old.kw_per_gpu) == (1.41, 1.73)
    assert (new.usd_per_gpu_hour, new.kw_per_gpu) == (1.22, 1.37)
    assert list_price("simulated-h200").usd_per_gpu_hour == new.usd_per_gpu_hour


def test_unknown_hardware_has_no_price_and_the_message_lists_what_has() -> None:
    with pytest.raises(InvalidInputError, match="h100, h200"):
        list_price("abacus")


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_price_is_refused(bad: float) -> None:
    with pytest.raises(InvalidInputError, match="positive"):
        Price(usd_per_gpu_hour=bad, kw_per_gpu=1)


def test_the_direction_of_every_metric_is_the_one_of_its_kind() -> None:
    for metric in METRICS.values():
        slower_is_worse = any(word in metric.key for word in ("_ms", "cost", "j_tok"))
        assert metric.better == ("lower" if slower_is_worse else "higher"), metric.key
        assert metric.loss(2.0, 1.0) == (1.0 if metric.better == "lower" else -1.0)
        assert metric.formula
