"""Random choices that are the same under every version of Python.

Python guarantees only the seeding by a string and `random()` of `random.Random` across versions, so every choice is
built on these: prompts are part of a workload's identity, and must not change with the interpreter.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A stream of choices that depends on its seeds only."""

    def __init__(self, *seeds: str | int) -> None:
        self._random = random.Random("/".join(map(str, seeds)))  # noqa: S311 - a choice of words, not a secret

    def whole(self, low: int, high: int) -> int:
        """Return a whole number between two, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """Return one item."""
        return items[self.whole(0, len(items) - 1)]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """Return so many different items, in any order."""
        left = list(items)
        return [left.pop(self.whole(0, len(left) - 1)) for _ in range(count)]
