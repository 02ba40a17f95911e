"""The user's own prompts: a local file of JSON lines, or of one JSON array, in the usual shapes.

One row is one request, its text unchanged, because such a file serves to measure natural acceptance. The request
of a conversation is the first turn, as in the loaders of vLLM and SGLang:

- `conversations` (ShareGPT) and `turns` (Spec-Bench, MT-Bench): the system message, if any, and the first user turn.
- `messages` (OpenAI chat): everything up to the first user turn that the file leaves unanswered, so history that was
  recorded is sent as history, and of SPEED-Bench's questions in a row only the first. Where the file answers every
  turn, the last one is asked again.

A conversation that the model opens and an empty row have no request: the reader skips and counts them. Any other row
that it cannot read is an error, because a workload without some of its rows is another workload.
"""

from __future__ import annotations

import codecs
import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec

from pytest_specdec.errors import BrokenFileError, InvalidInputError

_DIGEST_DIGITS = 12
_LABELS = ("category", "subset")
_LENGTHS = ("output_tokens", "max_completion_tokens", "max_tokens")
_USER, _ASSISTANT = "user", "assistant"
_CHAT_ROLES = {role: role for role in ("system", "developer", _USER, _ASSISTANT)}
_SHAREGPT_ROLES = {
    "system": "system",
    "human": _USER,
    "user": _USER,
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "assistant", "model"), _ASSISTANT),
}
_SPEED_BENCH_PLACEHOLDER = "FULL BENCHMARK DATA SHOULD BE FETCHED FROM THE SOURCE"
_EXPECTED = "expected one JSON object per line, or one JSON array of objects"
_OTHER_FORMATS = {
    b"PAR1": "a Parquet file; convert it first: pandas.read_parquet(...).to_json(..., orient='records', lines=True)",
    b"\x1f\x8b": "compressed; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first",
    codecs.BOM_UTF16_LE: "UTF-16 text; save it as UTF-8",
    codecs.BOM_UTF16_BE: "UTF-16 text; save it as UTF-8",
}
_ARRAY = re.compile(rb"\s*\[")
_BYTE = re.compile(r"\(byte (\d+)\)")
_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Message(msgspec.Struct, frozen=True):
    """One message, as it stands in the request."""

    role: str
    content: str


def user_says(text: str) -> tuple[Message, ...]:
    """A conversation of one user message."""
    return (Message(_USER, text),)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePrompt:
    """The prompt of one request."""

    messages: tuple[Message, ...]
    """The last one is the user's."""
    line: int
    """Line of the file on which the row begins, from 1."""
    category: str = ""
    """Label of the row; empty where the file has none."""
    output_tokens: int | None = None
    """Output tokens to request; None where the file does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """The prompts of one file, in its order."""

    name: str
    """Name of the file without its suffix; for display, not part of the identity."""
    shape: str
    """Field that holds the prompts: `conversations`, `messages`, `turns`, `prompt` or `text`."""
    digest: str
    """Identity of the workload: equal for the same requests in the same order, whatever the name, shape and layout of
    the file; labels are not part of it.
    """
    prompts: tuple[FilePrompt, ...]
    skipped: int = 0
    """Rows without a request."""

    def at(self, position: int, *, seed: int, stream: int = 0) -> FilePrompt:
        """Return the prompt at a position of an endless order: each once per epoch, every epoch shuffled anew.

        Equal seeds and streams give equal orders; each stream, such as a concurrency, has its own. From the second
        epoch on a prefix cache holds the prompts.
        """
        epoch, index = divmod(position, len(self.prompts))
        return self.prompts[_shuffled(len(self.prompts), seed, stream, epoch)[index]]


@lru_cache(maxsize=8)
def _shuffled(count: int, *seeds: int) -> tuple[int, ...]:
    # Not numpy's generator: the plugin imports this module in projects that measure nothing.
    return tuple(random.Random(f"{seeds}").sample(range(count), count))  # noqa: S311 - an order, not a secret


class _RowError(Exception):
    """Error of a row; the reader adds the position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    words: str
    read: Callable[[object], tuple[Message, ...]]
    """Value of the field -> messages to send; empty without a request. Raises _RowError."""


