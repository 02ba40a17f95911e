"""Acceptance by prompt: what an engine counted for each request, kept so that two runs can be paired.

Prompts differ in acceptance far more than engines do (22 % against 4 % in our study), so only the same prompt in both
runs tells a small loss. Request i of a cell carries the same prompt and lengths in every run of it, as long as the
prompts are put together from the same pieces, which `wording` tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from pytest_specdec.domain.acceptance import SpecCounters
from pytest_specdec.domain.traffic import RequestSample

MOST_PROMPTS = 160
"""Of more, every second, fourth, ... request is kept. Powers of two nest: of two runs of different length those of the
longer step are common, and at least 80 are left, with which a loss of 3 % is found.
"""
_LEAST_STEPS = 0.25
"""Prompts with fewer verify steps than this share of the median are left out of pairs: the first requests of a closed
loop produce the ends of their answers only, and say little with a loud voice.
"""

Floats = NDArray[np.float64]


class PromptAcceptance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counters by prompt, one column per quantity, in the order of the requests; summed where runs were joined."""

    wording: str = ""
    """Digest of what the prompts are made of: other pieces, other texts."""
    requests: tuple[int, ...]
    """Position of each prompt in its cell's load."""
    context: tuple[int, ...]
    """Tokens in the cache halfway through the answer."""
    growth: tuple[int, ...]
    """Output tokens."""
    steps: tuple[int, ...]
    """S: verify steps."""
    accepted: tuple[tuple[int, ...], ...]
    """A_i by draft position i, then by prompt."""
    early_chunks: tuple[int, ...] = ()
    """Chunks that brought the first half of an answer's tokens; empty where an engine does not count on every chunk."""
    late_chunks: tuple[int, ...] = ()
    """Chunks that brought the second half: more than those of the first where acceptance fell on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """The same prompts before and after, as arrays; every row is one prompt."""

    requests: Floats
    """Position in the load, shape (prompts,)."""
    context: Floats
    """Tokens in the cache halfway through the answer, shape (prompts,)."""
    growth: float
    """Median over prompts of the context at three quarters of the answer over that at a quarter."""
    before: Side
    after: Side

    def __len__(self) -> int:
        """Prompts."""
        return len(self.requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Acceptance of one side."""

    length: Floats
    """AL = 1 + A/S of each prompt, shape (prompts,)."""
    rates: Floats
    """p_i of each prompt with half a success and half a failure added, for logarithms; shape (positions, prompts)."""
    kept: Floats | None
    """Acceptance length in the second half of the answer over that in the first, shape (prompts,)."""


