"""Simulated worlds: variation of the runs of a suite under no change, or under a known one.

Sizes are those of the gating study (section 5), on the log scale: single runs vary by 0.5 to 3 % (log-uniform over the
cells); all cells of a session shift together; every server start has its own offset, shared by the cells on it; the job
drifts; some runs are 10 % slow for no reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pytest_specdec.gate.noise import SuiteNoise
from pytest_specdec.gate.variances import Array

Places = NDArray[np.intp]

METRIC = "total_tok_s_gpu"
"""The one metric of a simulated suite; a hundred hypotheses are a hundred whatever they are called."""
DRIFT_STEPS = 100.0
"""Runs over which a job drifts by `World.drift_sd`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Variation of runs, on the log scale."""

    name: str
    cells: int = 100
    engines: int = 10
    """The cells are spread over so many engines; cells of one engine share its starts."""
    run_sd: tuple[float, float] = (0.005, 0.03)
    """Range of the run-to-run noise of a cell."""
    common_sd: float = 0.005
    """Shift of a session, for all cells."""
    start_sd: float = 0.003
    """Offset of a server start."""
    drift_sd: float = 0.003
    """Of a random walk over a job."""
    outliers: float = 0.01
    """Share of runs that are 10 % slow."""
    tail_freedom: float | None = None
    """Runs vary as Student's t with so many degrees of freedom instead of normally, at the same standard deviation."""
    slow_starts: float = 0.0
    """Share of server starts that are 3 % slow."""
    gate_noise: float = 1.0
    """Run-to-run noise of the gate's job over that of the baseline."""
    fixed_sd: Mapping[str, float] = field(default_factory=dict)
    """Run-to-run noise by cell name, instead of a draw: a stored noise model's."""


OUTLIER = -0.10536
SLOW_START = -0.03

REALISTIC = World(name="realistic")
WORLDS: Mapping[str, World] = {
    world.name: world
    for world in (
        REALISTIC,
        replace(REALISTIC, name="harsh", common_sd=0.015, start_sd=0.006, drift_sd=0.006, outliers=0.03),
        replace(REALISTIC, name="heavy tails", tail_freedom=3.0),
        replace(REALISTIC, name="bistable starts", slow_starts=0.15),
        replace(REALISTIC, name="noisy day", gate_noise=2.0),
    )
}


def world_of(noise: SuiteNoise, name: str = "stored noise") -> World:
    """Build the world that a stored noise model describes, by the metric that has most cells.

    What its sessions share is `common_sd`; what else lies between sessions is taken for server starts.
    """
    common = max(noise.common, key=lambda one: sum(row.metric == one.metric for row in noise.hypotheses))
    rows = [row for row in noise.hypotheses if row.metric == common.metric]
    between = float(np.mean([row.session_sd**2 for row in rows]))
    return World(
        name=name,
        cells=len(rows),
        engines=max(1, len(rows) // 10),
        common_sd=common.common_sd,
        start_sd=math.sqrt(max(between - common.common_sd**2, 0.0)),
        drift_sd=0.0,
        outliers=0.0,
        fixed_sd={row.cell: row.run_sd for row in rows},
    )


class Suite:
    """One suite in a world: its cells, and a job that measures them."""

    def __init__(self, world: World, generator: np.random.Generator) -> None:
        self.world = world
        self.random = generator
        self.names = sorted(world.fixed_sd) or [f"c{i:03d}" for i in range(world.cells)]
        self.place = {name: i for i, name in enumerate(self.names)}
        self.every: Places = np.arange(len(self.names), dtype=np.intp)
        self.engine = np.arange(len(self.names)) * world.engines // len(self.names)
        low, high = np.log(world.run_sd)
        drawn = np.exp(generator.uniform(low, high, len(self.names)))
        self.run_sd: Array = np.array([world.fixed_sd[name] for name in self.names]) if world.fixed_sd else drawn
        self.loss: Array = np.zeros(len(self.names))
        """True loss of the candidate, by cell, log scale."""

    @property
    def engines(self) -> dict[str, str]:
        """Engine of each cell."""
        return {name: f"e{engine}" for name, engine in zip(self.names, self.engine, strict=True)}

    def noise(self, cells: Places, runs: int, *, scale: float = 1.0) -> Array:
        """Run-to-run noise of some cells, with its outliers: cells x runs."""
        world, shape = self.world, (len(cells), runs)
        if world.tail_freedom:
            unit = self.random.standard_t(world.tail_freedom, shape) / np.sqrt(
                world.tail_freedom / (world.tail_freedom - 2)
            )
        else:
            unit = self.random.standard_normal(shape)
        slow = self.random.random(shape) < world.outliers
        return np.asarray(scale * self.run_sd[cells][:, None] * unit + OUTLIER * slow)

    def starts(self) -> Array:
        """Offsets of one start of every engine, by cell."""
        world = self.world
        offset = world.start_sd * self.random.standard_normal(world.engines)
        offset += SLOW_START * (self.random.random(world.engines) < world.slow_starts)
        return np.asarray(offset[self.engine])

    def session(self, runs: int) -> Array:
        """One session of the baseline's engine: cells x runs, on one start of each engine."""
        common = self.world.common_sd * self.random.standard_normal()
        return np.asarray(common + self.starts()[:, None] + self.drift()[:, None] + self.noise(self.every, runs))

    def drift(self) -> Array:
        """A random walk over the cells of a session, in shuffled order."""
        steps = self.random.standard_normal(len(self.names)) * self.world.drift_sd / np.sqrt(len(self.names))
        return np.asarray(np.cumsum(steps)[self.random.permutation(len(self.names))])
