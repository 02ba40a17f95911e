"""A table of strings -> terminal or Markdown, through tabulate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from pytest_specdec.estimate import Estimate

_LEFT = frozenset({"mode", "cell", "verdict", "metric", "between", "notes", "field"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows for people, already formatted; short rows are filled up with blanks."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    sentences: Sequence[str] = ()
    """What the table says, in words."""
    notes: Sequence[str] = ()
    """What a reader must know to trust it."""


def terminal(table: Table) -> str:
    """Plain text, fit for a terminal and a log."""
    lines = [*(f"  {sentence}" for sentence in table.sentences), *(f"  note: {note}" for note in table.notes)]
    return "\n".join([table.title, _grid(table, "simple"), *lines])


def markdown(table: Table) -> str:
    """A GitHub table under a heading."""
    said = [f"- **{_escaped(sentence)}**" for sentence in table.sentences]
    lines = [*said, *(f"- {_escaped(note)}" for note in table.notes)]
    return "\n".join([f"### {_escaped(table.title)}", "", _grid(table, "github"), *([""] if lines else []), *lines, ""])


def with_uncertainty(estimate: Estimate, digits: int) -> str:
    """`457.7 ± 3.1`, or the value alone when its uncertainty is unknown."""
    if estimate.half_width is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} ± {estimate.half_width:.{digits}f}"


def _grid(table: Table, style: str) -> str:
    width = len(table.headers)
    rows = [[*row, *[""] * (width - len(row))] for row in table.rows]
    if style == "github":
        rows = [[_escaped(cell) for cell in row] for row in rows]
    align = ["left" if header in _LEFT else "right" for header in table.headers]
    return tabulate(rows, headers=list(table.headers), tablefmt=style, colalign=align, disable_numparse=True)


def _escaped(text: str) -> str:
    """Text from a server or a file cannot open a tag or end a table cell in Markdown."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
