"""Jobs for tests of the gate: they answer the rule from seeded noise that depends on the cell and on nothing else."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from pytest_specdec.gate.dialogue import (
    Block,
    CandidateSessions,
    Observed,
    PairBlocks,
    Request,
    ScreenRuns,
)
from pytest_specdec.gate.noise import Run, SuiteNoise, fit_noise

THROUGHPUT = "total_tok_s_gpu"


@dataclass(kw_only=True)
class ScriptedJob:
    """Measures cells whose old engine does `level`, and whose new one has lost `loss` (log scale)."""

    level: Mapping[str, float]
    loss: Mapping[str, float] = field(default_factory=dict)
    sd: float = 0.004
    machine: float = 0.0
    """Loss of everything that this job measures, old or new."""
    sign: int = 1
    """-1: every value is turned round."""
    budget: int | None = None
    """Requests that are answered."""
    metric: str = THROUGHPUT
    asked: list[Request] = field(default_factory=list)
    drawn: dict[str, int] = field(default_factory=dict)

    def baseline(self, sessions: int = 5, runs: int = 2, cells: Iterable[str] | None = None) -> SuiteNoise:
        return fit_noise(
            {
                cell: {f"s{s}": [self._old(cell, machine=False) for _ in range(runs)] for s in range(sessions)}
                for cell in (self.level if cells is None else cells)
            }
        )

    def measure(self, request: Request) -> Observed:
        self.asked.append(request)
        if self.budget is not None and len(self.asked) > self.budget:
            return Observed(exhausted="the budget of 2 GPU-hours is spent")
        if isinstance(request, ScreenRuns):
            return Observed(runs={cell: [self._new(cell) for _ in range(n)] for cell, n in request.runs.items()})
        if isinstance(request, PairBlocks):
            return Observed(blocks={cell: [self._block(cell) for _ in range(request.blocks)] for cell in request.cells})
        return Observed(runs={cell: [self._new(cell) for _ in range(request.sessions)] for cell in request.cells})

    def pairs(self) -> int:
        return sum(2 * request.blocks * len(request.cells) for request in self.asked if isinstance(request, PairBlocks))

    def sessions(self) -> int:
        return sum(request.sessions for request in self.asked if isinstance(request, CandidateSessions))

    def _block(self, cell: str) -> Block:
        first, second, third, fourth = (self._old(cell), self._new(cell), self._new(cell), self._old(cell))
        return Block(old=(first, fourth), new=(second, third))

    def _old(self, cell: str, *, machine: bool = True) -> Run:
        return {self.metric: self.sign * (self.level[cell] + self._noise(cell) - self.machine * machine)}

    def _new(self, cell: str) -> Run:
        value = self.level[cell] - self.loss.get(cell, 0.0) - self.machine + self._noise(cell)
        return {self.metric: self.sign * value}

    def _noise(self, cell: str) -> float:
        number = self.drawn.get(cell, 0)
        self.drawn[cell] = number + 1
        return float(np.random.default_rng([zlib.crc32(cell.encode()), number]).normal(0.0, self.sd))


def cells(count: int) -> dict[str, float]:
    """So many cells and their levels."""
    return {f"c{i:02d}": 3.0 + 0.1 * i for i in range(count)}