def acceptance_by_prompt(
    samples: Iterable[RequestSample], *, wording: str = "", counted: bool = True
) -> PromptAcceptance | None:
    """Keep what the engine counted for each finished request; None where it gives no counters by request.

    `counted`: the server's token counts came on every chunk, so a chunk's tokens are known and not spread.
    """
    rows = {s.request.index: (s, s.speculation) for s in samples if s.status == "ok" and s.speculation is not None}
    rows = {index: row for index, row in rows.items() if row[1].steps > 0 and row[1].per_position}
    if not rows:
        return None
    stride = 1
    while sum(index % stride == 0 for index in rows) > MOST_PROMPTS:
        stride *= 2
    kept = [rows[index] for index in sorted(rows) if index % stride == 0]
    positions = max(len(counters.per_position) for _, counters in kept)
    halves = [_halves(sample) for sample, _ in kept] if counted else []
    return PromptAcceptance(
        wording=wording,
        requests=tuple(sample.request.index for sample, _ in kept),
        context=tuple(_prompt_tokens(sample) + sample.output_tokens // 2 for sample, _ in kept),
        growth=tuple(sample.output_tokens for sample, _ in kept),
        steps=tuple(round(counters.steps) for _, counters in kept),
        accepted=tuple(tuple(_accepted_at(counters, i) for _, counters in kept) for i in range(positions)),
        early_chunks=tuple(early for early, _ in halves),
        late_chunks=tuple(late for _, late in halves),
    )


def joined(runs: Sequence[PromptAcceptance | None], wording: str | None = None) -> PromptAcceptance | None:
    """Sum runs of one cell by prompt; only those of one wording can be joined, the first one's if none is named."""
    found = [run for run in runs if run is not None]
    wording = found[0].wording if found and wording is None else wording
    found = [run for run in found if run.wording == wording]
    if len(found) < 2:
        return found[0] if found else None
    chunks = all(run.early_chunks for run in found)
    sums: dict[int, NDArray[np.int64]] = {}
    places: dict[int, tuple[int, int]] = {}
    positions = max(len(run.accepted) for run in found)
    for run in found:
        for row, index in enumerate(run.requests):
            accepted = [column[row] for column in run.accepted] + [0] * (positions - len(run.accepted))
            halves = [run.early_chunks[row], run.late_chunks[row]] if chunks else [0, 0]
            counts = np.array([run.steps[row], *halves, *accepted])
            sums[index] = sums[index] + counts if index in sums else counts
            places.setdefault(index, (run.context[row], run.growth[row]))
    order = sorted(sums)
    steps, early, late, *accepted_at = (
        tuple(int(number) for number in column) for column in np.array([sums[index] for index in order]).T
    )
    return PromptAcceptance(
        wording=wording or "",
        requests=tuple(order),
        context=tuple(places[index][0] for index in order),
        growth=tuple(places[index][1] for index in order),
        steps=steps,
        accepted=tuple(accepted_at),
        early_chunks=early if chunks else (),
        late_chunks=late if chunks else (),
    )


def pair(before: PromptAcceptance, after: PromptAcceptance) -> Pairs:
    """The prompts that both have, without those of few steps; of different wordings there is none."""
    same = before.wording == after.wording
    common = sorted(set(before.requests) & set(after.requests)) if same else []
    rows = [{index: row for row, index in enumerate(side.requests)} for side in (before, after)]
    picked = [np.array([places[index] for index in common], dtype=np.intp) for places in rows]
    steps = [np.array(side.steps, dtype=np.float64)[at] for side, at in zip((before, after), picked, strict=True)]
    enough = np.array([s >= _LEAST_STEPS * np.median(s) for s in steps]).all(axis=0) if common else np.zeros(0, bool)
    picked = [at[enough] for at in picked]
    positions = min(len(before.accepted), len(after.accepted))
    context, growth = (np.array(column, dtype=np.float64)[picked[1]] for column in (after.context, after.growth))
    return Pairs(
        requests=np.array(common, dtype=np.float64)[enough],
        context=context,
        growth=float(np.median((context + growth / 4) / (context - growth / 4))) if len(context) else 1.0,
        before=_side(before, picked[0], positions),
        after=_side(after, picked[1], positions),
    )


def _side(counts: PromptAcceptance, rows: NDArray[np.intp], positions: int) -> Side:
    steps = np.array(counts.steps, dtype=np.float64)[rows]
    accepted = np.array(counts.accepted, dtype=np.float64)[:, rows]
    kept = None
    if counts.early_chunks:
        early, late = (np.array(c, dtype=np.float64)[rows] for c in (counts.early_chunks, counts.late_chunks))
        # Each half holds as many tokens, so the chunks tell; half a chunk keeps logarithms finite.
        kept = (early + 0.5) / (late + 0.5)
    return Side(length=1 + accepted.sum(axis=0) / steps, rates=(accepted[:positions] + 0.5) / (steps + 1), kept=kept)


def _halves(sample: RequestSample) -> tuple[int, int]:
    """Chunks that brought each half of the tokens; the prefill's chunk is in neither."""
    arrived = np.cumsum(sample.chunk_tokens[1:])
    if not len(arrived):
        return 0, 0
    early = int(np.searchsorted(arrived, arrived[-1] / 2)) + 1
    return early, len(arrived) - early


def _prompt_tokens(sample: RequestSample) -> int:
    return sample.request.isl if sample.prompt_tokens is None else sample.prompt_tokens


def _accepted_at(counters: SpecCounters, position: int) -> int:
    return round(counters.per_position[position]) if position < len(counters.per_position) else 0
