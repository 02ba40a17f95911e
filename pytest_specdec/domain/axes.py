"""The axes of a suite: what may differ from one cell to another.

A new axis is a field of `EngineSpec` or `Workload` (with a row of `cell.TAGS` to show it in ids and paths) and one row
of AXES. The marker with its help, `--specdec-only`, the check of an endpoint's facts and the parameters that other
plugins see are derived from the rows. Two sides of a comparison agree in every axis but those of speculation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from pytest_specdec.domain.cell import Cell, EngineSpec, parse_parallelism
from pytest_specdec.domain.speculation_mode import NATURAL


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis; its key in AXES is its name in markers and options and the name of the field."""

    part: Literal["engine", "workload", "load"]
    """Part of a cell that has the field; a load is a field of the cell itself."""
    read: Callable[[Any], Any]
    """From a value of the marker to that of the field; ValueError says what it must be."""
    help: str
    default: tuple[Any, ...] | None = None
    """Values where the marker does not name the axis; None for a required axis."""
    fact: str = ""
    """Fact of an endpoint that must agree unless one of the two is None; empty for no check."""


def engine_axes(engine: EngineSpec) -> dict[str, str]:
    """Value of each axis of an engine, as `--specdec-only` compares it."""
    return {name: str(getattr(engine, name)) for name, axis in AXES.items() if axis.part == "engine"}


def cell_axes(cell: Cell) -> dict[str, str]:
    """Value of each axis of a cell, as `--specdec-only` compares it."""
    paths = {name: name if axis.part == "load" else f"{axis.part}.{name}" for name, axis in AXES.items()}
    values = {name: attrgetter(path)(cell) for name, path in paths.items()}
    return {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in values.items()}


def text(value: object) -> str:
    """Accept text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("text")
    return value


def whole(lowest: int) -> Callable[[object], int]:
    """Accept whole numbers that are not below the lowest."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise ValueError(f"a whole number from {lowest}")
        return value

    return read


def _rate(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError("a positive number of requests per second")
    return float(value)


def _acceptance(value: object) -> str:
    if value == NATURAL:
        return NATURAL
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        raise ValueError(f"{NATURAL!r} or an acceptance length from 1")
    return f"{value:g}"


AXES: dict[str, Axis] = {
    "model": Axis("engine", text, "name, such as 'org/Model-FP8'"),
    "precision": Axis("engine", text, "such as 'fp8'"),
    "parallelism": Axis("engine", lambda value: parse_parallelism(text(value)), "such as 'tp8ep8'", ("tp8",)),
    "mtp": Axis("engine", whole(0), "draft tokens per step, such as [0, 3]; 0 is Off", (0,)),
    "acceptance": Axis("engine", _acceptance, "2.5 pins the engine's synthetic mode to this length", (NATURAL,)),
    "sequence": Axis("workload", text, "input and output tokens, such as '1k1k'"),
    "concurrency": Axis("load", whole(1), "requests in flight, such as [4, 16]"),
    "rate": Axis("load", _rate, "requests per second of an open loop, such as 2.5; excludes concurrency", ()),
}
