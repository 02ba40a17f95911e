"""A table of strings -> terminal or Markdown, through tabulate."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tabulate import tabulate

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.report.fit import blocks, wrapped

_LEFT = (
    "mode", "cell", "verdict", "metric", "between", "notes", "field", "version", "run", "curve", "old side", "new side",
)  # fmt: skip
"""Headings of columns of text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows for people, already formatted; short rows are filled up with blanks."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    sentences: Sequence[str] = ()
    """Findings, in words."""
    notes: Sequence[str] = ()
    """Caveats."""
    starts: Sequence[int] = ()
    """Columns that begin a group which a narrow terminal must not cut; empty where every column may."""


def terminal(table: Table, width: int | None = None) -> str:
    """Plain text for a terminal of `width` characters; None for a log, whose lines may have any length."""
    lines = [*(f"  {sentence}" for sentence in table.sentences), *(f"  note: {note}" for note in table.notes)]
    if width is None:
        return "\n".join([table.title, _grid(table, "simple"), *lines])
    cut = blocks(table.headers, _filled(table), width, table.starts)
    grids = [_grid(replace(table, headers=block.headers, rows=block.rows), "simple") for block in cut]
    return "\n".join([wrapped(table.title, width), "\n\n".join(grids), *(wrapped(line, width) for line in lines)])


def screen_width() -> int | None:
    """Width of the terminal, or COLUMNS; None where the output goes into a file or a pipe."""
    return shutil.get_terminal_size(fallback=(0, 0)).columns or None


def markdown(table: Table) -> str:
    """A GitHub table under a heading."""
    said = [f"- **{escaped(sentence)}**" for sentence in table.sentences]
    lines = [*said, *(f"- {escaped(note)}" for note in table.notes)]
    return "\n".join([f"### {escaped(table.title)}", "", _grid(table, "github"), *([""] if lines else []), *lines, ""])


def markdown_page(tables: Sequence[Table], remarks: Sequence[str]) -> str:
    """All tables, then the remarks that belong to none of them."""
    return "\n".join([*(markdown(table) for table in tables), *(f"- {remark}" for remark in remarks)]).rstrip() + "\n"


def with_uncertainty(estimate: Estimate, digits: int) -> str:
    """`457.7 ± 3.1`, or the value alone when its uncertainty is unknown."""
    if estimate.half_width is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} ± {estimate.half_width:.{digits}f}"


def _filled(table: Table) -> list[list[str]]:
    return [[*row, *[""] * (len(table.headers) - len(row))] for row in table.rows]


def _grid(table: Table, style: str) -> str:
    rows = _filled(table)
    if style == "github":
        rows = [[escaped(cell) for cell in row] for row in rows]
    align = ["left" if header in _LEFT else "right" for header in table.headers]
    return tabulate(rows, headers=list(table.headers), tablefmt=style, colalign=align, disable_numparse=True)


def escaped(text: str) -> str:
    """Escape foreign text: in Markdown it opens no tag, ends no table cell, loads no image and mentions no user."""
    text = text.replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;").replace("@", "@&#8203;")
    return re.sub(r"([|`\[\]])", r"\\\1", text).replace("\r", " ").replace("\n", " ")
