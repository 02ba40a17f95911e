"""Prompts of a category as a regime of speed points: real text accepts other drafts than made-up sentences do.

A regime is named `text/code/medium`: what is asked for (`mixed` for all categories in turn), and about how long it is.
Prompts of low and of high entropy alternate. Each begins with a tag of its own, so no prefix cache knows it, and no two
points of a run share one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import product

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.workload.categories import Category, Entropy, Size, TextPrompt, write_prompt

TEXT = "text/"
"""Beginning of the names of these regimes."""
MIXED = "mixed"
CATEGORIES = (*map(str, Category), MIXED)
SIZES = tuple(map(str, Size))

_STREAMS = 100_000
"""More than there are concurrencies and rates: each has prompts of its own."""
_DIGEST_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """Where the prompts of a workload come from."""

    category: str
    """One of CATEGORIES."""
    size: Size

    @classmethod
    def parse(cls, name: str) -> Regime:
        """Read `text/code/medium`.

        Raises:
            InvalidInputError: there is no such regime; the message says which there are.
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
        """Digest of how its prompts are put together: where it is equal, one position is one text."""
        first = [self.prompt(position, seed=0).text for position in range(len(self._kinds))]
        return hashlib.sha256("\n".join(first).encode()).hexdigest()[:_DIGEST_DIGITS]

    def prompt(self, position: int, *, seed: int, stream: int = 0) -> TextPrompt:
        """The prompt at a position of an endless order; another stream (of a concurrency, say) is another one."""
        index, kind = divmod(position, len(self._kinds))
        category, entropy = self._kinds[kind]
        return write_prompt(category, index, seed=seed * _STREAMS + stream, entropy=entropy, size=self.size)

    @property
    def _kinds(self) -> list[tuple[Category, Entropy]]:
        categories = list(Category) if self.category == MIXED else [Category(self.category)]
        return list(product(categories, Entropy))
