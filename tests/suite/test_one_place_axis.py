"""A new axis is one row: the marker, its help, the filter, the ids and the check of facts follow from it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pytest_specdec.domain import cell
from pytest_specdec.domain.axes import AXES, Axis, cell_axes
from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.domain.facts import Facts, contradictions
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.pipeline.option_values import only
from pytest_specdec.suite.matrix import Matrix, marker_line
from pytest_specdec.suite.subjects import narrow

FULL = {"model": "m", "precision": "fp8", "sequence": "1k1k", "concurrency": 4}


def _temperature(value: object) -> float:
    if not isinstance(value, float | int) or value < 0:
        raise ValueError("a number from 0")
    return float(value)


@pytest.fixture
def temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    """An axis over a field that workloads have and suites cannot vary."""
    monkeypatch.setitem(AXES, "temperature", Axis("workload", _temperature, "such as 0.7", (0.0,)))
    monkeypatch.setitem(cell.TAGS, "temperature", "t")


def _matrix(**arguments: object) -> Matrix:
    return Matrix.from_markers([{**FULL, **arguments}], "smoke", Path(__file__).parent)


@pytest.mark.usefixtures("temperature")
def test_the_marker_takes_the_axis_and_ids_show_it() -> None:
    cells = _matrix(temperature=[0, 0.7], mtp=[0, 3]).cells()
    assert [str(one) for one in cells] == [
        "m-fp8-1k1k-off-c4",
        "m-fp8-1k1k-t0.7-off-c4",
        "m-fp8-1k1k-mtp3-c4",
        "m-fp8-1k1k-t0.7-mtp3-c4",
    ]
    assert _matrix(temperature={"smoke": 0.7}).cells() == [cells[1]]
    assert [str(pair) for pair in _matrix(temperature=0.7, mtp=3).comparisons()] == ["m-fp8-1k1k-t0.7-mtp3-vs-off"]


@pytest.mark.usefixtures("temperature")
def test_an_impossible_value_is_refused_in_the_words_of_the_row() -> None:
    with pytest.raises(InvalidInputError, match=r"temperature of the specdec marker must be a number from 0: -1"):
        _matrix(temperature=-1)


@pytest.mark.usefixtures("temperature")
def test_the_filter_and_other_plugins_know_the_axis() -> None:
    chosen = only("temperature=0.7")
    kept = [one for one in _matrix(temperature=[0, 0.7]).cells() if narrow(one, [chosen])]
    assert [cell_axes(one)["temperature"] for one in kept] == ["0.7"]


@pytest.mark.usefixtures("temperature")
def test_the_help_of_the_marker_has_the_axis() -> None:
    assert "temperature=0.0" in marker_line()
    assert "temperature: such as 0.7." in marker_line()


def test_without_its_row_the_axis_is_unknown() -> None:
    with pytest.raises(InvalidInputError, match="unknown argument 'temperature'"):
        _matrix(temperature=0.7)
    with pytest.raises(argparse.ArgumentTypeError, match="AXIS one of model"):
        only("temperature=0.7")
    assert "temperature" not in marker_line()


def test_a_row_names_the_fact_that_has_to_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, facts = EngineSpec(model="m", precision="bf16"), Facts(dtype="fp16")
    assert contradictions(engine, facts) == []
    monkeypatch.setitem(AXES, "precision", Axis("engine", str, "", fact="dtype"))
    assert contradictions(engine, facts) == ["the test wants precision bf16 and the endpoint runs fp16"]
    assert contradictions(engine, Facts(dtype="bf16")) == contradictions(engine, Facts()) == []


def test_the_signature_of_the_marker_starts_with_what_it_needs() -> None:
    signature = marker_line().splitlines()[0]
    assert signature.startswith("specdec(model, precision, sequence, concurrency, parallelism='tp8', mtp=0, ")
    assert "acceptance='natural', rate=None, arrivals='poisson', prompts=None" in signature
