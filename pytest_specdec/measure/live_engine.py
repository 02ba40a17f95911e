"""An engine that is up, as the measuring sees it; `http_engine` is the one that users have."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from pytest_specdec.domain.cell import Cell, EngineSpec, Interview
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.facts import Facts
from pytest_specdec.domain.price import Price
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.estimators.slo import Slo
from pytest_specdec.estimators.window import StopRule
from pytest_specdec.load.point import Limits, Progress
from pytest_specdec.measure.interview import Answers
from pytest_specdec.results.measurement import Measurement

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenEngine:
    """A running engine and the user's declarations of it."""

    endpoint: Endpoint
    hardware: str
    alias: str | None = None
    """Name under which the endpoint serves the model, when the user gave one."""
    kind: str | None = None
    """Name of the adapter, when the user gave one."""
    declared: Facts = field(default_factory=Facts)
    died: Callable[[], str] = str
    """Reason of the engine's end; empty while it runs, and for attached engines."""
    server_start: str = ""
    """Name of this start of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointOptions:
    """Settings of every point."""

    limits: Limits
    rule: StopRule
    price: Callable[[str], Price]
    """Price by hardware."""
    slo: Slo | None = None


class LiveEngine(Protocol):
    """An engine that answers: its identity, and the three things that are done with it."""

    @property
    def environment(self) -> Environment:
        """Hardware, engine, version and facts."""

    @property
    def facts(self) -> Facts:
        """Observed and declared facts."""

    async def measure(self, cell: Cell, options: PointOptions, on_progress: OnProgress) -> Measurement:
        """Measure one cell.

        Raises:
            EngineError: another client uses the server, requests keep failing, or its counters fell.
            NotMeasuredError: the window saw too little of every stream.
        """

    async def probe(self, cell: Cell, options: PointOptions, *, seconds: float, on_progress: OnProgress) -> float:
        """Estimate the interactivity of a closed loop roughly, tok/s/user; nothing of it is kept.

        Raises:
            EngineError: another client uses the server, or requests keep failing.
            NotMeasuredError: no token came.
        """

    async def ask(self, interview: Interview) -> Answers:
        """Collect the engine's answers to the fixed questions.

        Raises:
            EngineError: a request failed, or an answer is no chat completion.
        """


class Connect(Protocol):
    """Connect to a running engine, after checking that it is what the cell asks for."""

    def __call__(self, running: OpenEngine, engine: EngineSpec) -> AbstractAsyncContextManager[LiveEngine]:
        """Connect.

        Raises:
            EngineError: unreachable, or another mode, model or precision than asked for.
        """
