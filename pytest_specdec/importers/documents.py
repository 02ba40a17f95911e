"""Files of JSON in the shapes in which tools leave them: one value, a list, or one value after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pytest_specdec.errors import BrokenFileError, InvalidInputError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One JSON object of a file."""

    source: str
    """File, and the object's number where the file has several."""
    content: Mapping[str, Any]

    def read(self, shape: type[T], what: str) -> T:
        """Take the fields of `shape` from the object; others pass.

        Raises:
            BrokenFileError: a field is missing or of another type; the message names it.
        """
        try:
            return msgspec.convert(self.content, shape)
        except msgspec.ValidationError as error:
            raise BrokenFileError(f"{self.source} is not a whole {what}: {error}") from error

    def result(self, make: Callable[[], T]) -> T:
        """Make something of the object, with its place in the message of whatever is wrong with it.

        Raises:
            BrokenFileError: it cannot be made.
        """
        try:
            return make()
        except BrokenFileError:
            raise
        except InvalidInputError as error:
            raise BrokenFileError(f"{self.source}: {error}") from error


def read_documents(path: Path) -> list[Document]:
    """Read every JSON object of a file; `Infinity` and `NaN`, which Python's json writes, are read too.

    Raises:
        BrokenFileError: missing, not JSON or cut off; the message tells where.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BrokenFileError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BrokenFileError(f"{path} is not JSON: {error}") from error
    try:
        values = list(_values(text))
    except json.JSONDecodeError as error:
        raise BrokenFileError(f"{path} is not JSON, or was cut off: {error}") from error
    objects = [value for value in values if isinstance(value, dict)]
    if not objects:
        raise BrokenFileError(f"{path} holds no results: expected an object or a list of objects")
    if len(objects) == 1:
        return [Document(source=str(path), content=objects[0])]
    return [
        Document(source=f"{path}, result {number}", content=content) for number, content in enumerate(objects, start=1)
    ]


def _values(text: str) -> Iterator[Any]:
    """Every value of the text, the elements of a list in its place."""
    decoder, position = json.JSONDecoder(), 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        value, position = decoder.raw_decode(text, position)
        yield from value if isinstance(value, list) else [value]
