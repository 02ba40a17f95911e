"""Health of a point by itself: speculation that is broken, off or not as requested, and counters that disagree.

These checks need no baseline. A broken drafter must never become one: a project once proposed an acceptance length of
1.04 as its reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from pytest_specdec.domain.acceptance import Acceptance
from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.token_check import TokenTruth
from pytest_specdec.speculation.signs import Signs

Severity = Literal["broken", "warning"]

LOWEST_FIRST = 0.3
"""A drafter whose first token is accepted less often is broken: working ones reach 0.5 to 0.95, those of the published
regressions 0.002 to 0.03.
"""
LEAST_VERIFY_SHARE = 0.95
MOST_VERIFY_SHARE = 1.15
"""`max_tokens` cuts at most K accepted drafts off a request: 10 % at the shortest lengths that are worth measuring."""
DRAFT_TOLERANCE = 0.02
CHUNK_TOLERANCE = 0.05
DRIFT = 0.03
HITS, MOST_HITS = 0.01, 0.05
"""A template's own beginning may be in the cache; more is no longer the workload that was asked for."""
FRAME = 64
"""Tokens that prompts share on a healthy engine: the frame of the chat template and a tag, some 20 to 60. Of short
prompts they are more than `MOST_HITS`.
"""
PROMPT_TOLERANCE, MOST_PROMPT_EXCESS = 0.01, 8
"""Share of the requested ISL to be told, and besides tokens per prompt from which it is another workload: the costs of
sentences are known to the token, but a short prompt may be a token or two off.
"""
TOKEN_TOLERANCE = 0.005
GAUGE_TOLERANCE = 0.15


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One problem of a point."""

    check: str
    severity: Severity
    """`broken`: the point fails, and is no baseline. `warning`: a reader must know, and no number hangs on it alone."""
    words: str


def find(cell: Cell, acceptance: Acceptance | None, signs: Signs, tokens: TokenTruth | None) -> tuple[Finding, ...]:
    """Run every check that the evidence allows."""
    return (
        *(_drafting(cell, acceptance, signs) if cell.engine.speculation.active else ()),
        *(_counting(acceptance, signs) if cell.engine.speculation.active else ()),
        *(_gauging(acceptance, signs) if cell.engine.speculation.active else ()),
        *_lengths(cell, signs),
        *_truth(tokens),
        *_serving(signs),
    )


def _drafting(cell: Cell, acceptance: Acceptance | None, signs: Signs) -> Iterator[Finding]:
    """Check that drafts are made and accepted as by a working engine."""
    if signs.verify_steps == 0:
        yield _broken("speculation-off", "no draft tokens: speculation is off, whatever the configuration says")
        return
    if acceptance is not None and cell.engine.speculation.pinned_length is None:
        yield from _first_position(acceptance)
    drafts, asked = signs.drafts_per_step, cell.engine.speculation.draft_tokens
    if drafts is not None and drafts < asked * (1 - DRAFT_TOLERANCE):
        yield _broken("draft-tokens", f"{drafts:.2f} draft tokens per step, {asked} configured")
    if signs.verify_share is not None and signs.verify_share < LEAST_VERIFY_SHARE:
        yield _broken(
            "speculation-off",
            f"{1 - signs.verify_share:.0%} of the output did not come from verify steps: speculation was off for a "
            "part of the time (by batch size, by a threshold, by the engine)",
        )
    if abs(signs.acceptance_drift) > DRIFT:
        yield _warning("acceptance-drifts", f"acceptance drifted by {signs.acceptance_drift:+.1%} over the window")


def _first_position(acceptance: Acceptance) -> Iterator[Finding]:
    """The floor that a baseline does not move; where positions are unknown, p_0 is at most the sum of all, AL - 1."""
    known = bool(acceptance.per_position)
    first = acceptance.per_position[0] if known else acceptance.length - 1
    if first >= LOWEST_FIRST:
        return
    words = f"the first draft token is accepted in {'' if known else 'at most '}{first:.1%} of the steps only"
    if acceptance.source == "gauge":
        yield _warning("drafter-broken", f"{words}, by a gauge")
    else:
        yield _broken("drafter-broken", words)


def _counting(acceptance: Acceptance | None, signs: Signs) -> Iterator[Finding]:
    """Check the counters of speculation against the stream."""
    share = signs.verify_share
    if share is not None and share > MOST_VERIFY_SHARE:
        yield _broken("counters-lie", f"by its counters the engine verified {share:.2f} times the tokens it generated")
    if acceptance is None or signs.tokens_per_chunk is None or acceptance.source != "counters":
        return
    if acceptance.length > signs.tokens_per_chunk * (1 + CHUNK_TOLERANCE) and (share or 1.0) >= LEAST_VERIFY_SHARE:
        yield _broken(
            "counters-lie",
            f"by its counters a step brings {acceptance.length:.2f} tokens, and a chunk, which holds at least one "
            f"step, brought {signs.tokens_per_chunk:.2f}",
        )


def _gauging(acceptance: Acceptance | None, signs: Signs) -> Iterator[Finding]:
    """Check the gauge against the counters, or else against the stream, whose chunks hold one step or more."""
    gauge = signs.gauge_length
    counted = acceptance.length if acceptance is not None and acceptance.source != "gauge" else None
    truth = counted or signs.tokens_per_chunk
    if gauge is None or truth is None or (counted is None and gauge < truth):
        return
    if signs.verify_share is not None and signs.verify_share < LEAST_VERIFY_SHARE:
        return  # a gauge keeps its last word while speculation is off
    if abs(gauge / truth - 1) > GAUGE_TOLERANCE:
        by = "the counters" if counted else "the chunks of the stream"
        # The gauge judges nothing where counters exist, but users watch it on dashboards.
        yield _warning("gauge-lies", f"the gauge says {gauge:.2f} tokens per step, {by} {truth:.2f}")


def _lengths(cell: Cell, signs: Signs) -> Iterator[Finding]:
    """Check the lengths of requests: with other lengths the speed is that of another workload."""
    excess = signs.completion_excess or 0.0  # too few are none of it: such requests have failed
    if excess > TOKEN_TOLERANCE:
        yield _broken(
            "completion-tokens",
            f"answers have {excess:.1%} more tokens by `usage` than were asked for: it counts what was not generated",
        )
    prompts = signs.prompt_excess or 0.0
    if abs(prompts) > PROMPT_TOLERANCE:
        other = abs(prompts) * cell.workload.mean_isl > MOST_PROMPT_EXCESS
        yield (_broken if other else _warning)(
            "prompt-tokens", f"prompts are {prompts:+.1%} off the requested ISL as the server counts them"
        )
    hits = signs.prefix_hits or 0.0
    if hits > HITS:
        # The prompts of a file may share what they like: that is the workload.
        other = bool(cell.workload.isl) and hits > MOST_HITS and hits * cell.workload.mean_isl > FRAME
        yield (_broken if other else _warning)(
            "prefix-hits", f"prefix cache: {hits:.1%} of the prompt tokens were hits; switch it off or reset it"
        )


def _truth(tokens: TokenTruth | None) -> Iterator[Finding]:
    """Check that client and server count the same tokens; a surplus at the server may be another client's."""
    if tokens is None or not tokens.reason:
        return
    pairs = (tokens.usage_generated, tokens.server_generated), (tokens.usage_prompt, tokens.server_prompt)
    lost = max((1 - server / ours for ours, server in pairs if ours and server is not None), default=0.0)
    yield (_broken if lost > TOKEN_TOLERANCE else _warning)("token-truth", f"token truth: {tokens.reason}")


def _serving(signs: Signs) -> Iterator[Finding]:
    """Events of the server that affect a comparison, such as preemptions."""
    if signs.waiting is not None and signs.waiting >= 1:
        # The ramp queues by design; a queue in most samples of the later half is the server's limit.
        yield _warning(
            "queue-limited",
            f"queue-limited: {signs.waiting:.0f} requests were waiting, so concurrency was lower than asked",
        )
    if signs.preemptions:
        yield _warning("preempted", f"preempted: {signs.preemptions:.0f} requests were preempted and recomputed")


def _broken(check: str, words: str) -> Finding:
    return Finding(check=check, severity="broken", words=words)


def _warning(check: str, words: str) -> Finding:
    return Finding(check=check, severity="warning", words=words)
