"""The plan of an invocation: cells to measure, grouped by engine, with the estimated duration and cost."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_specdec.domain.cell import Cell, EngineSpec, Interview, engine_order
from pytest_specdec.domain.naming import plural
from pytest_specdec.domain.price import Price

_SECONDS_PER_PROMPT_TOKEN = 1e-4
"""For the estimate of the ramp only; an H200 node prefills a 400B MoE at about 13,000 tokens/s."""
_INTERVIEW_S = 120.0
"""Rough duration of an interview: some 300 short answers and 200,000 tokens of long prompts, a few in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Cells in the order in which they are measured."""

    cells: tuple[Cell, ...]
    asked: tuple[Interview, ...] = ()
    """Interviews to hold as well: each engine with each setting of thinking that a test asks for."""

    @classmethod
    def of(cls, cells: Iterable[Cell], seed: int, asked: Iterable[Interview] = ()) -> Plan:
        """Order the engines so that each starts once, and shuffle the points of each.

        The shuffle keeps drift of the machine from appearing as a trend over concurrency.
        """
        rng = random.Random(seed)  # noqa: S311 - an order, not a secret
        ordered = engine_order(cells)
        ranks = {cell: rng.random() for cell in ordered}
        return cls(cells=tuple(sorted(ordered, key=lambda cell: (cell.engine, ranks[cell]))), asked=tuple(asked))

    def repeated(self, times: Mapping[Cell, int], seed: int, asked: Iterable[Interview] = ()) -> Plan:
        """Return the same cells, each repeated as often as `times` says, in a shuffled order."""
        rng = random.Random(seed)  # noqa: S311 - an order, not a secret
        ranked = [(cell.engine, rng.random(), cell) for cell in self.cells for _ in range(times.get(cell, 0))]
        return Plan(cells=tuple(cell for *_, cell in sorted(ranked)), asked=tuple(asked))

    def by_engine(self) -> list[tuple[EngineSpec, list[Cell]]]:
        """Each engine once, with its cells."""
        engines = {cell.engine for cell in self.cells} | {interview.engine for interview in self.asked}
        groups: dict[EngineSpec, list[Cell]] = {engine: [] for engine in sorted(engines)}
        for cell in self.cells:
            groups[cell.engine].append(cell)
        return list(groups.items())

    def seconds(self, *, window_s: float, settle_s: float, start_s: float) -> float:
        """Estimated duration in seconds: engine starts, interviews, and for each point ramp, settling and window."""
        ramps = sum(cell.concurrency * cell.workload.isl * _SECONDS_PER_PROMPT_TOKEN for cell in self.cells)
        interviews = len(self.asked) * _INTERVIEW_S
        return len(self.by_engine()) * start_s + len(self.cells) * (window_s + settle_s) + ramps + interviews

    def usd(self, seconds: float, price: Price) -> float:
        """Estimated cost of the GPUs for a duration, each engine weighted by its number of points."""
        if not self.cells:
            return 0.0
        gpus = sum(cell.engine.gpus for cell in self.cells) / len(self.cells)
        return seconds / 3600 * gpus * price.usd_per_gpu_hour

    def words(  # noqa: PLR0913 - the parts of the summary
        self, *, runs: int, sessions: int, least_s: float, most_s: float, price: Price, simulated: bool
    ) -> str:
        """Summary such as `4 engines, 20 points, about 6 to 40 min, about $1.90 to $12.40`; windows end adaptively."""
        counts = f"{plural(len(self.by_engine()), 'engine')}, {plural(len(self.cells), 'point')}"
        if runs > len(self.cells):
            counts += f" measured {runs} times" + (f" on {sessions} server starts" if sessions > 1 else "")
        unit, one = (60, "min") if least_s >= 90 else (1, "s")
        duration = f"about {_span(f'{least_s / unit:.0f}', f'{most_s / unit:.0f}')} {one}"
        money = f"about {_span(*(f'${self.usd(seconds, price):.2f}' for seconds in (least_s, most_s)))}"
        return f"{counts}, {duration}, {f'no GPU used (the real ones would cost {money})' if simulated else money}"


def _span(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"
