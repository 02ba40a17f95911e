"""Fit a table into a terminal: the columns that fit, then the rest below, each block with the columns that name a row.

A table that fits is left alone. Texts that are wider than the terminal are wrapped, numbers never are.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

_GAP = 2
"""Between two columns."""
_PADDING = 2
"""Columns that tabulate adds to a heading."""
_NARROWEST = 24
"""A wrapped text in fewer columns cannot be read."""
_SECOND_NAMES = frozenset({"mode", "check", "K"})
"""Headings of a second column that names the row."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some columns of a table."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def blocks(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int, starts: Collection[int] = ()
) -> list[Block]:
    """Cut a table into blocks of at most `width` characters; every row has a cell for each header.

    Args:
        headers: Heading of each column.
        rows: Cells, shape (rows, columns).
        width: Characters that a line may have.
        starts: Columns that begin a group which stays together; empty where every column may begin a block.
    """
    widths = [max(len(header) + _PADDING, _width(cells)) for header, *cells in zip(headers, *rows, strict=True)]
    if _total(widths, range(len(headers))) <= width:
        return [_block(headers, rows, range(len(headers)))]
    first = 2 if len(headers) > 2 and headers[1] in _SECOND_NAMES else 1
    names = tuple(range(first))
    found: list[tuple[int, ...]] = []
    narrowed: dict[int, int] = {}
    current = names
    for group in _groups(range(first, len(headers)), starts):
        alone = _total(widths, (*names, *group))
        room = width - _total(widths, (*current, *group[:-1])) - _GAP
        if widths[group[-1]] > room and current != names and (alone <= width or room < _NARROWEST):
            found.append(current)
            current = names
            room = width - alone + widths[group[-1]]
        if widths[group[-1]] > room:
            narrowed[group[-1]] = widths[group[-1]] = max(room, _NARROWEST)
        current = (*current, *group)
    return [_block(headers, _narrowed(rows, narrowed), columns) for columns in (*found, current)]


def wrapped(text: str, width: int) -> str:
    """Wrap a line, with its continuation below its text."""
    indent = len(text) - len(text.lstrip())
    return textwrap.fill(
        text, width, subsequent_indent=" " * (indent + 2), break_long_words=False, break_on_hyphens=False
    )


def _groups(columns: Sequence[int], starts: Collection[int]) -> Iterator[tuple[int, ...]]:
    group: tuple[int, ...] = ()
    for column in columns:
        if group and (not starts or column in starts):
            yield group
            group = ()
        group = (*group, column)
    if group:
        yield group


def _width(cells: Sequence[str]) -> int:
    return max((len(line) for cell in cells for line in cell.split("\n")), default=0)


def _total(widths: Sequence[int], columns: Sequence[int]) -> int:
    return sum(widths[column] for column in columns) + _GAP * (len(columns) - 1)


def _block(headers: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[int]) -> Block:
    return Block(
        tuple(headers[column] for column in columns), tuple(tuple(row[column] for column in columns) for row in rows)
    )


def _narrowed(rows: Sequence[Sequence[str]], widths: dict[int, int]) -> list[list[str]]:
    return [
        [
            textwrap.fill(cell, widths[column], break_long_words=False, break_on_hyphens=False)
            if column in widths
            else cell
            for column, cell in enumerate(row)
        ]
        for row in rows
    ]
