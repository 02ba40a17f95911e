"""Tables cut to the width of a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.report.fit import Block, blocks, wrapped
from pytest_specdec.report.render import Table, terminal

WORDS = st.text("abc1.", min_size=1, max_size=12)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    columns = draw(st.integers(1, 9))
    row = st.lists(WORDS, min_size=columns, max_size=columns)
    return draw(row), draw(st.lists(row, max_size=4))


@given(tables(), st.integers(32, 120))
def test_nothing_is_lost_nothing_comes_twice_but_the_name_and_every_line_fits(
    table: tuple[list[str], list[list[str]]], width: int
) -> None:
    headers, rows = table
    found = blocks(headers, rows, width)
    assert all(block.headers[0] == headers[0] for block in found)
    assert [h for block in found for h in block.headers[1:]] == list(headers[1:])
    for i, row in enumerate(rows):
        assert [cell for block in found for cell in block.rows[i][1:]] == row[1:]
    for block in found:
        text = terminal(Table(title="", headers=block.headers, rows=block.rows))
        assert max(map(len, text.splitlines())) <= width


def test_a_group_of_columns_stays_together() -> None:
    headers = ("concurrency", "tok/s/user MTP 3", "Off", "ratio", "tok/s/GPU MTP 3", "Off", "ratio")
    found = blocks(headers, [], 70, (1, 4))
    assert [block.headers for block in found] == [
        ("concurrency", "tok/s/user MTP 3", "Off", "ratio"),
        ("concurrency", "tok/s/GPU MTP 3", "Off", "ratio"),
    ]


def test_the_mode_names_a_row_together_with_its_level() -> None:
    rows = [["75", "MTP 3", "1" * 20, "2" * 20], ["75", "Off", "3" * 20, "4" * 20]]
    found = blocks(("tok/s/user", "mode", "a", "b"), rows, 50)
    assert [block.headers for block in found] == [("tok/s/user", "mode", "a"), ("tok/s/user", "mode", "b")]


def test_a_long_text_is_wrapped_beside_its_name_and_a_number_never() -> None:
    text = "output throughput fell because the acceptance length fell from 3.4 to 2.1"
    (block,) = blocks(("cell", "verdict", "notes"), [["toy-c4", "regressed", text]], 60)
    assert max(len(line) for line in block.rows[0][2].split("\n")) <= 60 - len("toy-c4") - len("regressed") - 4
    assert block.rows[0][2].replace("\n", " ") == text
    number = "1234567890.123456789012345678901234567890"
    assert blocks(("cell", "n"), [["toy-c4", number]], 30)[0].rows[0][1] == number


def test_what_fits_is_left_alone() -> None:
    assert blocks(("a", "b"), [["1", "2"]], 80) == [Block(("a", "b"), (("1", "2"),))]


def test_a_wrapped_note_keeps_its_indent() -> None:
    assert wrapped("  note: one two three", 14) == "  note: one\n    two three"
