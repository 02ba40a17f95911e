"""Marker arguments -> cells -> plan."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.cost import Price
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.matrix import TIERS, Matrix
from pytest_specdec.plan import Plan

FULL = {"model": "m", "precision": "fp8", "sequence": "1k1k", "concurrency": [4, 8]}


def test_the_axes_multiply() -> None:
    matrix = Matrix.from_markers([{**FULL, "mtp": [0, 3], "sequence": ["1k1k", "8k1k"]}], "smoke")
    assert len(matrix.cells()) == 8
    assert len(matrix.curves()) == 4
    assert [str(s) for s in matrix.comparisons()] == ["m-fp8-1k1k-mtp3-vs-off", "m-fp8-8k1k-mtp3-vs-off"]


def test_a_closer_marker_overrides_single_arguments() -> None:
    matrix = Matrix.from_markers([{"mtp": 3}, {**FULL, "mtp": [0, 1]}], "smoke")
    assert matrix.mtp == (3,)
    assert matrix.concurrency == (4, 8)


@pytest.mark.parametrize(("tier", "expected"), [("smoke", (4,)), ("nightly", (4, 8)), ("release", (4, 8))])
def test_a_tier_takes_the_values_of_the_highest_tier_at_or_below_it(tier: str, expected: tuple[int, ...]) -> None:
    matrix = Matrix.from_markers([{**FULL, "concurrency": {"smoke": 4, "nightly": [4, 8]}}], tier)
    assert matrix.concurrency == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modle": "x"}, r"unknown argument 'modle' of the specdec marker; known: model, precision"),
        ({"concurrency": []}, r"concurrency of the specdec marker is empty"),
        ({"concurrency": [4, 4]}, "names a value twice"),
        ({"concurrency": [0]}, "whole numbers from 1"),
        ({"mtp": [True]}, "whole numbers from 0"),
        ({"mtp": "3"}, "whole numbers from 0"),
        ({"precision": 8}, "must be text"),
        ({"sequence": ["1k"]}, "not of the form"),
        ({"parallelism": "8"}, "not of the form"),
        ({"mtp": {"weekly": [1]}}, "unknown tier 'weekly'; tiers: smoke, nightly, release"),
        ({"mtp": {"nightly": [1]}}, "has no values for tier 'smoke'; it has nightly"),
    ],
)
def test_an_impossible_matrix_is_refused_with_what_would_do(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Matrix.from_markers([{**FULL, **change}], "smoke")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InvalidInputError, match="needs precision and sequence and concurrency"):
        Matrix.from_markers([{"model": "m"}], "smoke")


def test_a_comparison_needs_an_mtp_mode() -> None:
    with pytest.raises(InvalidInputError, match="needs an MTP mode"):
        Matrix.from_markers([FULL], TIERS[0]).comparisons()


@given(st.sets(st.integers(0, 4), min_size=1), st.sets(st.integers(1, 99), min_size=1, max_size=6), st.integers(0, 9))
def test_a_plan_starts_each_engine_once_and_holds_every_cell(mtp: set[int], concurrency: set[int], seed: int) -> None:
    matrix = Matrix.from_markers([{**FULL, "mtp": sorted(mtp), "concurrency": sorted(concurrency)}], "smoke")
    plan = Plan.of([*matrix.cells(), *matrix.cells()], seed)
    starts = [engine for engine, _ in itertools.groupby(plan.cells, key=lambda cell: cell.engine)]
    assert len(starts) == len(mtp)
    assert sorted(plan.cells) == sorted(matrix.cells())
    assert plan == Plan.of(matrix.cells(), seed)


def test_the_plan_in_words_has_counts_time_and_money() -> None:
    matrix = Matrix.from_markers([{**FULL, "mtp": [0, 1, 2, 3], "concurrency": [4, 8, 16, 32, 64]}], "smoke")
    plan = Plan.of(matrix.cells(), 0)
    assert plan.words(seconds=360, usd=1.9, simulated=False) == "4 engines, 20 points, about 6 min, about $1.90"
    assert "no GPU used" in plan.words(seconds=45, usd=1.9, simulated=True)
    assert plan.usd(3600, Price(usd_per_gpu_hour=1.41, kw_per_gpu=1)) == pytest.approx(8 * 1.41)


def test_points_of_an_engine_are_shuffled_by_the_seed() -> None:
    cells = Matrix.from_markers([{**FULL, "concurrency": list(range(1, 20))}], "smoke").cells()
    orders = {tuple(cell.concurrency for cell in Plan.of(cells, seed).cells) for seed in range(5)}
    assert len(orders) == 5
