"""Token truth: the `usage` of our requests against the server's own counters over the same time.

The server is idle before and after, so both sides count the same requests, unless another client uses the server or
tokens are lost. Cut streams leave a range: the server generates on for a while until it notices. An engine that does
not count such streams at all gets no range (`Adapter.counts_cut_streams`). Accepted drafts are left out: engines count
them before `max_tokens` cuts a request off, so requests + verify steps + accepted drafts only bound the generated
tokens from above.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from pytest_specdec.domain.traffic import RequestSample

METRICS_OFF = "the server's metrics do not count tokens"


class TokenTruth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both counts, in tokens; None where the server does not count."""

    usage_generated: int
    """Sum of `usage.completion_tokens`, of cut streams their last running count."""
    server_generated: float | None
    usage_prompt: int
    """Sum of `usage.prompt_tokens`."""
    server_prompt: float | None
    unfinished: int
    """Streams that were cut or failed: their last tokens are not known."""
    reason: str = ""
    """Disagreement of the two sides; empty when they agree."""


def token_truth(
    samples: Sequence[RequestSample], server_generated: float | None, server_prompt: float | None
) -> TokenTruth:
    """Compare the `usage` of all requests with the change of the server's counters around them."""
    generated = sum(int(s.chunk_tokens.sum()) for s in samples)
    prompt = sum(s.prompt_tokens or 0 for s in samples)
    unfinished = [s for s in samples if s.status != "ok"]
    more = sum(max(s.request.osl - int(s.chunk_tokens.sum()), 0) for s in unfinished)
    # A prompt whose stream had no token yet may have been counted, or not.
    more_prompt = sum(s.request.isl or math.inf for s in samples if s.prompt_tokens is None)
    return TokenTruth(
        usage_generated=generated,
        server_generated=server_generated,
        usage_prompt=prompt,
        server_prompt=server_prompt,
        unfinished=len(unfinished),
        reason=_disagreement("generated", generated, more, server_generated)
        or _disagreement("prompt", prompt, more_prompt, server_prompt),
    )


def _disagreement(kind: str, ours: int, more: float, server: float | None) -> str:
    if server is None:
        return METRICS_OFF
    if server < ours:
        return f"server counters fall short of our usage by {ours - server:.0f} {kind} tokens: the server lost count"
    if server > ours + more:
        return (
            f"server counters exceed our usage by {server - ours - more:.0f} {kind} tokens: "
            "another client is using this endpoint"
        )
    return ""
