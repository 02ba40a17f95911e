"""Signs of the state of speculation on a point, beside its speed: from the engine's counters and from the stream."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import msgspec
import numpy as np

from pytest_specdec.domain.acceptance import SpecCounters
from pytest_specdec.domain.traffic import Traffic
from pytest_specdec.estimators.steady import PARTS, drift


class Signs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signs of speculation in counters and stream; None is unknown."""

    verify_steps: float | None = None
    """Verify steps of the point; 0 where nothing was drafted although the engine counts."""
    drafts_per_step: float | None = None
    """Draft tokens per verify step: the K that was realised."""
    verify_share: float | None = None
    """Share of the output tokens after the first that came from verify steps; a little above 1 where `max_tokens` cuts
    accepted drafts off.
    """
    tokens_per_chunk: float | None = None
    """Output tokens per chunk, of all requests of the point, without first chunks and those that `max_tokens` cuts: the
    acceptance length, where each step is a chunk.
    """
    acceptance_drift: float = 0.0
    """Relative change of tokens per chunk from the window's beginning to its end; 0 where it may be chance."""
    waiting: float | None = None
    """Requests in the server's queue, median over the later half of the samples."""
    preemptions: float | None = None
    """Requests that were preempted and recomputed."""
    prefix_hits: float | None = None
    """Share of the prompt tokens that the prefix cache had."""
    prompt_excess: float | None = None
    """Prompt tokens by the server's count over those that were asked for, minus 1."""
    completion_excess: float | None = None
    """Output tokens by `usage` over those that were asked for, minus 1, of finished requests."""
    gauge_length: float | None = None
    """Acceptance length by the engine's gauge, mean of the samples."""


def signs_of(  # noqa: PLR0913 - one argument per thing that an engine may tell
    traffic: Traffic,
    *,
    speculation: SpecCounters | None = None,
    verify_steps: float | None = None,
    generated: float | None = None,
    waiting: Sequence[float] = (),
    preemptions: float | None = None,
    prefix_queries: float | None = None,
    prefix_hits: float | None = None,
    gauge_lengths: Sequence[float] = (),
) -> Signs:
    """Join what was seen with the changes of the engine's counters around the point.

    An engine without counters of drafts is asked for its details of each request, which count that request only; one
    that counts `verify_steps` alone tells whether there were any.
    """
    tokens, chunks = _parts(traffic)
    first_tokens = sum(1 for sample in traffic.samples if len(sample.chunk_s))
    later = waiting[len(waiting) // 2 :]
    asked = [(s.prompt_tokens, s.request.isl) for s in traffic.samples if s.prompt_tokens is not None and s.request.isl]
    finished = [(s.output_tokens, s.request.osl) for s in traffic.samples if s.status == "ok"]
    decoded = None if generated is None else generated - first_tokens
    if speculation is None:
        speculation, decoded = _of_requests(traffic)
    steps = speculation.steps if speculation else verify_steps
    share = (speculation.steps + speculation.accepted) / decoded if speculation and decoded and decoded > 0 else None
    return Signs(
        verify_steps=steps,
        drafts_per_step=speculation.drafted / steps if speculation and steps else None,
        verify_share=share,
        tokens_per_chunk=_tokens_per_chunk(traffic),
        acceptance_drift=_drift(tokens, chunks),
        waiting=float(np.median(later)) if len(later) else None,
        preemptions=preemptions,
        prefix_hits=prefix_hits / prefix_queries if prefix_queries and prefix_hits is not None else None,
        prompt_excess=sum(c for c, _ in asked) / sum(isl for _, isl in asked) - 1 if asked else None,
        completion_excess=sum(n for n, _ in finished) / sum(osl for _, osl in finished) - 1 if finished else None,
        gauge_length=float(np.mean(gauge_lengths)) if len(gauge_lengths) else None,
    )


def _of_requests(traffic: Traffic) -> tuple[SpecCounters | None, float | None]:
    """Counters of finished requests, and their tokens after each one's first; None where no request has counters."""
    finished = [sample for sample in traffic.samples if sample.status == "ok"]
    details = [sample.speculation for sample in finished if sample.speculation is not None]
    if not details:
        return None, None
    return reduce(add, details), float(sum(sample.output_tokens - 1 for sample in finished))


def _tokens_per_chunk(traffic: Traffic) -> float | None:
    streams = [s for s in traffic.samples if s.status != "failed"]
    sizes = [s.chunk_tokens[1 : -1 if s.status == "ok" else None] for s in streams]
    chunks = sum(map(len, sizes))
    return float(sum(size.sum() for size in sizes) / chunks) if chunks else None


def _parts(traffic: Traffic) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and chunks after the first of each stream, by part of the window; shape (PARTS,) each."""
    edges = np.linspace(traffic.window_start_s, traffic.window_end_s, PARTS + 1)
    streams = [s for s in traffic.samples if s.status != "failed" and len(s.chunk_s) > 1]
    times = np.concatenate([s.chunk_s[1:] for s in streams]) if streams else np.empty(0)
    sizes = np.concatenate([s.chunk_tokens[1:] for s in streams]) if streams else np.empty(0)
    return np.histogram(times, bins=edges, weights=sizes)[0], np.histogram(times, bins=edges)[0].astype(np.float64)


def _drift(tokens: np.ndarray, chunks: np.ndarray) -> float:
    if not tokens.sum():
        return 0.0
    return drift(tokens - tokens.sum() / chunks.sum() * chunks) / float(tokens.mean())
