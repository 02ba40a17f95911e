"""The page reads and compares curves by the package's own rules: the same numbers from the same points."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from playwright.sync_api import Browser, Page

import pytest_specdec.report
from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.domain.curve import Curve, CurveIdentity, Point, Reading
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.price import Price, cost_usd_mtok, j_tok, tok_s_mw
from pytest_specdec.errors import NotMeasuredError

pytest_plugins = ["opened"]

RULES = Path(pytest_specdec.report.__file__).parent / "page" / "reading.js"
X, Y, TTFT = "interactivity_tok_s_user", "total_tok_s_gpu", "ttft_p50_ms"
CLOSE = 1e-9


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    """An empty page with the rules, which are a script of their own."""
    made = browser.new_page()
    made.add_script_tag(content=RULES.read_text())
    return made


def random_curve(random: np.random.Generator) -> Curve:
    """Any points: behind the frontier, at equal interactivity, of unknown uncertainty."""
    points = []
    for _ in range(int(random.integers(1, 9))):
        half = None if random.random() < 0.2 else float(random.uniform(0, 3))
        x = float(random.uniform(10, 200)) if random.random() < 0.7 else float(random.integers(10, 15))
        values = (float(random.uniform(50, 900)), float(random.uniform(-20, 400)))
        points.append(
            Point(
                interactivity=Estimate(x, half),
                throughput=Estimate(values[0], half),
                concurrency=int(random.integers(1, 129)),
                readings={TTFT: Estimate(values[1], half)} if random.random() < 0.9 else {},
            )
        )
    return Curve(points, CurveIdentity(mode="mtp3"))


def as_points(curve: Curve) -> list[dict[str, Any]]:
    return [
        {
            "concurrency": p.concurrency,
            "values": msgspec.to_builtins({X: p.interactivity, Y: p.throughput, **p.readings}),
        }
        for p in curve.points
    ]


def levels_of(curve: Curve, random: np.random.Generator) -> list[float]:
    low, high = curve.range
    inside = [float(low + share * (high - low)) for share in random.uniform(0, 1, 4)]
    return [
        *inside,
        low,
        high,
        low * 0.99,
        high * 1.01,
        float(random.choice([p.interactivity.value for p in curve.points])),
    ]


def theirs(read: Reading) -> dict[str, Any]:
    return {
        "values": msgspec.to_builtins({Y: read.throughput, **read.readings}),
        "concurrency": read.concurrency,
        "words": str(read.bracket),
    }


def python_answer(curve: Curve, level: float) -> dict[str, Any] | None:
    try:
        return theirs(curve.at(level))
    except NotMeasuredError:
        return None


def same(mine: Any, other: Any) -> bool:
    """Equal but for the last digits of a float."""
    if isinstance(mine, dict):
        return mine.keys() == other.keys() and all(same(mine[k], other[k]) for k in mine)
    if isinstance(mine, list):
        return len(mine) == len(other) and all(map(same, mine, other))
    if isinstance(mine, float | int) and isinstance(other, float | int):
        return mine == pytest.approx(other, rel=CLOSE, abs=CLOSE)
    return bool(mine == other)


def test_curves_are_read_alike_at_any_level(page: Page) -> None:
    random = np.random.default_rng(7)
    curves = [random_curve(random) for _ in range(400)]
    asked = [(curve, levels_of(curve, random)) for curve in curves]
    answers = page.evaluate(
        """asked => asked.map(([points, levels]) => levels.map((level) => {
            const read = readAt(frontierOf(points), level);
            return read && {values: read.values, concurrency: read.concurrency, words: read.bracket.words};
        }))""",
        [(as_points(curve), levels) for curve, levels in asked],
    )
    count = 0
    for (curve, levels), found in zip(asked, answers, strict=True):
        for level, answer in zip(levels, found, strict=True):
            expected = python_answer(curve, level)
            assert same(answer, expected), (level, answer, expected, as_points(curve))
            count += expected is not None
    assert count > 1000, "most of the levels are inside"


def test_comparisons_say_the_same_sentence_with_the_same_interval(page: Page) -> None:
    random = np.random.default_rng(8)
    names = ("MTP 3", "Off")
    count = 0
    for _ in range(150):
        comparison = Comparison(random_curve(random), random_curve(random), names=names)
        low = max(comparison.candidate.range[0], comparison.reference.range[0])
        level = float(random.choice([low, round(low) + 1.0, float(random.uniform(10, 200))]))
        found = page.evaluate(
            """([candidate, reference, names, level]) => {
                const [a, b] = [candidate, reference].map((points) => ({frontier: frontierOf(points)}));
                const {gain, sentence} = compareAt(a, b, names, level);
                return {gain, sentence};
            }""",
            [as_points(comparison.candidate), as_points(comparison.reference), list(names), level],
        )
        try:
            expected = comparison.at(level)
        except NotMeasuredError:
            assert found.get("gain") is None
            continue
        assert same(found["gain"], msgspec.to_builtins(expected.throughput_ratio))
        assert found["sentence"] == expected.sentence()
        count += 1
    assert count > 40


@pytest.mark.parametrize(
    ("key", "formula"), [("cost_usd_mtok", cost_usd_mtok), ("tok_s_mw", tok_s_mw), ("j_tok", j_tok)]
)
def test_cost_and_power_follow_from_throughput(
    page: Page, key: str, formula: Callable[[Price, Estimate], Estimate]
) -> None:
    price = Price(usd_per_gpu_hour=1.22, kw_per_gpu=1.37)
    for estimate in (Estimate(457.7, 3.1), Estimate(457.7)):
        found = page.evaluate(
            "([values, key, price]) => valueOf(values, key, price)",
            [{Y: msgspec.to_builtins(estimate)}, key, json.loads(msgspec.json.encode(price))],
        )
        assert same(found, msgspec.to_builtins(formula(price, estimate)))
