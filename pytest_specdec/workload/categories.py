"""Prompts that read like requests of five kinds, to measure the acceptance of real text.

Acceptance depends on the request: text that follows from the prompt (a copy, boilerplate, JSON of a given table) is
easy to draft, and an invented story is not. Each category therefore has requests of low entropy, whose one right answer
is known (`expected`), and of high entropy. The difference in acceptance between them is left to the measurement.

A prompt depends on its seed, category, entropy, size and index only, and begins with a unique tag, so that no prefix
cache holds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.workload.prompt_file import Message, user_says
from pytest_specdec.workload.stable_random import Dice
from pytest_specdec.workload.tags import tag_of
from pytest_specdec.workload.word_bank import (
    CITIES,
    COLOURS,
    CONSTRAINTS,
    FORMS,
    MOODS,
    NAMES,
    NOUNS,
    OPINIONS,
    PLACES,
    PROGRAMS,
    PUZZLES,
    THINGS,
    TRADES,
    function,
    paragraph,
    sentence,
)


class Category(StrEnum):
    """Kind of request."""

    CODE = "code"
    MATHS = "maths"
    CHAT = "chat"
    JSON = "json"
    RETRIEVAL = "retrieval"


class Entropy(StrEnum):
    """Freedom that the request leaves to the answer."""

    LOW = "low"
    HIGH = "high"


class Size(StrEnum):
    """Approximate size of the prompt; see CHARACTERS."""

    SHORT = "short"
    MEDIUM = "medium"
    LONG = "long"


CHARACTERS: Mapping[Size, int] = {Size.SHORT: 800, Size.MEDIUM: 4_000, Size.LONG: 24_000}
"""Approximate characters of a prompt; a token has three (numbers, code) to five (prose) of them."""
RETRIEVAL_FACTOR = 4
"""Size of a document to search, relative to other prompts."""

_KINDS = [(category, entropy, size) for category in Category for entropy in Entropy for size in Size]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPrompt:
    """The prompt of one request."""

    text: str
    category: Category
    entropy: Entropy
    size: Size
    tag: str
    expected: str | None = None
    """The one right answer; None where the answer is open."""
    needle: str = ""
    """Text that the right answer to a retrieval must contain."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The text as the user's only message."""
        return user_says(self.text)


