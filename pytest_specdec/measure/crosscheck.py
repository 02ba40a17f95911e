"""The server's account of a point against the client's: acceptance, tokens, TTFT, and remarks for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from pytest_specdec.domain.acceptance import (
    Acceptance,
    SpecCounters,
    acceptance_from,
    counters_of_tokens,
    gauge_acceptance,
)
from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.facts import Facts
from pytest_specdec.domain.token_check import TokenTruth, token_truth
from pytest_specdec.domain.traffic import RequestSample
from pytest_specdec.engine.counters import EngineReading
from pytest_specdec.errors import EngineError
from pytest_specdec.load.point import LoadResult
from pytest_specdec.results.measurement import ServerTtft
from pytest_specdec.speculation.health import Finding, find
from pytest_specdec.speculation.signs import Signs, signs_of

PIN_TOLERANCE = 0.05
"""Largest relative difference between the measured and the pinned acceptance length."""
_TTFT_SHARE = 0.2
_TTFT_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """The server before, while and after a point ran; it was idle before and after."""

    before: EngineReading
    after: EngineReading
    waiting: Sequence[float] = ()
    """Requests in the server's queue at each sample."""
    gauge_lengths: Sequence[float] = ()
    """Acceptance length by the engine's gauge, at the samples that had one."""

    def change(self, name: str) -> float | None:
        """Change of a counter.

        Raises:
            EngineError: it fell, so the engine restarted.
        """
        earlier, now = getattr(self.before, name), getattr(self.after, name)
        if earlier is None or now is None:
            return None
        if now < earlier:
            raise EngineError("the engine's counters fell: it restarted during the measurement")
        return float(now - earlier)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Account of a point by server and client."""

    acceptance: Acceptance | None
    tokens: TokenTruth
    ttft: ServerTtft | None
    signs: Signs
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    """Remarks for the report."""


def account_for(cell: Cell, facts: Facts, result: LoadResult, snapshots: Snapshots) -> Account:
    """Set the server's account of a point against the client's.

    Raises:
        EngineError: a counter fell, or a pinned acceptance did not take effect.
    """
    samples = result.traffic.samples
    acceptance = observed_acceptance(snapshots, samples, facts, cell.engine.speculation.draft_tokens)
    refuse_other_acceptance(cell, acceptance)
    tokens = token_truth(samples, snapshots.change("generation_tokens"), snapshots.change("prompt_tokens"))
    ttft = observed_ttft(snapshots, samples)
    before, after = snapshots.before.speculation, snapshots.after.speculation
    signs = signs_of(
        result.traffic,
        speculation=after - before if before is not None and after is not None else None,
        verify_steps=snapshots.change("verify_steps"),
        generated=snapshots.change("generation_tokens"),
        waiting=snapshots.waiting,
        preemptions=snapshots.change("preemptions"),
        prefix_queries=snapshots.change("prefix_queries"),
        prefix_hits=snapshots.change("prefix_hits"),
        gauge_lengths=snapshots.gauge_lengths,
    )
    findings = find(cell, acceptance, signs, tokens)
    notes = [
        *_notes(cell, facts, result, signs),
        *(finding.words for finding in findings),
        *_disagreements(cell, acceptance, ttft),
    ]
    return Account(acceptance=acceptance, tokens=tokens, ttft=ttft, signs=signs, findings=findings, notes=tuple(notes))


def observed_acceptance(
    snapshots: Snapshots, samples: Sequence[RequestSample], facts: Facts, mtp: int
) -> Acceptance | None:
    """Acceptance from the best source that the engine has.

    Counters of drafts, else the details of each finished request, else verify steps against generated tokens, else a
    gauge, which is a hint and labelled as one.

    Raises:
        EngineError: a counter fell, so the engine restarted.
    """
    if snapshots.before.speculation is not None and snapshots.after.speculation is not None:
        return acceptance_from(snapshots.after.speculation - snapshots.before.speculation)
    draft_tokens = facts.draft_tokens or mtp
    if not draft_tokens:
        return None
    details = [sample.speculation for sample in samples if sample.speculation is not None]
    if details:
        return acceptance_from(reduce(add, details, SpecCounters(steps=0, drafted=0, accepted=0)), "requests")
    steps, generated, requests = (snapshots.change(name) for name in ("verify_steps", "generation_tokens", "requests"))
    if steps is not None and generated is not None and requests is not None:
        counters = counters_of_tokens(generated=generated, requests=requests, steps=steps, draft_tokens=draft_tokens)
        return acceptance_from(counters, "tokens")
    if snapshots.gauge_lengths:
        return gauge_acceptance(float(np.median(snapshots.gauge_lengths)), draft_tokens)
    return None


def observed_ttft(snapshots: Snapshots, samples: Sequence[RequestSample]) -> ServerTtft | None:
    """Mean TTFT by the server's histogram and by the client's clock, over the same requests."""
    ours = [float(s.chunk_s[0] - s.start_s) for s in samples if len(s.chunk_s)]
    if snapshots.before.ttft_s is None or snapshots.after.ttft_s is None or not ours:
        return None
    seconds, count = (now - then for now, then in zip(snapshots.after.ttft_s, snapshots.before.ttft_s, strict=True))
    if count <= 0 or seconds < 0:
        return None
    return ServerTtft(server_mean_ms=1000 * seconds / count, client_mean_ms=1000 * sum(ours) / len(ours))


def refuse_other_acceptance(cell: Cell, acceptance: Acceptance | None) -> None:
    """Refuse a measured acceptance length that is not the pinned one.

    Raises:
        EngineError: it is not, or it cannot be told.
    """
    wanted = cell.engine.speculation.pinned_length
    if wanted is None:
        return
    if acceptance is None:
        raise EngineError(
            f"acceptance length is pinned to {wanted:g} and the engine's metrics do not tell whether it holds"
        )
    if abs(acceptance.length / wanted - 1) > PIN_TOLERANCE:
        raise EngineError(
            f"acceptance length is pinned to {wanted:g} and was measured as {acceptance.length:.2f}: the engine's "
            "synthetic mode did not take effect"
        )


def _notes(cell: Cell, facts: Facts, result: LoadResult, signs: Signs) -> list[str]:
    """Remarks on the load that the server was under."""
    notes = []
    samples = result.traffic.samples
    failed = [s.error for s in samples if s.status == "failed"]
    if failed:
        notes.append(f"{len(failed)} of {len(samples)} requests failed: {failed[0]}")
    if facts.max_running is not None and facts.max_running < cell.concurrency and not (signs.waiting or 0) >= 1:
        notes.append(f"queue-limited: the server runs at most {facts.max_running} requests at a time")
    return notes


def _disagreements(cell: Cell, acceptance: Acceptance | None, ttft: ServerTtft | None) -> list[str]:
    """Differences between the server's account and the client's, and missing parts."""
    notes = []
    if ttft is not None and _apart(ttft):
        notes.append(
            f"mean TTFT is {ttft.client_mean_ms:.0f} ms here and {ttft.server_mean_ms:.0f} ms by the server's own "
            "histogram: the difference arises outside the engine (client, server front end or network)"
        )
    if cell.engine.speculation.active and acceptance is None:
        notes.append("acceptance unknown: the engine exports neither counters nor a gauge of it")
    elif acceptance is not None and acceptance.source == "gauge":
        notes.append(
            f"acceptance length about {acceptance.length:.2f} by the engine's gauge: a hint, neither stored nor gated"
        )
    return notes


def _apart(ttft: ServerTtft) -> bool:
    return abs(ttft.client_mean_ms - ttft.server_mean_ms) > _TTFT_SHARE * ttft.client_mean_ms + 1000 * _TTFT_S
