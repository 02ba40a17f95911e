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


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis; its key in AXES is its name in markers and options."""

    part: Literal["engine", "workload", "load"]
    """Part of a cell that has the field; a load is a field of the cell itself."""
    field: str
    read: Callable[[Any], Any]
    """Value of the marker -> value of the field; ValueError for an impossible one."""
    words: str
    """What the marker takes, for messages."""
    help: str
    default: tuple[Any, ...] | None = None
    """Values without an argument of the marker; None for a required axis."""
    fact: str = ""
    """Fact that an endpoint has to agree with where the field is set; empty for none."""

    def text(self, owner: EngineSpec | Cell) -> str:
        """Value in an engine or a cell, as `--specdec-only` compares it."""
        path = self.field if self.part == "load" or isinstance(owner, EngineSpec) else f"{self.part}.{self.field}"
        value = attrgetter(path)(owner)
        return f"{value:g}" if isinstance(value, float) else str(value)


def engine_axes(engine: EngineSpec) -> dict[str, str]:
    """Value of each axis of an engine."""
    return {name: axis.text(engine) for name, axis in AXES.items() if axis.part == "engine"}


def cell_axes(cell: Cell) -> dict[str, str]:
    """Value of each axis of a cell."""
    return {name: axis.text(cell) for name, axis in AXES.items()}


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _from(lowest: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise ValueError
        return value

    return read


def _rate(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError
    return float(value)


def _acceptance(value: object) -> str:
    if value == NATURAL:
        return NATURAL
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        raise ValueError
    return f"{value:g}"


AXES: dict[str, Axis] = {
    "model": Axis(part="engine", field="model", read=_text, words="text", help="name, such as 'org/Model-FP8'"),
    "precision": Axis(part="engine", field="precision", read=_text, words="text", help="such as 'fp8'"),
    "parallelism": Axis(
        part="engine",
        field="parallelism",
        read=lambda value: parse_parallelism(_text(value)),
        words="text",
        help="degrees, such as 'tp8ep8'",
        default=("tp8",),
    ),
    "mtp": Axis(
        part="engine",
        field="mtp",
        read=_from(0),
        words="whole numbers from 0",
        help="draft tokens per step, such as [0, 3]; 0 is Off",
        default=(0,),
    ),
    "acceptance": Axis(
        part="engine",
        field="acceptance",
        read=_acceptance,
        words=f"{NATURAL!r} or an acceptance length from 1",
        help="a length such as 2.5 pins the engine's synthetic mode to it; Off has none",
        default=(NATURAL,),
    ),
    "sequence": Axis(
        part="workload",
        field="sequence",
        read=_text,
        words="text",
        help="input and output tokens, such as '1k1k'; 'file/256' and 'medium/256' go with prompts",
    ),
    "concurrency": Axis(
        part="load",
        field="concurrency",
        read=_from(1),
        words="whole numbers from 1",
        help="requests in flight, such as [4, 16]",
    ),
    "rate": Axis(
        part="load",
        field="rate",
        read=_rate,
        words="positive requests per second",
        help="requests per second of an open loop, such as 2.5; takes the place of concurrency",
        default=(),
    ),
}
