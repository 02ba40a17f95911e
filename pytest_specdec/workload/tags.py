"""Tags that attribute an answer to its prompt.

Each prompt begins with its own tag, such as `7KQ2-M4XD`: no prefix cache holds the prompt then, and an answer that
shows another prompt's tag has seen another request's text. Tags of one seed never repeat, and two check characters keep
a miscopied tag, or a part number that the model invents, from passing for the tag of a prompt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from pytest_specdec.errors import InvalidInputError

MOST_PROMPTS = 32**6

# No I, O, 0 and 1, which people and models mistake for each other.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_TAG = re.compile(rf"(?<![\w-])([{_ALPHABET}]{{4}})-([{_ALPHABET}]{{4}})(?![\w-])")
_FACTOR = 0x2F1B3C5D
"""Odd, so that it permutes the numbers: neighbours share no beginning."""
_BITS = 5


def tag_of(seed: int, number: int) -> str:
    """Tag of a prompt.

    Raises:
        InvalidInputError: the number is outside the range of tags.
    """
    if not 0 <= number < MOST_PROMPTS:
        raise InvalidInputError(f"prompt {number} has no tag: they are numbered from 0 to {MOST_PROMPTS - 1}")
    payload = _letters((number * _FACTOR + _offset(seed)) % MOST_PROMPTS, 6)
    tag = payload + _check(payload)
    return f"{tag[:4]}-{tag[4:]}"


def tags_in(text: str) -> Iterator[tuple[str, int]]:
    """Yield each tag in a text with its position; text with wrong check characters is no tag."""
    for match in _TAG.finditer(text):
        letters = match[1] + match[2]
        if _check(letters[:6]) == letters[6:]:
            yield match[0], match.start()


def _offset(seed: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"tags {seed}".encode(), digest_size=4).digest()) % MOST_PROMPTS


def _check(payload: str) -> str:
    return _letters(int.from_bytes(hashlib.blake2b(payload.encode(), digest_size=2).digest()) % 32**2, 2)


def _letters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> _BITS * place & 31] for place in reversed(range(count)))
