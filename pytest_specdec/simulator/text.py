"""A stand-in for a tokenizer and a model: counts prompts plausibly, and says the same whatever the MTP mode."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_specdec.simulator.fault import Fault

TEMPLATE_TOKENS = 9
"""What the chat template adds to every prompt."""

_PIECE = re.compile(r"\w+|[^\w\s]")
_LONGEST = 6
_JSON_PIECE = re.compile(r"\w+|\W")
_SYMBOLS = "\u6f22\u0416\u2593\u00a4\u0e51\u05d0\u2592\ufdfa\u2020\u4e8c\u0902\u25c6"
_BROKEN_BYTES = "\udcc3("
"""0xC3 begins a character of two bytes that a parenthesis does not end; escaped as PEP 383 has it."""
_ANSWER_LONGEST = 40
"""Characters of a text in a structured answer."""
_WORDS = (
    "the",
    "river",
    "keeps",
    "its",
    "own",
    "time",
    "and",
    "every",
    "stone",
    "in",
    "it",
    "has",
    "been",
    "turned",
    "more",
    "than",
    "once",
    "by",
    "water",
    "that",
    "is",
    "gone",
    "while",
    "people",
    "on",
    "both",
    "banks",
    "argue",
    "about",
    "where",
    "it",
    "begins",
    "and",
    "who",
    "may",
    "cross",
    "it",
    "before",
    "the",
    "evening",
    "light",
    "fails",
)


def count_tokens(text: str) -> int:
    """Words and punctuation marks; a word costs one token per started six characters."""
    return sum(-(-len(piece) // _LONGEST) for piece in _PIECE.findall(text))


def seed_of(prompt: str) -> int:
    """What the answer depends on: the prompt and nothing else, as with greedy sampling."""
    return int.from_bytes(hashlib.blake2b(prompt.encode(), digest_size=8).digest())


def output_text(seed: int, first: int, tokens: int) -> str:
    """Tokens number `first` to `first + tokens - 1` of an answer, one word each."""
    return "".join(f" {_WORDS[(seed + i * (1 + seed % 7)) % len(_WORDS)]}" for i in range(first, first + tokens))


def natural_length(seed: int) -> int:
    """Tokens after which an answer ends by itself."""
    return 100 + seed % 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What one answer says, token by token. Without a fault it is the same in every MTP mode, batch and run."""

    seed: int
    other: int
    """Seed of another request's answer."""
    fault: Fault
    wrong_from: int | None = None
    """Token from which on it is wrong; None: it is right."""
    pieces: tuple[str, ...] | None = None
    """Tokens of a structured answer."""

    @classmethod
    def of(  # noqa: PLR0913 - an answer depends on all of these
        cls,
        seed: int,
        *,
        fault: Fault,
        other: int,
        prompt_tokens: int,
        order: int,
        schema: Mapping[str, Any] | None = None,
    ) -> Script:
        """Decide whether and from where on this answer is wrong; `order` counts the engine's requests from 1."""
        saying = fault.saying
        pieces = None if schema is None else tuple(_JSON_PIECE.findall(json.dumps(example(schema, seed))))
        kind = saying.structured if pieces is not None else saying.wrong
        spared = prompt_tokens < saying.from_context or order <= saying.after_requests
        wrong_from = None
        if kind and not spared and _share(seed, "share") < saying.share:
            # The most that still changes a structured answer is to begin before its last token.
            most = len(pieces) - 1 if pieces is not None else -saying.onset
            wrong_from = int(_share(seed, "onset") * most) if pieces is not None or saying.onset < 0 else saying.onset
        return cls(seed=seed, other=other, fault=fault, wrong_from=wrong_from, pieces=pieces)

    @property
    def stuck(self) -> bool:
        """Whether it never begins."""
        return self.pieces is not None and self.wrong_from is not None and self.fault.saying.structured == "stuck"

    def natural_length(self) -> int | None:
        """Tokens after which it ends by itself; None when it never does."""
        if self.pieces is not None:
            return len(self.pieces)
        return None if self.wrong_from is not None and self.fault.saying.endless else natural_length(self.seed)

    def text(self, first: int, tokens: int) -> str:
        """Tokens number `first` to `first + tokens - 1`, without those that are lost."""
        arrived = self.fault.serving.arrived
        return "".join(self._token(i) for i in range(first, first + tokens) if arrived(i + 1) > arrived(i))

    def _token(self, index: int) -> str:
        wrong = self.wrong_from is not None and index >= self.wrong_from
        if self.pieces is not None:
            return output_text(self.seed, index, 1) if wrong or index >= len(self.pieces) else self.pieces[index]
        return _WRONG[self.fault.saying.wrong](self, index) if wrong else output_text(self.seed, index, 1)


