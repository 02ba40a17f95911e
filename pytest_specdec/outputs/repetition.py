"""Repetition loops in a text.

Broken speculation shows as loops that run to max_tokens (vllm#47087, TensorRT-LLM#8615) or as one sign over and over
(sglang#14063). Real texts repeat too: rules of tables, matrices of zeros, refrains, "ha ha ha", boilerplate. So a unit
must come several times in a row *and* fill some length, less of it where the text ends in the loop, for a model that
loops does not come out of it. One sign of which no rule is drawn needs little: `!` is token 0 of many vocabularies, and
what broken logits choose. The rules for web text (Gopher: 15 % in repeated 5-grams) would refuse most code.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LONGEST_UNIT = 1000
"""Characters of a repeated unit; longer ones are found by their words."""
NGRAM_WORDS = 8
NGRAM_SHARE = 0.6
"""Share of n-grams that stood there before, for loops that vary or return."""

_LEAST_WORDS = 150
_TAIL_REPEATS, _TAIL_LENGTH = 4, 120
_TAIL_LENGTH_SIGNS, _TAIL_LENGTH_DIGITS = 200, 400
_INNER_REPEATS, _INNER_LENGTH, _INNER_LENGTH_SIGNS = 8, 320, 400
_ONE_SIGN_LENGTH = 24
_DRAWN = frozenset(" \t\n-=_*#~%@;.+:|/\\<>^`'\"─═━│┃█▓▒░▄▀■□●○•·…⋅\uff1dー—\u2013")
"""Signs that rules, bars and frames are drawn with."""
_WIDE = 0x2E80
"""From here on one character says about as much as two."""
_WORD = re.compile(r"\w+")
_SHOWN = 60


@lru_cache(maxsize=2048)
def loop_in(text: str) -> str | None:
    """Say which words a text repeats over and over; None where it does not.

    Kept for a while, for with speculation most answers are the same as without.
    """
    codes = np.frombuffer(text.encode("utf-32-le", errors="replace"), dtype="<u4")
    for period in range(1, min(LONGEST_UNIT, len(codes) // _TAIL_REPEATS) + 1):
        same = codes[period:] == codes[:-period]
        start, length = _longest_run(same)
        tail = _run_at_the_end(same)
        for begin, span, at_end in ((start, length + period, False), (len(codes) - tail - period, tail + period, True)):
            unit = text[begin : begin + period]
            if _is_loop(unit, span, at_end=at_end):
                return f"{span // period} times {unit[:_SHOWN]!r}"
    return _returning_words(text)


def _is_loop(unit: str, span: int, *, at_end: bool) -> bool:
    repeats = span / len(unit)
    if repeats < _TAIL_REPEATS:
        return False  # nearly always
    if len(unit) == 1 and not unit.isalnum() and unit not in _DRAWN:
        return span >= _ONE_SIGN_LENGTH
    if not any(map(str.isalpha, unit)):
        digits = any(map(str.isdigit, unit))
        if at_end:
            return repeats >= _TAIL_REPEATS and span >= (_TAIL_LENGTH_DIGITS if digits else _TAIL_LENGTH_SIGNS)
        # Zeros in a matrix are no loop unless nothing follows them.
        return not digits and repeats >= _INNER_REPEATS and span >= _INNER_LENGTH_SIGNS
    weight = span * (1 + sum(ord(letter) >= _WIDE for letter in unit) / len(unit))
    if at_end:
        return repeats >= _TAIL_REPEATS and weight >= _TAIL_LENGTH
    return repeats >= _INNER_REPEATS and weight >= _INNER_LENGTH


def _longest_run(same: NDArray[np.bool_]) -> tuple[int, int]:
    breaks = np.flatnonzero(~same)
    edges = np.concatenate(([-1], breaks, [len(same)]))
    gaps = np.diff(edges)
    longest = int(np.argmax(gaps))
    return int(edges[longest]) + 1, int(gaps[longest]) - 1


def _run_at_the_end(same: NDArray[np.bool_]) -> int:
    breaks = np.flatnonzero(~same)
    return len(same) - 1 - int(breaks[-1]) if len(breaks) else len(same)


def _returning_words(text: str) -> str | None:
    words = _WORD.findall(text)
    if len(words) < _LEAST_WORDS:
        return None
    total = len(words) - NGRAM_WORDS + 1
    # Of numbers alone, such as the zeros of a matrix, repetition says nothing.
    runs = (words[at : at + NGRAM_WORDS] for at in range(total))
    grams = Counter(tuple(run) for run in runs if not all(map(str.isdigit, run)))
    repeated = grams.total() - len(grams)
    if repeated < NGRAM_SHARE * total:
        return None
    gram, times = grams.most_common(1)[0]
    share = f"{repeated / total:.0%} of its runs of {NGRAM_WORDS} words stood there before"
    return f"{share}, {times} times {' '.join(gram)!r}"
