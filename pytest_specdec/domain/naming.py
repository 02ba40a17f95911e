"""Names that are short where they can be, and of one thing each; counts, lists and durations in words."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from pytest_specdec.domain.cell import Cell

T = TypeVar("T", bound=Hashable)


def named_apart(things: Sequence[T], details: Callable[[T], str]) -> dict[T, str]:
    """Give each thing a name of its own: its text, with its details where two share that, else with a number."""
    texts = [str(thing) for thing in things]
    names = [
        text if texts.count(text) == 1 else f"{text} {details(thing)}"
        for text, thing in zip(texts, things, strict=True)
    ]
    return {
        thing: name if names.count(name) == 1 else f"{name} #{names[:i].count(name) + 1}"
        for i, (name, thing) in enumerate(zip(names, things, strict=True))
    }


def unique_names(cells: Sequence[Cell]) -> dict[Cell, str]:
    """Give each cell a name of its own: its id, its parallelism and prompts where two share one, else a number."""
    return named_apart(cells, lambda cell: f"{cell.engine.parallelism} {cell.workload.prompts}")


def plural(number: int, thing: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def listed(things: Sequence[object], most: int = 4) -> str:
    """`a, b, c and 2 more`."""
    shown = ", ".join(map(str, things[:most]))
    return f"{shown} and {len(things) - most} more" if len(things) > most else shown


def duration(seconds: float) -> str:
    """`40 s`, `6 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
