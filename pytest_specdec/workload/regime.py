"""Regimes of prompts: generated sentences, the user's file, or text of a category, which has another acceptance.

A regime of text is named `text/code/medium`: the category (`mixed` for all of them in turn), and the approximate size.
Prompts of low and of high entropy alternate. Each begins with a tag of its own, so no prefix cache holds it, and no two
points of a run share one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from pytest_specdec.domain.cell import FILE, SENTENCES
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.workload.categories import Category, Entropy, Size, TextPrompt, write_prompt
from pytest_specdec.workload.prompt_file import PromptFile, load_prompts

TEXT = "text/"
"""Beginning of the name of a regime of text."""
MIXED = "mixed"
CATEGORIES = (*map(str, Category), MIXED)
SIZES = tuple(map(str, Size))

_STREAMS = 100_000
"""More than the number of concurrencies and rates, each of which has prompts of its own."""
_DIGEST_DIGITS = 12

Prompts = PromptFile | tuple[str, ...]
"""A file, or names of categories."""


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
    def digest(self) -> str:
        """Digest of the wording: regimes of equal digest have the same text at the same position."""
        first = [self.at(position, seed=0).text for position in range(len(self._kinds))]
        return hashlib.sha256("\n".join(first).encode()).hexdigest()[:_DIGEST_DIGITS]

    def at(self, position: int, *, seed: int, stream: int = 0) -> TextPrompt:
        """Return the prompt at a position of an endless order; each stream, such as a concurrency, has its own."""
        index, kind = divmod(position, len(self._kinds))
        category, entropy = self._kinds[kind]
        return write_prompt(category, index, seed=seed * _STREAMS + stream, entropy=entropy, size=self.size)

    @property
    def _kinds(self) -> list[tuple[Category, Entropy]]:
        categories = list(Category) if self.category == MIXED else [Category(self.category)]
        return list(product(categories, Entropy))


def read_prompts(value: object, folder: Path) -> Prompts:
    """Read one or several categories such as `text/code`, or else a file whose name is relative to `folder`.

    Raises:
        InvalidInputError: the value is neither, or there is no such file.
        BrokenFileError: the file has no prompts.
    """
    several = isinstance(value, Sequence) and not isinstance(value, str)
    values = tuple(value) if isinstance(value, Sequence) and several else (value,)
    if values and all(isinstance(one, str) and one.startswith(TEXT) for one in values):
        return tuple(map(str, dict.fromkeys(values)))
    if several or not isinstance(value, str | Path):
        raise InvalidInputError(
            f"prompts of the specdec marker must be a file, or categories such as 'text/code': {value!r}"
        )
    return load_prompts(folder / value)


def regimes_of(prompts: Prompts | None, sequence: str) -> list[str]:
    """Regimes of the workloads of a sequence.

    Raises:
        InvalidInputError: the prompts do not fit the sequence, or there is no such category.
    """
    length = re.split("[x/]", sequence.strip().lower())[0]
    of_file, of_text = length == "file", length in SIZES
    match prompts:
        case None if not of_file and not of_text:
            return [SENTENCES]
        case PromptFile() if of_file:
            return [f"{FILE}{prompts.digest}"]
        case tuple() if of_text:
            return [str(Regime.parse(f"{category}/{length}")) for category in prompts]
    raise InvalidInputError(
        f"sequence {sequence!r} of the specdec marker does not fit its prompts: prompts='my.jsonl' goes with "
        "sequence='file/256', prompts='text/code' with sequence='medium/256' (or short, or long), and generated "
        "prompts with lengths such as 1k1k"
    )
