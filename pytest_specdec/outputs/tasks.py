"""Small tasks with one exact answer each, which is computed with the task and never typed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from fractions import Fraction
from functools import cache

from pytest_specdec.workload.stable_random import Dice

CLOSING = 'Finish with a line that begins with "Answer:" and has only the result.'
_RETRIES = 50
"""A question that is asked twice counts twice and tells once."""


class Form(StrEnum):
    """Form of an answer, by which two answers are compared."""

    NUMBER = "number"
    TEXT = "text"
    LIST = "list"
    DATE = "date"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One question."""

    kind: str
    prompt: str
    answer: str
    form: Form


def make_tasks(seed: int, count: int = 60) -> list[Task]:
    """Tasks of all kinds in turn; the same seed gives the same ones."""
    kinds = list(_KINDS.items())
    tasks: list[Task] = []
    asked: set[str] = set()
    for index in range(count):
        kind, (form, make) = kinds[index % len(kinds)]
        dice = Dice("tasks", seed, index)
        question, answer = make(dice)
        for _ in range(_RETRIES):
            if question not in asked:
                break
            question, answer = make(dice)
        asked.add(question)
        prompt = f"Question {index + 1}. {question}\n\n{CLOSING}"
        tasks.append(Task(kind=kind, prompt=prompt, answer=answer, form=form))
    return tasks


@cache
def known_answers() -> dict[str, str]:
    """Answer by prompt of the tasks that are asked by default: for an engine that is to solve them."""
    return {task.prompt: task.answer for task in make_tasks(0)}


_WORDS = (
    "amber", "basket", "candle", "dragon", "engine", "falcon", "garden", "hammer", "island", "jacket", "kettle",
    "lantern", "marble", "needle", "orchard", "pepper", "quarry", "ribbon", "saddle", "timber", "umbrella", "velvet",
    "window", "yellow", "zipper",
)  # fmt: skip
_NAMES = ("Ada", "Bruno", "Chiara", "Dmitri", "Emeka", "Fatima", "Greta", "Hana", "Ivo", "Jana", "Kofi", "Lena")
_GOODS = ("apples", "pencils", "tiles", "stamps", "bottles", "seeds")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _product(dice: Dice) -> tuple[str, str]:
    a, b, c = dice.whole(12, 99), dice.whole(12, 99), dice.whole(100, 999)
    return f"What is {a} x {b} + {c}?", str(a * b + c)


