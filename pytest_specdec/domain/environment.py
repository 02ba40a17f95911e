"""The server behind a measurement: hardware, engine, version, facts."""

from __future__ import annotations

import msgspec

UNKNOWN = "unknown"


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a measurement was taken: observed by asking the endpoint, or declared by the suite, or unknown."""

    hardware: str = UNKNOWN
    """GPU name, `simulated-` before it when no GPU was involved."""
    engine: str = UNKNOWN
    """vllm, sglang, trtllm, simulated."""
    version: str = UNKNOWN
    endpoint: str = ""
    """URL without credentials."""
    served_model: str = ""
    simulated: str = ""
    """Name of the simulated preset; empty for a real engine."""
    facts: dict[str, str] = {}
    """What is known of the engine's configuration, by the fields of `facts.Facts`; what is absent is unknown."""
    declared: tuple[str, ...] = ()
    """Facts that the user declared and the endpoint does not tell."""