def load_prompts(path: Path) -> PromptFile:
    """Read a file of prompts, whose shape is that of the first row.

    Raises:
        InvalidInputError: the file is missing or unreadable.
        BrokenFileError: the content is not prompts; the message names the line and the remedy.
    """
    data = _read(path)
    shape = ""
    prompts, skipped = [], 0
    for line, row in _rows(path, data):
        try:
            shape = shape or _recognise(row)
            prompt = _prompt(row, shape, line)
        except _RowError as error:
            raise BrokenFileError(f"{path}, line {line}: {error}") from error
        if prompt is None:
            skipped += 1
        else:
            prompts.append(prompt)
    if not prompts:
        rows = f"none of its {skipped} rows asks anything" if skipped else "it is empty"
        raise BrokenFileError(f"{path} has no prompts: {rows}; {_EXPECTED}")
    return PromptFile(name=path.stem, shape=shape, digest=_digest(prompts), prompts=tuple(prompts), skipped=skipped)


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidInputError(f"no file of prompts at {path}") from error
    except IsADirectoryError as error:
        names = ", ".join(sorted(file.name for file in path.glob("*.json*")))
        inside = f"in it: {names}" if names else "there is no .jsonl or .json in it"
        raise InvalidInputError(
            f"{path} is a folder, not a file of prompts: name the file itself ({inside})"
        ) from error
    except OSError as error:
        raise InvalidInputError(f"cannot read {path}: {error.strerror or error}") from error
    for magic, what in _OTHER_FORMATS.items():
        if data.startswith(magic):
            raise BrokenFileError(f"{path} is {what}")
    return data.removeprefix(codecs.BOM_UTF8)


def _rows(path: Path, data: bytes) -> Iterator[tuple[int, object]]:
    """Yield each row with the line on which it begins; lazily, because a file may have hundreds of megabytes."""
    if opening := _ARRAY.match(data):
        yield from _array_rows(path, data, opening.end())
        return
    for line, text in enumerate(data.splitlines(), 1):
        if text.strip():
            yield line, _decode(path, text, line)


def _array_rows(path: Path, data: bytes, end: int) -> Iterator[tuple[int, object]]:
    try:
        items = msgspec.json.decode(data, type=list[msgspec.Raw])
    except _DECODE_ERRORS as error:
        at = _BYTE.search(str(error))
        before = data[: int(at[1])] if at else data.rstrip()
        raise _broken_json(path, before.count(b"\n") + 1, error) from error
    counted, line = 0, 1
    for item in items:
        text = bytes(item)
        begin = data.index(text, end)  # only commas and spaces lie between
        line += data.count(b"\n", counted, begin)
        counted, end = begin, begin + len(text)
        yield line, _decode(path, item, line)


def _decode(path: Path, text: bytes, line: int) -> object:
    try:
        return msgspec.json.decode(text)
    except _DECODE_ERRORS as error:
        raise _broken_json(path, line, error) from error


def _broken_json(path: Path, line: int, error: Exception) -> BrokenFileError:
    # msgspec raises UnicodeDecodeError up to 0.20 and an error of its own after it.
    if isinstance(error, UnicodeDecodeError) or "UTF-8" in str(error):
        return BrokenFileError(f"{path}, line {line}: the text is not UTF-8; save the file as UTF-8")
    return BrokenFileError(f"{path}, line {line}: not JSON: {error}; {_EXPECTED}")


def _recognise(row: object) -> str:
    fields = _fields(row)
    found = next((shape for shape in SHAPES if shape in fields), None)
    if found is None:
        known = ", ".join(f"{shape} ({words})" for shape, words in SHAPES.items())
        raise _RowError(f"no prompt among its fields ({_named(fields)}); known shapes are {known}")
    return found


def _prompt(row: object, shape: str, line: int) -> FilePrompt | None:
    fields = _fields(row)
    if shape not in fields:
        raise _RowError(
            f"no {shape!r} among its fields ({_named(fields)}), unlike in the first row: one file, one shape"
        )
    try:
        messages = _SHAPES[shape].read(fields[shape])
    except _RowError as error:
        raise _RowError(f"{shape}: {error}") from error
    if not messages or not messages[-1].content.strip():
        return None
    if any(message.content.startswith(_SPEED_BENCH_PLACEHOLDER) for message in messages):
        raise _RowError(
            "this is SPEED-Bench's placeholder and not its prompt, whose source has a licence of its own: run NVIDIA's "
            "prepare.py (see the dataset's page) and name the file that it writes"
        )
    return FilePrompt(messages=messages, line=line, category=_label(fields), output_tokens=_output_tokens(fields))


