"""A metric is a row and an estimator: the row alone takes it into every output, and into the gate."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_specdec.domain.metric import METRICS, Limits, Metric, keys_as, metrics_as
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.gate.presets import PRESETS

KEY = "widgets_s"
SCRIPT = Path(__file__).parent.parent / "support" / "dummy_outputs.py"


@pytest.fixture(scope="module")
def outputs() -> dict[str, Any]:
    """What a process says in which the row was there before the modules that read rows."""
    path = os.pathsep.join(filter(None, sys.path))
    found = subprocess.run(
        [sys.executable, SCRIPT],
        capture_output=True,
        check=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    read: dict[str, Any] = json.loads(found.stdout)
    return read


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("terminal", "wid/s"),
        ("terminal", "4321.500 ± 12.250"),
        (".md", "wid/s"),
        (".json", KEY),
        (".csv", f"{KEY}_half_width"),
        (".html", "widget rate"),
        (".bmf.json", f'"{KEY}": {{'),
        (".smaller.json", "widget rate"),
        ("verdict", "widget rate +50.0%"),
    ],
)
def test_a_report_shows_it(outputs: dict[str, Any], output: str, words: str) -> None:
    assert words in outputs[output]


def test_a_tracker_of_the_other_direction_does_not(outputs: dict[str, Any]) -> None:
    assert "widget rate" not in outputs[".bigger.json"]


def test_the_page_offers_it_for_both_axes(outputs: dict[str, Any]) -> None:
    assert outputs["page metrics"][-1] == KEY
    assert outputs["page x"][-1] == KEY
    assert {keys[-1] for keys in outputs["page y"].values()} == {KEY}


def test_short_lists_end_with_it(outputs: dict[str, Any]) -> None:
    assert outputs["shown"] == [*keys_as("verdict"), KEY]
    assert outputs["peers"] == [*keys_as("peer"), KEY]
    assert outputs["pytest-html"]["specdecWidget"] == ["Widget rate", KEY]


def test_its_limits_gate_it(outputs: dict[str, Any]) -> None:
    assert outputs["limits"]["margin"] == 0.06
    assert (outputs["same"], outputs["lost"]) == (f"{KEY} pass", f"{KEY} fail")


def test_the_page_names_no_metric_beside_its_axes_and_what_it_computes_from_a_price() -> None:
    folder = Path(__file__).parents[2] / "pytest_specdec" / "report" / "page"
    scripts = "\n".join(path.read_text() for path in folder.glob("*.js"))
    named = {key for key in METRICS if re.search(rf"\b{key}\b", scripts)}
    computed = {key for key, metric in METRICS.items() if metric.needs == "price"}
    assert named == computed | {"total_tok_s_gpu", "output_tok_s_gpu", "interactivity_tok_s_user"}


def test_places_order_the_metrics_of_a_role() -> None:
    assert keys_as("headline") == ("total_tok_s_gpu", "interactivity_tok_s_user", "acceptance_length")
    assert [metric.heading for metric in metrics_as("point")][2:4] == ["TTFT p50 ms", "$/M tok"]
    assert list(PRESETS)[-1] == "acceptance_length"
    for metric in METRICS.values():
        for role, place in metric.roles.items():
            assert [other.key for other in metrics_as(role) if other.roles[role] == place] == [metric.key]


def test_nothing_without_a_direction_is_gated_or_tracked() -> None:
    words: dict[str, Any] = {"key": "x", "title": "x", "unit": "", "better": None, "formula": "", "digits": 1}
    assert Metric(**words, roles={"point": 1}).gate is None
    for more in ({"gate": Limits(margin=0.05, tolerance=0.01)}, {"roles": {"tracker": 1}}):
        with pytest.raises(InvalidInputError, match="direction"):
            Metric(**words, **more)


@pytest.mark.parametrize(("margin", "tolerance"), [(0.05, 0.05), (0.05, 0.06), (1.0, 0.01), (0.05, -0.01)])
def test_the_tolerance_lies_below_the_margin(margin: float, tolerance: float) -> None:
    with pytest.raises(InvalidInputError, match="tolerance"):
        Limits(margin=margin, tolerance=tolerance)
