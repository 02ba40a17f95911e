"""Interface of a dialect to the HTTP server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pytest_specdec.simulator.core import EngineCore, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The engine as its control endpoints see it."""

    core: EngineCore
    model: str
    version: str
    stream_interval: int
    metrics: bool
    """True when metrics are switched on."""
    control: bool
    """True when the endpoints that some engines hide are open."""
    pinned: bool
    """True when acceptance is synthetic."""
    own: Mapping[str, float] = field(default_factory=dict)
    """Gauges of the simulator itself."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer of a control endpoint: text, or anything JSON can hold."""

    content: Any
    status: int = 200


class Dialect(Protocol):
    """Habits of one engine."""

    @property
    def owner(self) -> str:
        """`owned_by` of its models."""

    @property
    def known_fields(self) -> frozenset[str] | None:
        """Fields of a request that it accepts, refusing all others; None when it ignores those it does not know."""

    def max_running(self, mtp: int) -> int | None:
        """Default limit of running requests; None for the preset's own."""

    def reply(self, method: str, path: str, view: View) -> Reply | None:
        """Answer a control endpoint; None when there is none."""

    def details(self, asked: Mapping[str, Any], sequence: Sequence) -> dict[str, Any]:
        """Fields of the last chunk that report on the finished request."""
