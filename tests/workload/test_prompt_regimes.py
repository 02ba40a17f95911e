"""Prompts of a category are a regime of their own: part of the workload, and never compared with another."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import ENVIRONMENT, PRICE, measured

from pytest_specdec.domain.cell import Workload, parse_sequence
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.load.target import Target
from pytest_specdec.load.writers import ListWriter
from pytest_specdec.results.baseline import BaselinePoint, BaselineRun, why_not_comparable
from pytest_specdec.suite.matrix import Matrix
from pytest_specdec.workload.categories import CHARACTERS, Category, Entropy
from pytest_specdec.workload.regime import CATEGORIES, SIZES, Regime
from pytest_specdec.workload.schedule import PROMPTS_PER_POINT, closed_loop_requests

HERE = Path(__file__).parent
MARKER = {"model": "m", "precision": "fp8", "concurrency": 4}
names = st.builds("text/{}/{}".format, st.sampled_from(CATEGORIES), st.sampled_from(SIZES))
positions = st.integers(0, PROMPTS_PER_POINT - 1)


@given(names)
def test_a_regime_is_read_and_written(name: str) -> None:
    assert str(Regime.parse(name)) == name


@pytest.mark.parametrize("name", ["text/prose/short", "text/code/huge", "text/code", "code/short", "text//short"])
def test_an_unknown_regime_is_named_with_those_there_are(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"no prompts are called '{name}'; there are text/code, .*text/mixed"):
        Regime.parse(name)


@given(names, positions, st.integers(0, 9999), st.integers(0, 50))
def test_a_position_has_one_prompt_and_no_other_stream_has_it(name: str, position: int, stream: int, seed: int) -> None:
    regime = Regime.parse(name)
    prompt = regime.at(position, seed=seed, stream=stream)
    assert prompt == regime.at(position, seed=seed, stream=stream)
    for other in (
        regime.at(position + 1, seed=seed, stream=stream),
        regime.at(position, seed=seed, stream=stream + 1),
        regime.at(position, seed=seed + 1, stream=stream),
    ):
        assert other.text[:40] != prompt.text[:40], "a prefix cache would know it"


def test_mixed_asks_for_everything_in_turn_and_a_category_for_both_entropies() -> None:
    mixed = [Regime.parse("text/mixed/short").at(i, seed=0) for i in range(10)]
    assert {(p.category, p.entropy) for p in mixed} == {(c, e) for c in Category for e in Entropy}
    code = [Regime.parse("text/code/medium").at(i, seed=0) for i in range(4)]
    assert {p.category for p in code} == {Category.CODE}
    assert {p.entropy for p in code} == set(Entropy)
    assert all(len(p.text) < 2 * CHARACTERS[p.size] for p in code)


def test_the_wording_tells_regimes_apart() -> None:
    wordings = {Regime.parse(f"text/{category}/{size}").digest for category in CATEGORIES for size in SIZES}
    assert len(wordings) == len(CATEGORIES) * len(SIZES)


def test_the_requests_of_a_point_are_those_prompts() -> None:
    workload = Workload(isl=0, osl=256, prompts="text/json/short", seed=3)
    regime = Regime.parse(workload.prompts)
    writer = ListWriter(target=Target(base_url="http://a/v1", model="m"), workload=workload, prompts=regime)
    requests = closed_loop_requests(workload, 8)
    for position, request in ((i, next(requests)) for i in range(20)):
        body = msgspec.json.decode(writer.retargeted(writer.target).body(request))
        assert body["messages"] == [{"role": "user", "content": regime.at(position, seed=3, stream=8).text}]
        assert body["max_tokens"] == request.osl
    assert writer.wording == regime.digest


def test_categories_are_an_axis_of_the_matrix() -> None:
    matrix = Matrix.from_markers(
        [{**MARKER, "prompts": ["text/code", "text/chat"], "sequence": ["short/64", "long/64"]}], "smoke", HERE
    )
    workloads = [curve.workload for curve in matrix.curves()]
    assert [w.prompts for w in workloads] == [
        "text/code/short", "text/chat/short", "text/code/long", "text/chat/long",
    ]  # fmt: skip
    assert [w.sequence for w in workloads] == ["code-shortx64", "chat-shortx64", "code-longx64", "chat-longx64"]
    assert {w.isl for w in workloads} == {0}
    assert matrix.prompt_file is None


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ({"prompts": "text/code", "sequence": "1k1k"}, "does not fit its prompts"),
        ({"prompts": "text/code", "sequence": "file/64"}, "does not fit its prompts"),
        ({"sequence": "medium/64"}, "does not fit its prompts"),
        ({"prompts": "text/prose", "sequence": "medium/64"}, "no prompts are called 'text/prose/medium'"),
        ({"prompts": ["text/code", "my.jsonl"], "sequence": "medium/64"}, "must be a file, or categories"),
        ({"prompts": 3, "sequence": "medium/64"}, "must be a file, or categories"),
        ({"prompts": [], "sequence": "medium/64"}, "must be a file, or categories"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(marker: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Matrix.from_markers([{**MARKER, **marker}], "smoke", HERE)


def test_another_regime_is_not_comparable() -> None:
    code, sentences = (
        parse_sequence("short/64", prompts="text/code/short"),
        Workload(isl=0, osl=64, prompts="text/chat/short"),
    )
    stored = measured(workload=sentences)
    run = BaselineRun(measured_at="", version="1", values=stored.values)
    point = BaselinePoint(cell=stored.cell, environment=ENVIRONMENT, price=PRICE, runs=(run,), path=Path("b.json"))
    assert why_not_comparable(measured(workload=sentences), point) == ""
    reason = why_not_comparable(measured(workload=code), point)
    assert "text/code/short" in reason
    assert "text/chat/short" in reason
