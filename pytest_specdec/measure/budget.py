"""Cost of the measuring so far, server starts included, and the budget that limits it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.results.cost import Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of the cost; None is no limit."""

    seconds: float | None = None
    gpu_hours: float | None = None
    usd: float | None = None

    def exhausted(self, cost: Cost) -> str:
        """Name the limit that was reached; empty while there is some left."""
        if self.seconds is not None and cost.seconds >= self.seconds:
            return f"the budget of {self.seconds / 60:g} min is spent"
        if self.gpu_hours is not None and cost.gpu_hours >= self.gpu_hours:
            return f"the budget of {self.gpu_hours:g} GPU-hours is spent"
        if self.usd is not None and cost.usd >= self.usd:
            return f"the budget of ${self.usd:g} is spent"
        return ""


@dataclass(slots=True, kw_only=True)
class Bill:
    """Running count of the cost."""

    budget: Budget
    usd_per_gpu_hour: float
    server_starts: int = 0
    clock: Callable[[], float] = time.monotonic
    _started: float = field(init=False)
    _gpu_s: float = 0.0
    _up_since: float | None = None
    _gpus: int = 0

    def __post_init__(self) -> None:
        self._started = self.clock()

    @contextmanager
    def on_clock(self, engine: EngineSpec, *, starts: bool) -> Iterator[None]:
        """Charge the GPUs of an engine, from before it starts until it has stopped."""
        self.server_starts += starts
        self._up_since, self._gpus = self.clock(), engine.gpus
        try:
            yield
        finally:
            self._gpu_s = self._gpu_seconds()
            self._up_since = None

    def spent(self) -> str:
        """Name the budget that is spent; empty while there is some left."""
        return self.budget.exhausted(self.cost())

    def cost(self) -> Cost:
        """Return the cost so far."""
        hours = self._gpu_seconds() / 3600
        return Cost(
            server_starts=self.server_starts,
            seconds=self.clock() - self._started,
            gpu_hours=hours,
            usd=hours * self.usd_per_gpu_hour,
        )

    def _gpu_seconds(self) -> float:
        running = 0.0 if self._up_since is None else (self.clock() - self._up_since) * self._gpus
        return self._gpu_s + running
