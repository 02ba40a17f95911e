"""A stand-in for a tokenizer and a model: counts prompts plausibly, and says the same whatever the MTP mode."""

from __future__ import annotations

import hashlib
import re

TEMPLATE_TOKENS = 9
"""What the chat template adds to every prompt."""

_PIECE = re.compile(r"\w+|[^\w\s]")
_LONGEST = 6
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
