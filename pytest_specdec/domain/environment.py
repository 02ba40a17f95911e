"""The server behind a measurement: hardware, engine, version, facts."""

from __future__ import annotations

import msgspec

UNKNOWN = "unknown"


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Server, engine and hardware of a measurement: stated by the endpoint, declared by the suite, or unknown."""

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
    """Known configuration of the engine, by the fields of `facts.Facts`; an absent field is unknown."""
    declared: tuple[str, ...] = ()
    """Facts declared by the user, which the endpoint does not state."""
