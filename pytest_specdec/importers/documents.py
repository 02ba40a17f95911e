"""Files of JSON as tools write them (one value, a list, or one value after the other), and the formats of results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from pytest_specdec.errors import BrokenFileError, InvalidInputError
from pytest_specdec.importers.result import PeerResult

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One JSON object of a file."""

    source: str
    """File, and the object's number where the file has several."""
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format(Generic[T]):
    """A tool's file of results."""

    name: str
    marks: frozenset[str]
    """Fields by which an object is recognised."""
    fields: type[T]
    result: Callable[[T, str], PeerResult]
    """Fields and source -> result; raises InvalidInputError."""

    def fits(self, document: Document) -> bool:
        """True if an object has the marks."""
        return self.marks <= document.content.keys()

    def read(self, document: Document) -> PeerResult:
        """Read one object.

        Raises:
            BrokenFileError: a field is missing or of another type, or the numbers cannot be true; the message names it.
        """
        try:
            return self.result(msgspec.convert(document.content, self.fields), document.source)
        except msgspec.ValidationError as error:
            raise BrokenFileError(f"{document.source} is not a whole {self.name}: {error}") from error
        except InvalidInputError as error:
            raise BrokenFileError(f"{document.source}: {error}") from error


def read_documents(path: Path, *, objects_only: bool = False) -> list[Document]:
    """Read every JSON object of a file; `Infinity` and `NaN`, which Python's json writes, are read too.

    Other values beside objects are left out, or refused with `objects_only`.

    Raises:
        BrokenFileError: missing, not JSON or cut off; the message names the position.
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
    if not objects or (objects_only and len(objects) < len(values)):
        raise BrokenFileError(f"{path} holds no results: expected an object or a list of objects")
    sources = [str(path)] if len(objects) == 1 else [f"{path}, result {i + 1}" for i in range(len(objects))]
    return [Document(source=source, content=content) for source, content in zip(sources, objects, strict=True)]


def _values(text: str) -> Iterator[Any]:
    """Yield every value of the text, and the elements of a list in place of the list."""
    decoder, position = json.JSONDecoder(), 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        value, position = decoder.raw_decode(text, position)
        yield from value if isinstance(value, list) else [value]
