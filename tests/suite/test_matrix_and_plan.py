"""Marker arguments -> cells -> plan."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.domain.price import Price
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.suite.axes import TIERS
from pytest_specdec.suite.matrix import Matrix
from pytest_specdec.suite.plan import Plan

HERE = Path(__file__).parent
FULL = {"model": "m", "precision": "fp8", "sequence": "1k1k", "concurrency": [4, 8]}


def test_the_axes_multiply() -> None:
    matrix = Matrix.from_markers([{**FULL, "mtp": [0, 3], "sequence": ["1k1k", "8k1k"]}], "smoke", HERE)
    assert len(matrix.cells()) == 8
    assert len(matrix.curves()) == 4
    assert [str(s) for s in matrix.comparisons()] == ["m-fp8-1k1k-mtp3-vs-off", "m-fp8-8k1k-mtp3-vs-off"]


def test_a_closer_marker_overrides_single_arguments() -> None:
    matrix = Matrix.from_markers([{"mtp": 3}, {**FULL, "mtp": [0, 1]}], "smoke", HERE)
    assert matrix.axes["mtp"] == (3,)
    assert matrix.axes["concurrency"] == (4, 8)


@pytest.mark.parametrize(("tier", "expected"), [("smoke", (4,)), ("nightly", (4, 8)), ("release", (4, 8))])
def test_a_tier_takes_the_values_of_the_highest_tier_at_or_below_it(tier: str, expected: tuple[int, ...]) -> None:
    matrix = Matrix.from_markers([{**FULL, "concurrency": {"smoke": 4, "nightly": [4, 8]}}], tier, HERE)
    assert matrix.axes["concurrency"] == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modle": "x"}, r"unknown argument 'modle' of the specdec marker; known: model, precision"),
        ({"concurrency": []}, r"concurrency of the specdec marker is empty"),
        ({"concurrency": [4, 4]}, "names a value twice"),
        ({"concurrency": [0]}, "must be a whole number from 1: 0"),
        ({"rate": 2}, "takes concurrency or rate, not both"),
        ({"arrivals": "bursty"}, "must be 'poisson' or 'constant': 'bursty'"),
        ({"sequence": "file/64"}, "does not fit its prompts: prompts='my.jsonl' goes with sequence='file/256'"),
        ({"prompts": "../data/prompt_files/text.jsonl"}, "does not fit its prompts"),
        ({"prompts": "missing.jsonl", "sequence": "file/64"}, r"missing\.jsonl"),
        ({"mtp": [True]}, "must be a whole number from 0"),
        ({"mtp": [[0, 3]]}, r"takes one value or a flat list: \[\[0, 3\]\]"),
        ({"mtp": {"smoke": {"nightly": 3}}}, "takes one value or a flat list"),
        ({"seed": -1}, "seed of the specdec marker must be a whole number from 0: -1"),
        ({"seed": "a"}, "must be a whole number from 0: 'a'"),
        ({"seed": True}, "must be a whole number from 0: True"),
        ({"thinking": "on"}, "thinking of the specdec marker must be True, False or None: 'on'"),
        ({"exact_lengths": "no"}, "must be True or False: 'no'"),
        ({"ignore_eos": 1}, "must be True or False: 1"),
        ({"verification": None}, "verification of the specdec marker must be text: None"),
        ({"hardware": 200}, "hardware of the specdec marker must be text: 200"),
        ({"mtp": "3"}, "must be a whole number from 0"),
        ({"precision": 8}, "must be text"),
        ({"sequence": ["1k"]}, "not of the form"),
        ({"parallelism": "8"}, "not of the form"),
        ({"mtp": {"weekly": [1]}}, "unknown tier 'weekly'; tiers: smoke, nightly, release"),
        ({"mtp": {"nightly": [1]}}, "has no values for tier 'smoke'; it has nightly"),
    ],
)
def test_an_impossible_matrix_is_refused_with_what_would_do(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Matrix.from_markers([{**FULL, **change}], "smoke", HERE)


@pytest.mark.parametrize("rate", [0, -1.0, "2", True, float("inf")])
def test_an_impossible_rate_is_refused(rate: object) -> None:
    marker = {key: value for key, value in FULL.items() if key != "concurrency"}
    with pytest.raises(InvalidInputError, match="rate of the specdec marker must be a positive number"):
        Matrix.from_markers([{**marker, "rate": rate}], "smoke", HERE)


def test_a_closer_rate_takes_the_place_of_a_concurrency_and_makes_no_curve() -> None:
    matrix = Matrix.from_markers([{"rate": [0.5, 2], "arrivals": "constant", "mtp": 3}, FULL], "smoke", HERE)
    assert [str(cell) for cell in matrix.cells()] == [
        "m-fp8-1k1k-constant-mtp3-0.5rps",
        "m-fp8-1k1k-constant-mtp3-2rps",
    ]
    for curves in (matrix.curves_over_concurrency, matrix.comparisons):
        with pytest.raises(InvalidInputError, match="curves and comparisons are over concurrency"):
            curves()


def test_a_file_of_prompts_is_part_of_the_workload_by_its_content() -> None:
    marker = {**FULL, "prompts": "../data/prompt_files/text.jsonl", "sequence": "file/64"}
    (curve,) = Matrix.from_markers([marker], "smoke", HERE).curves()
    assert curve.workload.prompts.startswith("file-")
    digits = curve.workload.prompts.removeprefix("file-")[:6]
    assert [str(cell) for cell in curve.cells] == [f"m-fp8-file{digits}x64-off-c4", f"m-fp8-file{digits}x64-off-c8"]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InvalidInputError, match=r"needs precision and sequence and concurrency \(or rate\)"):
        Matrix.from_markers([{"model": "m"}], "smoke", HERE)


def test_a_comparison_needs_an_mtp_mode() -> None:
    with pytest.raises(InvalidInputError, match="needs an MTP mode"):
        Matrix.from_markers([FULL], TIERS[0], HERE).comparisons()


@given(st.sets(st.integers(0, 4), min_size=1), st.sets(st.integers(1, 99), min_size=1, max_size=6), st.integers(0, 9))
def test_a_plan_starts_each_engine_once_and_holds_every_cell(mtp: set[int], concurrency: set[int], seed: int) -> None:
    matrix = Matrix.from_markers([{**FULL, "mtp": sorted(mtp), "concurrency": sorted(concurrency)}], "smoke", HERE)
    plan = Plan.of([*matrix.cells(), *matrix.cells()], seed)
    starts = [engine for engine, _ in itertools.groupby(plan.cells, key=lambda cell: cell.engine)]
    assert len(starts) == len(mtp)
    assert sorted(plan.cells) == sorted(matrix.cells())
    assert plan == Plan.of(matrix.cells(), seed)


def test_the_plan_in_words_has_counts_time_and_money() -> None:
    matrix = Matrix.from_markers([{**FULL, "mtp": [0, 1, 2, 3], "concurrency": [4, 8, 16, 32, 64]}], "smoke", HERE)
    plan = Plan.of(matrix.cells(), 0)
    price = Price(usd_per_gpu_hour=1.41, kw_per_gpu=1)
    words = plan.words(runs=20, sessions=1, least_s=360, most_s=2520, price=price, simulated=False)
    assert words == "4 engines, 20 points, about 6 to 42 min, about $1.13 to $7.90"
    words = plan.words(runs=20, sessions=1, least_s=45, most_s=45, price=price, simulated=True)
    assert words == "4 engines, 20 points, about 45 s, no GPU used (the real ones would cost about $0.14)"
    words = plan.words(runs=50, sessions=5, least_s=45, most_s=45, price=price, simulated=True)
    assert words.startswith("4 engines, 20 points measured 50 times on 5 server starts, about 45 s")
    assert plan.usd(3600, price) == pytest.approx(8 * 1.41)


def test_points_of_an_engine_are_shuffled_by_the_seed() -> None:
    cells = Matrix.from_markers([{**FULL, "concurrency": list(range(1, 20))}], "smoke", HERE).cells()
    orders = {tuple(cell.concurrency for cell in Plan.of(cells, seed).cells) for seed in range(5)}
    assert len(orders) == 5
