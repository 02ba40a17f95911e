"""Prompts of a category as a regime of speed points: real text has another acceptance than generated sentences.

A regime is named `text/code/medium`: the category (`mixed` for all of them in turn), and the approximate size. Prompts
of low and of high entropy alternate. Each begins with a tag of its own, so no prefix cache holds it, and no two points
of a run share one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import product

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.workload.categories import Category, Entropy, Size, TextPrompt, write_prompt

TEXT = "text/"
"""Beginning of the name of such a regime."""
MIXED = "mixed"
CATEGORIES = (*map(str, Category), MIXED)
SIZES = tuple(map(str, Size))

_STREAMS = 100_000
"""More than the number of concurrencies and rates, each of which has prompts of its own."""
_DIGEST_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """Category and size of the prompts of a workload."""

    category: str
    """One of CATEGORIES."""
    size: Size

    @classmethod
    def parse(cls, name: str) -> Regime:
        """Read `text/code/medium`.

        Raises:
            InvalidInputError: there is no such regime; the message lists those that there are.
        """
        category, _, size = name.removeprefix(TEXT).partition("/")
        if not name.startswith(TEXT) or category not in CATEGORIES or size not in SIZES:
            names = ", ".join(f"{TEXT}{one}" for one in CATEGORIES)
            raise InvalidInputError(f"no prompts are called {name!r}; there are {names}, each {', '.join(SIZES)}")
        return cls(category=category, size=Size(size))

    def __str__(self) -> str:
        return f"{TEXT}{self.category}/{self.size}"

    @property
    def wording(self) -> str:
        """Digest of the wording: regimes of equal digest have the same text at the same position."""
        first = [self.prompt(position, seed=0).text for position in range(len(self._kinds))]
        return hashlib.sha256("\n".join(first).encode()).hexdigest()[:_DIGEST_DIGITS]

    def prompt(self, position: int, *, seed: int, stream: int = 0) -> TextPrompt:
        """Return the prompt at a position of an endless order; each stream, such as a concurrency, has its own."""
        index, kind = divmod(position, len(self._kinds))
        category, entropy = self._kinds[kind]
        return write_prompt(category, index, seed=seed * _STREAMS + stream, entropy=entropy, size=self.size)

    @property
    def _kinds(self) -> list[tuple[Category, Entropy]]:
        categories = list(Category) if self.category == MIXED else [Category(self.category)]
        return list(product(categories, Entropy))
