"""The published numbers, to the printed digit."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from pytest_specdec.__main__ import main
from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.domain.curve import Curve, Point
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.price import list_price
from pytest_specdec.domain.published import published_tables
from pytest_specdec.importers.inferencex import load_inferencex
from pytest_specdec.importers.selection import Selection, published_comparisons

DATA = Path(__file__).parent.parent / "data" / "inferencex"
GOLDEN = Path(__file__).parent.parent / "golden"
ALL, C32 = DATA / "benchmarks.json", DATA / "benchmarks_c32.json"
SELECTION = Selection(both={"engine": ["sglang"]}, off={"date": ["2026-05-17"]}, mtp={"date": ["2026-05-20"]})
ARGUMENTS = ["--framework", "sglang", "--date", "2026-05-17,2026-05-20"]


def comparisons(*files: Path) -> dict[str, Comparison]:
    points = [point for file in files for point in load_inferencex(file)]
    found, _ = published_comparisons(points, SELECTION)
    return {comparison.candidate.identity.sequence: comparison for comparison in found}


@pytest.mark.parametrize(
    ("files", "sequence", "levels", "mtp", "off"),
    [
        ([ALL], "1k1k", (50, 67, 84), (309.6, 207.2, 142.7), (363.6, 243.2, 169.8)),
        ([ALL], "8k1k", (40, 57, 74), (1139.9, 879.0, 668.4), (990.5, 757.9, 583.5)),
        ([ALL, C32], "1k1k", (50, 67, 84), (309.6, 207.2, 142.7), (320.8, 245.0, 169.9)),
        ([ALL, C32], "8k1k", (40, 57, 74), (1139.9, 879.0, 668.4), (958.0, 762.3, 583.5)),
    ],
)
def test_the_curves_of_deepseek_r1_give_the_published_values(
    files: list[Path], sequence: str, levels: tuple[int, ...], mtp: tuple[float, ...], off: tuple[float, ...]
) -> None:
    comparison = comparisons(*files)[sequence]
    assert comparison.levels() == levels
    read = [comparison.at(level) for level in levels]
    assert tuple(round(r.candidate.throughput.value, 1) for r in read) == mtp
    assert tuple(round(r.reference.throughput.value, 1) for r in read) == off


def test_the_bracket_that_misses_a_point_is_wide_and_the_one_that_has_it_is_not() -> None:
    assert comparisons(ALL)["1k1k"].at(50).reference.bracket.wide
    assert not comparisons(ALL, C32)["1k1k"].at(50).reference.bracket.wide


@pytest.mark.parametrize(("name", "files"), [("compare_dsr1", [ALL]), ("compare_dsr1_with_c32", [ALL, C32])])
def test_the_command_prints_the_table_of_the_golden_file(
    name: str, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *map(str, files), *ARGUMENTS]) == 0
    assert capsys.readouterr().out == (GOLDEN / f"{name}.txt").read_text()


def test_the_sentence_says_that_off_wins_at_1k1k() -> None:
    sentence = comparisons(ALL)["1k1k"].at(50).sentence()
    assert sentence == (
        "At 50 tok/s/user Off serves 1.17x the tokens per GPU of MTP (363.6 against 309.6 tok/s/GPU), "
        "so a token costs 15 % less."
    )


def test_the_seed_table_is_consistent_with_its_price() -> None:
    (table,) = published_tables()
    assert table.price == list_price("h200", book="2026-04")
    ratios = [round(level.mtp.total_tok_s_gpu / level.off.total_tok_s_gpu, 3) for level in table.levels]
    assert ratios == [1.606, 1.852, 1.920]
    for level in table.levels:
        for side in (level.mtp, level.off):
            # The page gave cost a spline of its own, so the two agree to 2 % only.
            assert side.cost_usd_mtok * side.total_tok_s_gpu * 0.0036 == pytest.approx(1.41, rel=0.02)
            assert side.tok_s_mw * table.price.kw_per_gpu / 1000 == pytest.approx(side.total_tok_s_gpu, rel=1e-3)


def _leave_one_out() -> list[bool]:
    """Whether the interval of a reading covers the point that was left out, for every inner point of every curve."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in json.loads(ALL.read_text()) + json.loads(C32.read_text()):
        keys = ("framework", "spec_method", "isl", "osl", "date", "decode_ep", "decode_dp_attention")
        if row["conc"] <= 256:
            groups[tuple(row[key] for key in keys)].append(row)
    covered = []
    for rows in groups.values():
        points = [
            Point(
                interactivity=Estimate(row["metrics"]["median_intvty"]),
                throughput=Estimate(row["metrics"]["tput_per_gpu"]),
                concurrency=row["conc"],
            )
            for row in rows
        ]
        frontier = Curve(points).frontier
        for left_out in frontier[1:-1]:
            reading = Curve(p for p in frontier if p is not left_out).at(left_out.interactivity.value).throughput
            covered.append(reading.low <= left_out.throughput.value <= reading.high)
    return covered


def test_the_interval_of_an_interpolated_value_covers_the_truth() -> None:
    covered = _leave_one_out()
    assert len(covered) == 54
    assert sum(covered) >= 51
