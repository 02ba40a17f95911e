"""The contract of a gate rule: what it is given, what it may ask for, what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_specdec.domain.cell import Cell
from pytest_specdec.results.decision import FixedDecision, SuiteDecision
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.verdict import Verdict

if TYPE_CHECKING:
    from pytest_specdec.gate.dialogue import Observed, Request
    from pytest_specdec.gate.evidence import Case

Pair = tuple[Measurement, Measurement]
"""Reference engine and candidate engine, each the mean of its runs in the confirmation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOptions:
    """Settings of the user and facts of the engines that any rule may read."""

    alpha: float = 0.01
    """False-alarm rate of a whole suite."""
    exhaustive: bool = False
    """Confirm every suspect, also after the first FAIL."""
    improvements: bool = False
    """Confirm gains too, so that they may become a baseline."""
    restarts: bool = True
    """Each run of a pair is on a server start of its own."""
    confirms: bool = True
    """Suspects are measured again."""
    fixed_margin: float = 0.05
    """Margin of a rule that has one margin for all metrics: 0.05 is 5 %."""
    paired: frozenset[str] = frozenset()
    """Names of the cells that the reference engine can measure too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """Verdicts of a suite and the summary that a rule has of it."""

    verdicts: dict[Cell, Verdict]
    decision: SuiteDecision | None = None
    fixed: FixedDecision | None = None


Answer = Callable[["Request"], "Observed"]
"""Measures what a rule asks for."""
Pairs = Callable[[], Mapping[str, Pair]]
"""Means of the pairs that were measured, by name of the cell."""
Judge = Callable[["Case", RuleOptions, Answer, Pairs], Ruling]
