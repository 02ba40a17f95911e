"""Interface of a dialect to the HTTP server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

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


class Dialect(ABC):
    """Habits of one engine."""

    owner: ClassVar[str]
    """`owned_by` of its models."""
    known_fields: ClassVar[frozenset[str] | None] = None
    """Fields of a request that it accepts, refusing all others; None when it ignores those it does not know."""

    @abstractmethod
    def reply(self, method: str, path: str, view: View) -> Reply | None:
        """Answer a control endpoint; None when there is none."""

    def max_running(self, mtp: int) -> int | None:  # noqa: ARG002 - the interface
        """Default limit of running requests; None for the preset's own."""
        return None

    def details(self, asked: Mapping[str, Any], sequence: Sequence) -> dict[str, Any]:  # noqa: ARG002 - the interface
        """Fields of the last chunk that report on the finished request; empty for an engine that has none in tokens."""
        return {}