def _fields(row: object) -> Mapping[str, object]:
    if not isinstance(row, dict):
        raise _RowError(f"{_kind(row)} where an object was expected; {_EXPECTED}")
    return row


def _label(fields: Mapping[str, object]) -> str:
    labels = (fields.get(name) for name in _LABELS)
    return next((str(label) for label in labels if isinstance(label, str | int) and label != ""), "")


def _output_tokens(fields: Mapping[str, object]) -> int | None:
    for name in _LENGTHS:
        value = fields.get(name)
        if value is None:
            continue
        # pandas writes a column of integers with gaps as 128.0.
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if isinstance(whole, bool) or not isinstance(whole, int) or whole < 1:
            raise _RowError(f"{name} must be a whole number of at least 1, not {_shown(value)}")
        return whole
    return None


def _plain(value: object) -> tuple[Message, ...]:
    return user_says(_text(value))


def _first_turn(value: object) -> tuple[Message, ...]:
    turns = _list(value)
    return _plain(turns[0]) if turns else ()


def _opening(value: object) -> tuple[Message, ...]:
    """Messages of ShareGPT: the system message and the first user turn."""
    messages = []
    for number, turn in enumerate(_list(value), 1):
        message = _message(turn, number, role_field="from", text_field="value", roles=_SHAREGPT_ROLES)
        if message.role == _ASSISTANT:
            return ()
        messages.append(message)
        if message.role == _USER:
            return tuple(messages)
    return ()


def _unanswered(value: object) -> tuple[Message, ...]:
    """Messages of an OpenAI chat up to the first user turn without an answer, or else to the last one."""
    messages = [
        _message(item, number, role_field="role", text_field="content", roles=_CHAT_ROLES)
        for number, item in enumerate(_list(value), 1)
    ]
    spoken = [message.role for message in messages if message.role in (_USER, _ASSISTANT)]
    if not spoken or spoken[0] == _ASSISTANT:
        return ()
    asked = [index for index, message in enumerate(messages) if message.role == _USER]
    unanswered = (at for at in asked if at + 1 == len(messages) or messages[at + 1].role == _USER)
    return tuple(messages[: next(unanswered, asked[-1]) + 1])


def _message(item: object, number: int, *, role_field: str, text_field: str, roles: Mapping[str, str]) -> Message:
    if not isinstance(item, dict):
        raise _RowError(f"message {number} is {_kind(item)} and not an object")
    role = item.get(role_field)
    if not isinstance(role, str) or role not in roles:
        raise _RowError(f"message {number} has {role_field} {_shown(role)}; known are {', '.join(roles)}")
    try:
        return Message(roles[role], _text(item.get(text_field)))
    except _RowError as error:
        raise _RowError(f"the {text_field} of message {number}: {error}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _RowError(f"{_kind(value)} where plain text was expected; only text is sent")
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise _RowError(f"{_kind(value)} where a list was expected")
    return value


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _named(fields: Mapping[str, object]) -> str:
    return ", ".join(fields) or "it has none"


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _digest(prompts: Sequence[FilePrompt]) -> str:
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(msgspec.json.encode((prompt.messages, prompt.output_tokens)) + b"\n")
    return digest.hexdigest()[:_DIGEST_DIGITS]


_SHAPES = {
    "conversations": _Shape(words="ShareGPT", read=_opening),
    "messages": _Shape(words="OpenAI chat, SPEED-Bench as prepared", read=_unanswered),
    "turns": _Shape(words="Spec-Bench, MT-Bench, SPEED-Bench as published", read=_first_turn),
    "prompt": _Shape(words="vLLM's custom dataset", read=_plain),
    "text": _Shape(words="plain text", read=_plain),
}
SHAPES: dict[str, str] = {name: shape.words for name, shape in _SHAPES.items()}
"""Field that identifies a shape, in order of precedence -> its users."""
