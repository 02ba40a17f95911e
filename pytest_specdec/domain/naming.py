"""Names that are short where they can be, and of one thing each."""

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