def _story(dice: Dice) -> tuple[str, str]:
    name, goods = dice.pick(_NAMES), dice.pick(_GOODS)
    boxes, each, given = dice.whole(5, 19), dice.whole(6, 24), dice.whole(3, 25)
    question = (
        f"{name} has {boxes} boxes with {each} {goods} each, gives {given} {goods} away and then buys half as many as "
        f"there were in one box, rounded down. How many {goods} does {name} have?"
    )
    return question, str(boxes * each - given + each // 2)


def _percent(dice: Dice) -> tuple[str, str]:
    price, percent = 20 * dice.whole(5, 60), 5 * dice.whole(1, 15)
    return f"A coat costs {price} euros and is reduced by {percent} %. What does it cost now, in euros?", _plain(
        Fraction(price * (100 - percent), 100)
    )


def _reverse(dice: Dice) -> tuple[str, str]:
    word = dice.pick(_WORDS)
    return f'Write the word "{word}" backwards.', word[::-1]


def _letters(dice: Dice) -> tuple[str, str]:
    text = " ".join(dice.some(_WORDS, 4))
    letter = dice.pick("aelnr")
    return f'How often does the letter "{letter}" stand in "{text}"?', str(text.count(letter))


def _sort_words(dice: Dice) -> tuple[str, str]:
    words = dice.some(_WORDS, 6)
    question = f"Sort these words alphabetically and separate them by commas: {', '.join(words)}."
    return question, ", ".join(sorted(words))


def _sort_numbers(dice: Dice) -> tuple[str, str]:
    numbers = dice.some(range(-50, 400), 7)
    question = f"Sort from the largest to the smallest, separated by commas: {', '.join(map(str, numbers))}."
    return question, ", ".join(map(str, sorted(numbers, reverse=True)))


def _lookup(dice: Dice) -> tuple[str, str]:
    names = dice.some(_NAMES, 8)
    rows = [(name, dice.whole(100, 999), dice.pick(_WORDS)) for name in names]
    name, room, _ = dice.pick(rows)
    table = "\n".join(f"{n} has room {r}; the password there is {w}." for n, r, w in rows)
    return f"{table}\n\nWhich room does {name} have?", str(room)


def _days(dice: Dice) -> tuple[str, str]:
    start = date(dice.whole(2001, 2038), dice.whole(1, 12), dice.whole(1, 28))
    days = dice.whole(20, 120)
    question = f"Which date is {days} days after {start.isoformat()}? Write it as YYYY-MM-DD."
    return question, (start + timedelta(days=days)).isoformat()


def _weekday(dice: Dice) -> tuple[str, str]:
    day, later = dice.whole(0, 6), dice.whole(9, 99)
    question = f"Today is {_WEEKDAYS[day]}. Which day of the week is it in {later} days?"
    return question, _WEEKDAYS[(day + later) % 7]


def _units(dice: Dice) -> tuple[str, str]:
    whole = dice.whole(2, 60)
    question, value = dice.pick(
        (
            (f"How many metres per second are {18 * whole} km/h?", Fraction(5 * whole)),
            (f"How many minutes are {whole} hours and {whole // 2} minutes?", Fraction(60 * whole + whole // 2)),
            (f"How many grams are {whole}.{whole % 9 + 1} kg?", Fraction(1000 * whole + 100 * (whole % 9 + 1))),
            (f"A pound has 16 ounces. How many pounds are {4 * whole} ounces?", Fraction(whole, 4)),
        )
    )
    return question, _plain(value)


def _program(dice: Dice) -> tuple[str, str]:
    template = dice.pick(_PROGRAMS)
    program = template.format(a=dice.whole(3, 9), b=dice.whole(2, 5), c=dice.whole(10, 60), w=dice.pick(_WORDS))
    scope: dict[str, object] = {}
    # Our own few lines from the templates below: Python itself is the one to say what they give.
    exec(program, scope)  # noqa: S102
    return f"What does `result` hold after this Python program?\n\n```python\n{program}\n```", str(scope["result"])


_PROGRAMS = (
    "result = 0\nfor i in range({a}):\n    if i % {b} == 0:\n        result += i * {c}\n    else:\n        result -= i",
    "x, steps = {c}, 0\nwhile x > 1:\n    x = x // 2 if x % 2 == 0 else x - 1\n    steps += 1\nresult = steps + {a}",
    "word = '{w}'\nresult = len(word[::{b}]) * {a} + word.count(word[0])",
    "values = [n * n for n in range({b}, {b} + {a})]\nresult = sum(v for v in values if v % 2) - len(values)",
    "a, b = {a}, {b}\nfor _ in range({a}):\n    a, b = b, (a + b) % {c}\nresult = a + b",
    "seen = {{}}\nfor x in '{w}':\n    seen[x] = seen.get(x, 0) + {b}\nresult = max(seen.values()) + len(seen) * {a}",
)


def _plain(value: Fraction) -> str:
    """A decimal number without trailing zeros; every value here has few places."""
    return f"{float(value):.6f}".rstrip("0").rstrip(".")


_KINDS: dict[str, tuple[Form, Callable[[Dice], tuple[str, str]]]] = {
    "arithmetic": (Form.NUMBER, _product),
    "story": (Form.NUMBER, _story),
    "percent": (Form.NUMBER, _percent),
    "reversal": (Form.TEXT, _reverse),
    "counting": (Form.NUMBER, _letters),
    "sorting words": (Form.LIST, _sort_words),
    "sorting numbers": (Form.LIST, _sort_numbers),
    "look-up": (Form.NUMBER, _lookup),
    "dates": (Form.DATE, _days),
    "weekdays": (Form.TEXT, _weekday),
    "units": (Form.NUMBER, _units),
    "programs": (Form.NUMBER, _program),
}
