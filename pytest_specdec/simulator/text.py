"""Stand-in for tokenizer and model: plausible token counts, and the same text in every MTP mode."""

from __future__ import annotations

import hashlib
import re

TEMPLATE_TOKENS = 9
"""Tokens that the chat template adds to every prompt."""

_PIECE = re.compile(r"\w+|[^\w\s]")
_LONGEST = 6
_64_BITS = 2**64 - 1
_WORDS = (
    "the", "river", "keeps", "its", "own", "time", "and", "every", "stone", "in", "it", "has", "been", "turned",
    "more", "than", "once", "by", "water", "that", "is", "gone", "while", "people", "on", "both", "banks", "argue",
    "about", "where", "it", "begins", "and", "who", "may", "cross", "it", "before", "the", "evening", "light",
    "fails",
)  # fmt: skip


def count_tokens(text: str) -> int:
    """Tokens of a text: one per punctuation mark, and one per six characters or fewer of a word."""
    return sum(-(-len(piece) // _LONGEST) for piece in _PIECE.findall(text))


def seed_of(prompt: str) -> int:
    """Seed of the answer: it depends on the prompt alone, as with greedy sampling."""
    return int.from_bytes(hashlib.blake2b(prompt.encode(), digest_size=8).digest())


def output_text(seed: int, first: int, tokens: int) -> str:
    """Tokens number `first` to `first + tokens - 1` of an answer, one word each."""
    return "".join(f" {_WORDS[_scattered(seed, i) % len(_WORDS)]}" for i in range(first, first + tokens))


def other_words(said: str, count: int) -> list[str]:
    """Alternatives to a word, the most likely first."""
    rest = [f" {word}" for word in dict.fromkeys(_WORDS) if f" {word}" != said]
    return rest[:count]


def natural_length(seed: int) -> int:
    """Tokens after which an answer ends by itself."""
    return 100 + seed % 500


def share_of(seed: int, use: str) -> float:
    """Number from 0 to 1 that is fixed for a prompt and a use."""
    return mixed(seed, use) / 2**64


def mixed(seed: int, use: object) -> int:
    """Number of 64 bits that is fixed for a prompt and a use."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {use}".encode(), digest_size=8).digest())


def _scattered(seed: int, index: int) -> int:
    """Hash of seed and token number; called for every token, hence one round of splitmix64."""
    bits = (seed + index * 0x9E3779B97F4A7C15) & _64_BITS
    return ((bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS) >> 27
