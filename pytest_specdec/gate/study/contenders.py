"""The gate's own rule and its variants as the study compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.gate.dialogue import drive
from pytest_specdec.gate.rule import decide
from pytest_specdec.gate.study.job import Cost, Job, baseline_of
from pytest_specdec.gate.study.world import Suite
from pytest_specdec.gate.terms import Terms
from pytest_specdec.results.decision import SuiteDecision


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One suite under one rule."""

    failed: bool
    """The suite is red."""
    hit_failed: bool
    """The cell with the loss is red."""
    hit_passed: bool
    """The cell with the loss is green."""
    inconclusive: bool
    """The suite is neither."""
    cost: Cost


Contender = Callable[[Suite, int], Trial]
"""Judges a suite; the number is the place of the cell that lost, or of any."""


def landed(
    suite: Suite, hit: int, *, terms: Terms | None = None, baseline: tuple[int, int] = (5, 2), paired: bool = True
) -> Trial:
    """Judge by the rule of this package."""
    job = Job(suite)
    noise = baseline_of(suite, *baseline)
    decision: SuiteDecision = drive(
        decide(noise, terms=terms, engines=suite.engines, paired=None if paired else frozenset()), job.measure
    )
    of_hit = decision.decisions[hit].outcome
    return Trial(
        failed=decision.outcome is Outcome.FAIL,
        hit_failed=of_hit is Outcome.FAIL,
        hit_passed=of_hit in (Outcome.PASS, Outcome.WARN, Outcome.IMPROVED),
        inconclusive=decision.outcome is Outcome.INCONCLUSIVE,
        cost=job.cost,
    )


OURS = "this gate"
LANDED: Mapping[str, Contender] = {
    OURS: landed,
    ".. interim analyses up to 32 pairs": partial(landed, terms=Terms(interims=(4, 8, 12, 16, 24, 32))),
    ".. baseline of 3 x 2": partial(landed, baseline=(3, 2)),
    ".. baseline of one run (noise assumed)": partial(landed, baseline=(1, 1)),
    ".. unpaired": partial(landed, paired=False),
    ".. unpaired, baseline of 10 x 2": partial(landed, baseline=(10, 2), paired=False),
}
