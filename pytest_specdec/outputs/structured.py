"""Structured output: JSON that parses and has the fields that were asked for.

Grammars and speculation meet badly: drafts must be masked and rolled back with the grammar's state (sglang#9187). Each
task gives a text and the shape of the answer as a `msgspec.Struct`, from which the schema for `response_format`
follows, so a suite may ask with and without constrained decoding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import msgspec

from pytest_specdec.outputs.verdict import ALPHA, MUST_SEE, OutputVerdict, judge_losses, same_length
from pytest_specdec.workload.stable_random import Dice

CHECK = "structured output"

_FENCE = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"\A.*?</think>", re.DOTALL)


class Person(msgspec.Struct, forbid_unknown_fields=True):
    """A contact."""

    name: str
    age: int
    city: str
    email: str | None


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """A line of an order."""

    article: str
    quantity: int
    price: float


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """A list of things inside."""

    number: str
    customer: str
    items: list[Item]
    paid: bool


class Event(msgspec.Struct, forbid_unknown_fields=True):
    """A date, and a list of words."""

    title: str
    day: date
    guests: list[str]
    online: bool


class Ticket(msgspec.Struct, forbid_unknown_fields=True):
    """A choice among words."""

    summary: str
    priority: Literal["low", "medium", "high"]
    component: str
    hours: float


class Server(msgspec.Struct, forbid_unknown_fields=True):
    """One machine."""

    host: str
    port: int


class Cluster(msgspec.Struct, forbid_unknown_fields=True):
    """A mapping inside."""

    region: str
    servers: list[Server]
    labels: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonTask:
    """A request for one JSON object."""

    prompt: str
    shape: type[msgspec.Struct]

    @property
    def response_format(self) -> dict[str, Any]:
        """The field of an OpenAI request that constrains decoding to the shape."""
        schema = {"name": self.shape.__name__.lower(), "strict": True, "schema": _inlined(self.shape)}
        return {"type": "json_schema", "json_schema": schema}


def json_tasks(seed: int, count: int = 60) -> list[JsonTask]:
    """Tasks of all shapes in turn; the same seed gives the same ones."""
    makers = list(_MAKERS.items())
    tasks = []
    for index in range(count):
        shape, make = makers[index % len(makers)]
        text, fields = make(Dice("json", seed, index))
        prompt = (
            f"Read this note and answer with one JSON object and nothing else. Its fields, all required: {fields}.\n\n"
            f"Note {index + 1}: {text}"
        )
        tasks.append(JsonTask(prompt=prompt, shape=shape))
    return tasks


def why_invalid(text: str, shape: type[msgspec.Struct]) -> str | None:
    """Say why an answer is not the JSON that was asked for; None where it is. A code fence around it is allowed."""
    body = _THOUGHT.sub("", text, count=1)
    fenced = _FENCE.match(body)
    try:
        msgspec.json.decode((fenced[1] if fenced else body).strip().encode(errors="replace"), type=shape)
    except (msgspec.MsgspecError, RecursionError) as error:
        return f"{error}: {body.strip()[:80]!r}"
    return None


def judge_structured(
    tasks: Sequence[JsonTask],
    off: Sequence[str | None],
    mtp: Sequence[str | None],
    *,
    alpha: float = ALPHA,
    must_see: float = MUST_SEE,
) -> OutputVerdict:
    """Judge whether answers are invalid more often with MTP than without; None is an answer that did not come in time.

    An engine that is stuck on a grammar gives no answer at all (sglang#9187): that is no valid one either.

    Raises:
        InvalidInputError: the answers are not of these tasks.
    """
    same_length(tasks=len(tasks), off=len(off), mtp=len(mtp))
    pairs = [(_wrong(ours, task), _wrong(theirs, task)) for task, ours, theirs in zip(tasks, mtp, off, strict=True)]
    late, usual = (sum(text is None for text in texts) for texts in (mtp, off))
    if not late and not usual:
        return judge_losses(CHECK, "invalid JSON", pairs, alpha=alpha, must_see=must_see)
    found = judge_losses(CHECK, "no answer in time, or invalid JSON", pairs, alpha=alpha, must_see=must_see)
    told = f"{late} answers did not come in time with MTP, {usual} without"
    return msgspec.structs.replace(
        found, reasons=(*found.reasons, told), numbers={**found.numbers, "late_mtp": late, "late_off": usual}
    )


def _wrong(text: str | None, task: JsonTask) -> bool:
    return text is None or why_invalid(text, task.shape) is not None


def _inlined(shape: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema with definitions beside its own fields, as engines' grammars take it."""
    (schema,), components = msgspec.json.schema_components([shape], ref_template="#/$defs/{name}")
    name = str(schema["$ref"]).rpartition("/")[2]
    top: dict[str, Any] = components.pop(name)
    return {**top, **({"$defs": components} if components else {})}


_NAMES = ("Ada Holm", "Bruno Keller", "Chiara Longo", "Dmitri Orlov", "Emeka Obi", "Fatima Said", "Greta Lund")
_CITIES = ("Lisbon", "Oslo", "Nairobi", "Lyon", "Osaka", "Quito", "Graz", "Tartu")
_ARTICLES = ("desk lamp", "oak shelf", "wool blanket", "steel kettle", "cork board", "brass hinge", "linen towel")
_PARTS = ("login page", "search index", "invoice export", "mail queue", "image cache", "audit log")
_FAULTS = ("fails after midnight", "shows the wrong total", "is slow on Mondays", "loses the last line")


def _person(dice: Dice) -> tuple[str, str]:
    name, age, city = dice.pick(_NAMES), dice.whole(19, 88), dice.pick(_CITIES)
    mail = f" Mail goes to {name.split()[0].lower()}@example.org." if dice.whole(0, 1) else " There is no mail address."
    text = f"{name}, who is {age}, has moved to {city}.{mail}"
    return text, "name (string), age (integer), city (string), email (string or null)"


def _order(dice: Dice) -> tuple[str, str]:
    lines = [
        f"{dice.whole(1, 9)} x {article} at {dice.whole(3, 90)}.{dice.whole(10, 99)} each"
        for article in dice.some(_ARTICLES, dice.whole(2, 4))
    ]
    paid = dice.pick(("It has been paid.", "Payment is still open."))
    text = f"Order N-{dice.whole(1000, 9999)} of {dice.pick(_NAMES)}: {'; '.join(lines)}. {paid}"
    return text, (
        "number (string), customer (string), items (list of objects with article (string), quantity (integer), price "
        "(number)), paid (true or false)"
    )


def _event(dice: Dice) -> tuple[str, str]:
    day = date(2026, dice.whole(1, 12), dice.whole(1, 28))
    guests = " and ".join(dice.some(_NAMES, dice.whole(2, 3)))
    where = dice.pick(("by video", f"in {dice.pick(_CITIES)}"))
    text = f"The {dice.pick(('budget', 'design', 'safety'))} review is on {day:%d %B %Y}, {where}, with {guests}."
    return text, "title (string), day (string, YYYY-MM-DD), guests (list of strings), online (true or false)"


def _ticket(dice: Dice) -> tuple[str, str]:
    urgency = dice.pick(("It can wait.", "Please look at it this week.", "Customers cannot work, so it is urgent."))
    text = f"The {dice.pick(_PARTS)} {dice.pick(_FAULTS)}. {urgency} We guess {dice.whole(1, 30)} hours of work."
    return text, 'summary (string), priority (one of "low", "medium", "high"), component (string), hours (number)'


def _cluster(dice: Dice) -> tuple[str, str]:
    hosts = [f"node-{dice.whole(10, 99)} on port {dice.whole(2000, 9000)}" for _ in range(dice.whole(2, 4))]
    text = f"Our cluster in {dice.pick(_CITIES)} has {', '.join(hosts)}; label it team={dice.pick(('blue', 'green'))}."
    return text, (
        "region (string), servers (list of objects with host (string), port (integer)), labels (object with string "
        "values)"
    )


_MAKERS: dict[type[msgspec.Struct], Callable[[Dice], tuple[str, str]]] = {
    Person: _person,
    Order: _order,
    Event: _event,
    Ticket: _ticket,
    Cluster: _cluster,
}
