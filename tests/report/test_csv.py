"""CSV as spreadsheets read it: text that begins like a formula stays text, numbers stay numbers."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import ENVIRONMENT, measured
from msgspec.structs import replace

from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.report.csv_file import frame_csv, of_compared, point_frame
from pytest_specdec.report.formats import Compared
from pytest_specdec.results.measurement import Measurement, curve_of

LINK = '=HYPERLINK("http://evil.example","see")'


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def linked(concurrency: int, mtp: int) -> Measurement:
    return replace(measured(concurrency, mtp=mtp), environment=replace(ENVIRONMENT, engine=LINK, version=LINK))


def test_a_version_that_is_a_formula_is_none_in_the_points() -> None:
    point = replace(linked(4, 3), notes=("-1 requests failed",))
    (row,) = rows(frame_csv(point_frame([point])))
    assert row["version"] == f"'{LINK}"
    assert row["notes"] == "'-1 requests failed"
    assert row["model"] == "org/Model-FP8"


def test_nor_is_it_in_a_comparison() -> None:
    comparison = Comparison(curve_of([linked(4, 3)]), curve_of([linked(4, 0)]))
    assert rows(of_compared(Compared([comparison], [], [])))[0]["engine"] == f"'{LINK}"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_what_begins_like_a_formula_has_a_quote_before_it(begin: str) -> None:
    text = frame_csv(pd.DataFrame({"a": [f"{begin}1", "1"]}))
    found = [row["a"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert found == [f"'{begin}1".replace("\r", "\n"), "1"]


def test_no_formula_begins_after_a_carriage_return() -> None:
    text = frame_csv(pd.DataFrame({"a": [f"x\r{LINK}", "1"]}))
    assert [len(row) for row in csv.reader(io.StringIO(text, newline=""))] == [1, 1, 1]


@given(
    st.lists(
        st.tuples(
            st.floats(allow_infinity=False) | st.none(),
            st.integers(-(2**53), 2**53),
            st.booleans(),
            st.text("ab=", max_size=3),
        ),
        min_size=1,
    )
)
def test_numbers_and_harmless_texts_are_as_they_were(cells: list[tuple[float | None, int, bool, str]]) -> None:
    frame = pd.DataFrame(cells, columns=["number", "count", "flag", "text"])
    harmless = frame.assign(text=[text.lstrip("=") for *_, text in cells])
    assert frame_csv(harmless) == harmless.to_csv(index=False)
    made, plain = rows(frame_csv(frame)), rows(frame.to_csv(index=False))
    assert [{**row, "text": ""} for row in made] == [{**row, "text": ""} for row in plain]
