"""A simulated job that answers the requests of a rule and counts their cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_specdec.gate.dialogue import Block, CandidateSessions, Observed, PairBlocks, Request, ScreenRuns
from pytest_specdec.gate.noise import Run, SuiteNoise, fit_noise
from pytest_specdec.gate.study.world import DRIFT_STEPS, METRIC, Places, Suite
from pytest_specdec.gate.variances import Array

_RUNS_PER_BLOCK = 4


@dataclass(slots=True, kw_only=True)
class Cost:
    """Cost of a suite."""

    runs: int = 0
    """Of both engines."""
    starts: int = 0
    """Of servers."""
    common: int = 0
    """Number of requests to attribute a common shift."""

    def gpu_hours(self, *, run_min: float, start_min: float, gpus: int) -> float:
        """GPU-hours, server starts included."""
        return (self.runs * run_min + self.starts * start_min) * gpus / 60


class Job:
    """The gate's job on one suite: one session of the machine, fresh starts where the rule asks for them."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.cost = Cost()
        self.common = suite.world.common_sd * suite.random.standard_normal()
        self.level = 0.0
        """Current drift of the job."""

    def measure(self, request: Request) -> Observed:
        """Answer a request."""
        if isinstance(request, ScreenRuns):
            return Observed(runs=self._screen(request))
        if isinstance(request, PairBlocks):
            return Observed(blocks=self._blocks(request))
        return Observed(runs=self._sessions(request))

    def _screen(self, request: ScreenRuns) -> dict[str, list[Run]]:
        suite = self.suite
        self.cost.runs += sum(request.runs.values())
        self.cost.starts += suite.world.engines
        most = max(request.runs.values())
        noise = suite.noise(suite.every, most, scale=suite.world.gate_noise)
        values = self.common + (suite.starts() + suite.drift() - suite.loss)[:, None] + noise
        return {
            cell: [{METRIC: float(value)} for value in values[suite.place[cell], :runs]]
            for cell, runs in request.runs.items()
        }

    def _blocks(self, request: PairBlocks) -> dict[str, list[Block]]:
        suite, cells = self.suite, self._places(request.cells)
        engines = len(set(suite.engine[cells]))
        self.cost.runs += _RUNS_PER_BLOCK * request.blocks * len(cells)
        self.cost.starts += (_RUNS_PER_BLOCK) * request.blocks * engines
        self.cost.common += request.why.startswith("all cells")
        blocks: dict[str, list[Block]] = {cell: [] for cell in request.cells}
        for _ in range(request.blocks):
            starts = [suite.starts()[cells] for _ in range(_RUNS_PER_BLOCK)]
            runs = np.column_stack(starts) + self._steps(_RUNS_PER_BLOCK)
            runs = runs + self.common + suite.noise(cells, _RUNS_PER_BLOCK, scale=suite.world.gate_noise)
            runs[:, 1:3] -= suite.loss[cells][:, None]
            for cell, (old1, new1, new2, old2) in zip(request.cells, runs.tolist(), strict=True):
                block = Block(old=({METRIC: old1}, {METRIC: old2}), new=({METRIC: new1}, {METRIC: new2}))
                blocks[cell].append(block)
        return blocks

    def _sessions(self, request: CandidateSessions) -> dict[str, list[Run]]:
        suite, cells = self.suite, self._places(request.cells)
        self.cost.runs += request.sessions * len(cells)
        self.cost.starts += request.sessions * len(set(suite.engine[cells]))
        starts = np.column_stack([suite.starts()[cells] for _ in range(request.sessions)])
        noise = suite.noise(cells, request.sessions, scale=suite.world.gate_noise)
        values = self.common + starts + self._steps(request.sessions) - suite.loss[cells][:, None] + noise
        return {cell: [{METRIC: v} for v in row] for cell, row in zip(request.cells, values.tolist(), strict=True)}

    def _places(self, cells: Sequence[str]) -> Places:
        return np.array([self.suite.place[cell] for cell in cells], dtype=np.intp)

    def _steps(self, count: int) -> Array:
        steps = self.suite.random.standard_normal(count) * self.suite.world.drift_sd / np.sqrt(DRIFT_STEPS)
        walk = self.level + np.cumsum(steps)
        self.level = float(walk[-1])
        return np.asarray(walk)


def baseline_of(suite: Suite, sessions: int, runs: int) -> SuiteNoise:
    """Measure a baseline in the suite's world and fit its noise."""
    measured = [suite.session(runs).tolist() for _ in range(sessions)]
    return fit_noise(
        {
            name: {f"s{s}": [{METRIC: value} for value in session[i]] for s, session in enumerate(measured)}
            for i, name in enumerate(suite.names)
        }
    )