_WRONG: Mapping[str, Callable[[Script, int], str]] = {
    "differs": lambda script, i: output_text(script.seed + 1, i, 1),
    "repeats": lambda script, i: output_text(script.seed, (script.wrong_from or 0) + i % 3, 1),
    "garbled": lambda _, __: " !!",
    "gibberish": lambda script, i: _SYMBOLS[_mixed(script.seed, i) % len(_SYMBOLS)],
    "replaced": lambda _, __: "\ufffd",
    "bytes": lambda _, __: _BROKEN_BYTES,
    "other": lambda script, i: output_text(script.other, i, 1),
}


def example(schema: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401 - any JSON value
    """A value that a JSON schema of the simpler kind allows.

    It knows types, properties, items, enum, const, bounds, dates, the first of `anyOf`, and references to `$defs`.
    """
    definitions = schema.get("$defs")
    if definitions:
        schema = _resolved({key: value for key, value in schema.items() if key != "$defs"}, definitions)
    if "anyOf" in schema:
        return example(schema["anyOf"][0], seed)
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if choices:
        return choices[seed % len(choices)]
    make = _EXAMPLES.get(schema.get("type", "object"))
    return None if make is None else make(schema, seed)


def _resolved(part: Any, definitions: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """The same with each reference replaced by what it refers to."""
    if isinstance(part, list):
        return [_resolved(one, definitions) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _resolved(definitions[part["$ref"].rpartition("/")[2]], definitions)
    return {key: _resolved(value, definitions) for key, value in part.items()}


def _object(schema: Mapping[str, Any], seed: int) -> dict[str, Any]:
    values = schema.get("additionalProperties")
    if "properties" not in schema and isinstance(values, dict):
        return {"any": example(values, seed)}
    properties = schema.get("properties", {"answer": {"type": "string"}})
    return {name: example(one, seed + i) for i, (name, one) in enumerate(properties.items())}


def _array(schema: Mapping[str, Any], seed: int) -> list[Any]:
    items = schema.get("items", {"type": "string"})
    return [example(items, seed + i) for i in range(max(schema.get("minItems", 0), 1))]


def _number(schema: Mapping[str, Any], seed: int) -> int:
    least: int = math.ceil(schema.get("minimum", 0))
    most: int = math.floor(schema.get("maximum", least + 100))
    return least + seed % (most - least + 1)


def _string(schema: Mapping[str, Any], seed: int) -> str:
    if schema.get("format") == "date":
        return f"2026-{seed % 12 + 1:02d}-{seed % 28 + 1:02d}"
    return output_text(seed, 0, _ANSWER_LONGEST).strip()[: schema.get("maxLength", _ANSWER_LONGEST)]


_EXAMPLES: Mapping[str, Callable[[Mapping[str, Any], int], Any]] = {
    "object": _object,
    "array": _array,
    "integer": _number,
    "number": _number,
    "string": _string,
    "boolean": lambda _, seed: seed % 2 == 0,
}


def _share(seed: int, use: str) -> float:
    """A number from 0 to 1 that belongs to a prompt."""
    return _mixed(seed, use) / 2**64


def _mixed(seed: int, use: object) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {use}".encode(), digest_size=8).digest())
