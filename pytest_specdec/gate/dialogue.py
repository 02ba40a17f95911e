"""Requests of a rule and the observations that answer them: a rule measures nothing itself.

The same rule runs against engines and in simulation, because all it knows of the world is in these types.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.gate.noise import Run
from pytest_specdec.results.decision import SuiteDecision


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenRuns:
    """Measure the candidate: so many runs of each cell, in shuffled order."""

    runs: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBlocks:
    """Measure both engines: so many blocks of old, new, new, old for each of these cells.

    Every run of a block is on a server start of its own: starts differ, and runs of one start would all be wrong
    together. The cells of one engine share the starts of their blocks.
    """

    cells: tuple[str, ...]
    blocks: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateSessions:
    """Measure the candidate: one run of each of these cells on each of so many fresh server starts."""

    cells: tuple[str, ...]
    sessions: int
    why: str


Request = ScreenRuns | PairBlocks | CandidateSessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Four runs of one cell, in the order old[0], new[0], new[1], old[1]."""

    old: tuple[Run, Run]
    new: tuple[Run, Run]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraHypothesis:
    """A check with a test of its own, judged under the suite's promise: acceptance paired by prompt, for one.

    Its p-values come from data of this job. It is a FAIL when `p_loss`, adjusted by Holm over all of them, is within
    `Terms.extra_share` of alpha, and a PASS when `p_margin` is within `Terms.confirm_miss`.
    """

    name: str
    cell: str
    p_loss: float
    """Chance of such data if the loss were no larger than the tolerance."""
    p_margin: float
    """Chance of such data if the loss were the margin or more."""
    loss: float | None = None
    """Fraction of the baseline, for people."""
    reason: str = ""

    def __post_init__(self) -> None:
        if not (0 <= self.p_loss <= 1 and 0 <= self.p_margin <= 1):
            raise InvalidInputError(f"{self.cell} {self.name}: p-values lie from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The answer to a request; runs that are missing are left out."""

    runs: Mapping[str, Sequence[Run]] = field(default_factory=dict)
    """To `ScreenRuns` and `CandidateSessions`: runs of each cell."""
    blocks: Mapping[str, Sequence[Block]] = field(default_factory=dict)
    """To `PairBlocks`: blocks of each cell, in order."""
    extras: Sequence[ExtraHypothesis] = ()
    exhausted: str = ""
    """Reason why nothing more will be measured, such as "the budget of 2 GPU-hours is spent"; empty to go on."""


Rule = Generator[Request, Observed, SuiteDecision]


def drive(rule: Rule, measure: Callable[[Request], Observed]) -> SuiteDecision:
    """Run a rule to its end, measuring what it asks for."""
    try:
        request = next(rule)
        while True:
            request = rule.send(measure(request))
    except StopIteration as end:
        decision: SuiteDecision = end.value
        return decision
