"""Fixed questions, the same for the engine with and without speculation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

from pytest_specdec.outputs.structured import JsonTask, json_tasks
from pytest_specdec.outputs.tasks import Task, make_tasks
from pytest_specdec.workload.categories import Category, Entropy, Size, TextPrompt, write_prompt

TEXTS = 100
"""Prompts whose answers are compared: fewer than about 50 can show nothing."""
TASKS = 60
CONVERSATIONS = 10
TURNS = 4
LONG_TEXTS = 40
"""Fewer than 36 could not show a quarter of them going wrong."""
LONG_CATEGORIES = (Category.CODE, Category.MATHS, Category.CHAT, Category.JSON)
"""Of a retrieval the long document has some 20,000 tokens: more than it takes, and than many engines allow."""

_KINDS = tuple(product(Category, Entropy))
_TURNS_FROM = 1000
"""Prompts of conversations have numbers, and so tags, that no other question has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """All of them; each text asks for an answer that begins with its own tag."""

    texts: tuple[TextPrompt, ...]
    """Of every category and entropy."""
    conversations: tuple[tuple[TextPrompt, ...], ...]
    """Questions that are asked one after the other, the earlier ones and their answers before them."""
    long: tuple[TextPrompt, ...]
    """At least 4096 tokens each."""
    tasks: tuple[Task, ...]
    """With one right answer."""
    structures: tuple[JsonTask, ...]
    """Requests for JSON of a given shape."""


@cache
def make_questions(seed: int = 0) -> Questions:
    """The same seed gives the same questions."""
    conversations = (
        tuple(_text(_TURNS_FROM + number, TURNS * number + turn, seed) for turn in range(TURNS))
        for number in range(CONVERSATIONS)
    )
    kinds = tuple(product(LONG_CATEGORIES, Entropy))
    return Questions(
        texts=tuple(_text(index // len(_KINDS), index, seed) for index in range(TEXTS)),
        conversations=tuple(conversations),
        long=tuple(
            write_prompt(category, index // len(kinds), seed=seed, entropy=entropy, size=Size.LONG, echo=True)
            for index, (category, entropy) in ((i, kinds[i % len(kinds)]) for i in range(LONG_TEXTS))
        ),
        tasks=tuple(make_tasks(seed, TASKS)),
        structures=tuple(json_tasks(seed, TASKS)),
    )


def _text(number: int, kind: int, seed: int) -> TextPrompt:
    category, entropy = _KINDS[kind % len(_KINDS)]
    return write_prompt(category, number, seed=seed, entropy=entropy, echo=True)
