"""What must flag each fault of the catalogue, and what must be named as its cause."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expected:
    """Of one fault."""

    check: str
    """One of the checks or metrics that flag it."""
    cause: str
    """What the diagnosis, the finding or the error says; nothing where it is only told and nothing hangs on it."""


_BROKEN = Expected("drafter-broken", "drafter-broken")
_ACCEPTANCE = Expected("acceptance_length", "acceptance")
_STEPS = Expected("step_rate_s", "step time")
_OFF = Expected("speculation-off", "speculation-off")
_CRASH = Expected("EngineError", "CUDA error")
_STALL = Expected("total_tok_s_gpu", "stalls")
_EARLY = Expected("EngineError", "ended early")
_LIE = Expected("counters-lie", "counters-lie")

SPEED: dict[str, Expected] = {
    "state-corrupted": _BROKEN,
    "drafter-broken": _BROKEN,
    "drafter-unbound": _BROKEN,
    "later-positions-collapse": _ACCEPTANCE,
    "acceptance-slips": _ACCEPTANCE,
    "acceptance-low-after-upgrade": _ACCEPTANCE,
    "acceptance-falls-with-context": _ACCEPTANCE,
    "acceptance-falls-under-load": _ACCEPTANCE,
    # Acceptance falls, and what comes out is no text (see TEXT).
    "garbled": _ACCEPTANCE,
    "slow-at-good-acceptance": _STEPS,
    "slower-with-every-request": _STEPS,
    "drafter-gaps": _STEPS,
    "slower-at-equal-acceptance": _STEPS,
    "slower-than-off": _STEPS,
    "slow-steps": _STEPS,
    "slow-on-long-context": _STEPS,
    # While it thrashes, K is 0: steps without drafts are what shows, and they do not need a baseline.
    "dynamic-k-thrashes": _OFF,
    "off-silently": _OFF,
    "off-above-batch": _OFF,
    "off-for-good": _OFF,
    "fewer-draft-tokens": Expected("draft-tokens", "draft-tokens"),
    "crash-at-high-concurrency": _CRASH,
    "crash-on-long-context": _CRASH,
    "crash-at-warm-up": _CRASH,
    "crash-under-load": _CRASH,
    "hang": _STALL,
    "steps-stall": _STALL,
    "prefills-stall": _STALL,
    # The time between the steps went to sequences that are computed anew, as the finding says.
    "preempted": Expected("preempted", "stalls"),
    "slow-prefill": Expected("total_tok_s_gpu", "prefill"),
    "queued": Expected("queue-limited", "waiting"),
    "stops-early": _EARLY,
    "tokens-lost": _EARLY,
    "prefix-hits": Expected("prefix-hits", "prefix-hits"),
    "template-changed": Expected("prompt-tokens", "prompt-tokens"),
    "usage-inflated": Expected("completion-tokens", "completion-tokens"),
    "tokens-undercounted": Expected("token-truth", "token-truth"),
    "accepted-overcounted": _LIE,
    "speculation-counted-twice": _LIE,
    # Told and not red: nothing is judged by a gauge where counters are.
    "gauge-lies": Expected("gauge-lies", ""),
}

TEXT: dict[str, Expected] = {
    "answers-wrong": Expected("task accuracy", "answers diverge"),
    "text-differs": Expected("losslessness", "answers diverge"),
    "state-corrupted": Expected("canaries", "lost tag"),
    "garbled": Expected("canaries", "repetition loop"),
    "endless": Expected("canaries", "repetition loop"),
    "gibberish": Expected("canaries", "other language"),
    "anothers-text": Expected("canaries", "foreign text"),
    "later-turns-garbled": Expected("canaries", "conversations: repetition loop"),
    "replacement-characters": Expected("canaries", "no text"),
    "invalid-utf8": Expected("canaries", "broken UTF-8"),
    "loops-in-long-context": Expected("canaries", "long contexts: repetition loop"),
    "structured-stuck": Expected("structured output", "no answer in time, or invalid JSON"),
    "structured-invalid": Expected("structured output", "invalid JSON"),
}
TEXT_CONTROLS = ("control-same", "control-near-ties")
"""The others say what the first one says."""
START: dict[str, Expected] = dict.fromkeys(
    ("start-fails", "start-fails-above-k1", "start-fails-sometimes"), Expected("EngineError", "failed to start")
)