def write_prompt(  # noqa: PLR0913 - a prompt depends on all of them
    category: Category,
    index: int,
    *,
    seed: int = 0,
    entropy: Entropy = Entropy.LOW,
    size: Size = Size.SHORT,
    echo: bool = False,
) -> TextPrompt:
    """Write one prompt, always the same for the same arguments.

    Args:
        category: Kind of request.
        index: Position in the endless list of prompts, from 0.
        seed: Another seed gives other prompts.
        entropy: Freedom of the answer.
        size: Approximate size of the prompt.
        echo: Request an answer that begins with the tag, which exposes text of another request.

    Raises:
        InvalidInputError: the index has no tag.
    """
    if index < 0:
        raise InvalidInputError(f"prompts are numbered from 0, not {index}")
    tag = tag_of(seed, index * len(_KINDS) + _KINDS.index((category, entropy, size)))
    dice = Dice("prompt", seed, category, entropy, size, index)
    room = CHARACTERS[size] * (RETRIEVAL_FACTOR if category is Category.RETRIEVAL else 1)
    draft = _WRITERS[category, entropy](dice, room)
    closing = f"\n\nBegin your answer with [{tag}] on a line of its own." if echo else ""
    return TextPrompt(
        text=f"[{tag}] {draft.text}{closing}",
        category=category,
        entropy=entropy,
        size=size,
        tag=tag,
        expected=f"[{tag}]\n{draft.expected}" if echo and draft.expected is not None else draft.expected,
        needle=draft.needle,
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    text: str
    expected: str | None = None
    needle: str = ""


def _filled(room: int, make: Callable[[int], str]) -> list[str]:
    """Make units of material, at least one, until the room is used."""
    units: list[str] = []
    while room > 0:
        units.append(make(len(units)))
        room -= len(units[-1]) + 1
    return units


def _code_low(dice: Dice, room: int) -> _Draft:
    old, new = dice.some(NOUNS, 2)
    module = _module(dice, room - 200)
    task = (
        f"In this module, rename `limit` to `{old}_{new}_limit` everywhere and change nothing else. Answer with the "
        "whole module, in one code block."
    )
    return _Draft(f"{task}\n\n{module}", module.replace("limit", f"{old}_{new}_limit"))


def _module(dice: Dice, room: int) -> str:
    return "```python\n" + "\n\n".join(_filled(room, lambda number: function(dice, number))) + "```"


def _code_high(dice: Dice, room: int) -> _Draft:
    text = (
        f"Design and write a small Python program that {dice.pick(PROGRAMS)}. {' '.join(dice.some(CONSTRAINTS, 2))} "
        "Choose names, structure and data model yourself, write the code, and then argue for your two most debatable "
        "decisions in plain words."
    )
    if room - len(text) - 100 < _LEAST_CONTEXT:
        return _Draft(text)
    module = _module(dice, room - len(text) - 100)
    return _Draft(f"{text} It will stand beside this module, whose habits it need not share.\n\n{module}")


def _maths_low(dice: Dice, room: int) -> _Draft:
    def term(_: int) -> str:
        a, b = dice.whole(11, 999), dice.whole(11, 999)
        sign = dice.pick("+-")
        return f"{max(a, b)} {sign} {min(a, b)} ="

    # The request itself takes some of the room.
    terms = _filled(room - 150, term)
    solved = [f"{line} {_sum(line)}" for line in terms]
    text = "Copy every line and put the result behind the equals sign. Answer with the lines only, in their order.\n\n"
    return _Draft(text + "\n".join(terms), "\n".join(solved))


def _sum(line: str) -> int:
    first, sign, second, _ = line.split(" ")
    return int(first) + int(second) if sign == "+" else int(first) - int(second)


def _maths_high(dice: Dice, room: int) -> _Draft:
    puzzle = dice.pick(PUZZLES).format(n=dice.whole(5, 23))
    text = (
        f"{dice.pick(NAMES)} the {dice.pick(TRADES)} asks about {puzzle}. Say which question about it is worth asking, "
        "state it precisely, solve it or say how far you get, and show where an intuitive argument goes wrong. Explain "
        "it to somebody who likes mathematics and has forgotten most of it."
    )
    return _with_notes(dice, room, text, "This is how the question came up.")


def _chat_low(dice: Dice, room: int) -> _Draft:
    notes = _filled(room - 200, lambda _: sentence(dice))
    text = (
        f"Please turn {dice.pick(NAMES)}'s notes into a list: one sentence per line, a dash in front of each, the "
        "words and their order unchanged, nothing before or after the list.\n\n"
    )
    return _Draft(text + " ".join(notes), "\n".join(f"- {note}" for note in notes))


def _chat_high(dice: Dice, room: int) -> _Draft:
    if dice.whole(0, 2):
        text = (
            f"Write {dice.pick(FORMS)} about a {dice.pick(TRADES)} called {dice.pick(NAMES)} who finds "
            f"{dice.pick(THINGS)} at {dice.pick(PLACES)}. The tone is {dice.pick(MOODS)}. Surprise me in the middle, "
            "and do not explain the ending."
        )
    else:
        text = (
            f"What do you think about {dice.pick(OPINIONS)}? Take a side, use an example from the life of a "
            f"{dice.pick(TRADES)}, let a {dice.pick(TRADES)} object, and answer the objection."
        )
    return _with_notes(dice, room, text, "Some notes that you may use or ignore:")


def _with_notes(dice: Dice, room: int, text: str, introduction: str) -> _Draft:
    left = room - len(text) - len(introduction)
    if left < _LEAST_CONTEXT:
        return _Draft(text)
    return _Draft(f"{text}\n\n{introduction}\n\n" + "\n\n".join(_filled(left, lambda _: paragraph(dice, 5))))


def _json_low(dice: Dice, room: int) -> _Draft:
    def row(number: int) -> str:
        values = dice.pick(NAMES), dice.pick(CITIES), dice.pick(COLOURS), dice.whole(1, 999)
        return " | ".join(map(str, (number + 1, *values)))

    rows = _filled(room - 300, row)
    fields = ("id", "name", "city", "colour", "count")
    cells = [dict(zip(fields, line.split(" | "), strict=True)) for line in rows]
    objects = [json.dumps({**row, "id": int(row["id"]), "count": int(row["count"])}) for row in cells]
    text = (
        f"Convert this table to a JSON array with one object per row, the keys being {', '.join(fields)} in this "
        "order, id and count as numbers, and each object on a line of its own. Answer with the JSON only.\n\n"
    )
    table = "\n".join([" | ".join(fields), *rows])
    return _Draft(text + table, "[\n" + ",\n".join(objects) + "\n]")


def _json_high(dice: Dice, room: int) -> _Draft:
    text = (
        f"Invent {dice.whole(3, 6)} people who work at {dice.pick(PLACES)}, and answer with a JSON array of objects "
        "with the fields name, trade, secret (two sentences), first_words (what they say on entering a room) and "
        "quarrels (a list of names and causes). "
        f"One of them is a {dice.pick(TRADES)}; the tone is {dice.pick(MOODS)}. No two secrets may resemble each other."
    )
    return _with_notes(dice, room, text, "What is known of the place:")


def _report(dice: Dice, room: int) -> tuple[str, str, str, str]:
    """A code, its place, numbered sections, and the section that names both."""
    code, place = f"{dice.whole(10_000, 99_999)}", dice.pick(PLACES)
    sections = _filled(room, lambda number: f"Section {number + 1}. {paragraph(dice, 4)}")
    at = dice.whole(0, len(sections) - 1)
    heading, *sentences = sections[at].split(". ")
    sentences.insert(dice.whole(0, len(sentences) - 1), f"The code of the archive at {place} is {code}")
    sections[at] = ". ".join([heading, *sentences])
    return code, place, "\n\n".join(["Here is a report.", *sections]), sections[at]


def _retrieval_low(dice: Dice, room: int) -> _Draft:
    code, place, report, section = _report(dice, room)
    task = (
        f"One section names the code of the archive at {place}. Quote that section word for word, its number included."
    )
    return _Draft(f"{report}\n\n{task}", section, code)


def _retrieval_high(dice: Dice, room: int) -> _Draft:
    code, place, report, _ = _report(dice, room)
    task = (
        f"Which code does the archive at {place} have? Then tell, in your own words and in {dice.whole(4, 8)} "
        f"paragraphs, what a {dice.pick(TRADES)} would make of this report: what is odd, who might hide something, and "
        "what you would ask first."
    )
    return _Draft(f"{report}\n\n{task}", needle=code)


_LEAST_CONTEXT = 300
_WRITERS: Mapping[tuple[Category, Entropy], Callable[[Dice, int], _Draft]] = {
    (Category.CODE, Entropy.LOW): _code_low,
    (Category.CODE, Entropy.HIGH): _code_high,
    (Category.MATHS, Entropy.LOW): _maths_low,
    (Category.MATHS, Entropy.HIGH): _maths_high,
    (Category.CHAT, Entropy.LOW): _chat_low,
    (Category.CHAT, Entropy.HIGH): _chat_high,
    (Category.JSON, Entropy.LOW): _json_low,
    (Category.JSON, Entropy.HIGH): _json_high,
    (Category.RETRIEVAL, Entropy.LOW): _retrieval_low,
    (Category.RETRIEVAL, Entropy.HIGH): _retrieval_high,
}
