"""Cells: parsing, names, order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.domain.cell import (
    Cell,
    EngineSpec,
    Workload,
    engine_order,
    parse_parallelism,
    parse_sequence,
    short_model,
)
from pytest_specdec.errors import InvalidInputError

engines = st.builds(
    EngineSpec,
    model=st.sampled_from(["a/One-FP8", "b/Two"]),
    precision=st.sampled_from(["fp8", "bf16"]),
    parallelism=st.sampled_from(["tp8", "tp8ep8"]),
    mtp=st.integers(0, 3),
)
cells = st.builds(
    Cell,
    engine=engines,
    workload=st.builds(Workload, isl=st.sampled_from([128, 1024, 8192]), osl=st.sampled_from([64, 1024])),
    concurrency=st.integers(1, 256),
)


@given(isl=st.integers(1, 10**6), osl=st.integers(1, 10**6))
def test_the_name_of_a_sequence_parses_back_to_it(isl: int, osl: int) -> None:
    workload = Workload(isl=isl, osl=osl)
    assert parse_sequence(workload.sequence) == workload


@pytest.mark.parametrize(
    ("text", "isl", "osl"), [("1k1k", 1024, 1024), ("8k1k", 8192, 1024), ("128x64", 128, 64), ("1k/8k", 1024, 8192)]
)
def test_sequences_are_read_as_the_field_writes_them(text: str, isl: int, osl: int) -> None:
    workload = parse_sequence(text)
    assert (workload.isl, workload.osl) == (isl, osl)


@pytest.mark.parametrize("text", ["", "1k", "k1k", "0x5", "1024", "1k1k1k", "a1k"])
def test_what_is_no_sequence_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(InvalidInputError, match="sequence"):
        parse_sequence(text)


@given(st.lists(cells, max_size=40))
def test_the_order_of_cells_starts_each_engine_once(found: list[Cell]) -> None:
    ordered = engine_order(found)
    starts = [engine for engine, _ in itertools.groupby(ordered, key=lambda cell: cell.engine)]
    assert len(starts) == len({cell.engine for cell in found})
    assert set(ordered) == set(found)


@given(st.lists(cells, min_size=2, max_size=20, unique=True))
def test_different_cells_of_one_parallelism_have_different_names(found: list[Cell]) -> None:
    same = [c for c in found if c.engine.parallelism == "tp8"]
    assert len({str(cell) for cell in same}) == len(same)


def test_off_comes_before_mtp() -> None:
    off, mtp = EngineSpec(model="m", precision="fp8"), EngineSpec(model="m", precision="fp8", mtp=3)
    assert sorted([mtp, off]) == [off, mtp]
    assert (off.mode, mtp.mode) == ("off", "mtp3")


@pytest.mark.parametrize(("text", "gpus"), [("tp8", 8), ("tp8ep8", 8), ("tp4dp2", 8), ("TP2PP2", 4)])
def test_expert_parallelism_shares_the_gpus(text: str, gpus: int) -> None:
    assert EngineSpec(model="m", precision="fp8", parallelism=parse_parallelism(text)).gpus == gpus


@pytest.mark.parametrize("text", ["", "8", "tp0", "tp8tp4", "xx8", "tp"])
def test_an_impossible_parallelism_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="parallelism"):
        parse_parallelism(text)


def test_short_names_drop_organisation_and_precision() -> None:
    assert short_model("Qwen/Qwen3.5-397B-A17B-FP8") == "qwen3.5-397b-a17b"
    assert short_model("/models/My Model_v2/") == "my-model-v2"
