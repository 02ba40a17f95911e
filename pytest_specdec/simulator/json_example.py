"""Example of a JSON schema: content of a structured answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pytest_specdec.simulator.text import output_text

_LONGEST = 40
"""Characters of a text."""


def example(schema: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401 - any JSON value
    """Value that a simple JSON schema allows.

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
    return output_text(seed, 0, _LONGEST).strip()[: schema.get("maxLength", _LONGEST)]


_EXAMPLES: Mapping[str, Callable[[Mapping[str, Any], int], Any]] = {
    "object": _object,
    "array": _array,
    "integer": _number,
    "number": _number,
    "string": _string,
    "boolean": lambda _, seed: seed % 2 == 0,
}
