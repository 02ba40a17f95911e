"""What is wrong with a point by itself: speculation that is broken, off or not what was asked, and counts that lie.

These checks need no baseline. A broken drafter must never become one: a project once proposed an acceptance length of
1.04 as its reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from pytest_specdec.cell import Cell
from pytest_specdec.speculation.acceptance import Acceptance
from pytest_specdec.speculation.signs import Signs
from pytest_specdec.tokens import TokenTruth

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
HITS = 0.01
PROMPT_TOLERANCE = 0.01


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is wrong."""

    check: str
    severity: Severity
    """`broken`: the point fails, and is no baseline. `warning`: a reader must know."""
    words: str


def find(cell: Cell, acceptance: Acceptance | None, signs: Signs, tokens: TokenTruth | None) -> tuple[Finding, ...]:
    """Run every check that the evidence allows."""
    return (
        *(_drafting(cell, acceptance, signs) if cell.engine.mtp else ()),
        *(_counting(acceptance, signs) if cell.engine.mtp else ()),
        *_serving(signs, tokens),
    )


def _drafting(cell: Cell, acceptance: Acceptance | None, signs: Signs) -> Iterator[Finding]:
    """Whether drafts are made and accepted as a working engine would."""
    if signs.verify_steps == 0:
        yield _broken("speculation-off", "nothing was drafted: speculation is off, whatever the configuration says")
        return
    first = acceptance.per_position[0] if acceptance is not None and acceptance.per_position else None
    if first is not None and first < LOWEST_FIRST and cell.engine.pinned_length is None:
        yield _broken("drafter-broken", f"the first draft token is accepted in {first:.1%} of the steps only")
    drafts, asked = signs.drafts_per_step, cell.engine.mtp
    if drafts is not None and drafts < asked * (1 - DRAFT_TOLERANCE):
        yield _broken("draft-tokens", f"{drafts:.2f} tokens are drafted per step and {asked} were configured")
    if signs.verify_share is not None and signs.verify_share < LEAST_VERIFY_SHARE:
        yield _broken(
            "speculation-off",
            f"{1 - signs.verify_share:.0%} of the output did not come from verify steps: speculation was off for a "
            "part of the time (by batch size, by a threshold, by the engine)",
        )
    if abs(signs.acceptance_drift) > DRIFT:
        yield _warning("acceptance-drifts", f"acceptance drifted by {signs.acceptance_drift:+.1%} over the window")


def _counting(acceptance: Acceptance | None, signs: Signs) -> Iterator[Finding]:
    """Whether the counters of speculation can be true of the stream that arrived."""
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


def _serving(signs: Signs, tokens: TokenTruth | None) -> Iterator[Finding]:
    """What the server did besides, that a comparison must know of."""
    if signs.waiting is not None and signs.waiting >= 1:
        # The ramp queues by design; a queue in most looks of the later half is the server's limit.
        yield _warning(
            "queue-limited",
            f"queue-limited: {signs.waiting:.0f} requests were waiting, so concurrency was lower than asked",
        )
    if signs.preemptions:
        yield _warning("preempted", f"preempted: {signs.preemptions:.0f} requests lost their place and began anew")
    if signs.prefix_hits is not None and signs.prefix_hits > HITS:
        yield _warning(
            "prefix-hits",
            f"prefix cache: {signs.prefix_hits:.1%} of the prompt tokens were hits; switch it off or reset it",
        )
    if signs.prompt_excess is not None and abs(signs.prompt_excess) > PROMPT_TOLERANCE:
        yield _warning(
            "prompt-tokens", f"prompts are {signs.prompt_excess:+.1%} off the requested ISL as the server counts them"
        )
    if tokens is not None and tokens.reason:
        yield _warning("token-truth", f"token truth: {tokens.reason}")


def _broken(check: str, words: str) -> Finding:
    return Finding(check=check, severity="broken", words=words)


def _warning(check: str, words: str) -> Finding:
    return Finding(check=check, severity="warning", words=words)
