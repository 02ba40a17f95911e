"""Studies: what is tried over many faults, seeds or rates. One of each kind runs by default.

`pytest -m study` runs the rest, `pytest -m ""` everything, and `--hypothesis-profile studies` tries ten times as many
examples of each property.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import settings

_USUAL = 100
T = TypeVar("T")


def one_of_each(values: Iterable[T], kind: Callable[[T], Hashable] = lambda _: None) -> list[Any]:
    """Parameters of which the first of each kind runs by default, and the others as a study.

    A value that is a tuple becomes several arguments.
    """
    seen: set[Hashable] = set()
    found = []
    for value in values:
        marks = [pytest.mark.study] if kind(value) in seen else []
        seen.add(kind(value))
        arguments = value if isinstance(value, tuple) else (value,)
        found.append(pytest.param(*arguments, marks=marks))
    return found


def examples(count: int) -> settings:
    """So many examples of a property that is expensive to try, in proportion to the profile's."""
    return settings(max_examples=max(1, count * settings.default.max_examples // _USUAL))  # type: ignore[union-attr]
