"""Hypotheses, the gate's decisions on them, and the summary of a suite."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec

from pytest_specdec.domain.outcome import Outcome


class Hypothesis(NamedTuple):
    """One metric of one cell, as it is tested."""

    cell: str
    metric: str

    def __str__(self) -> str:
        return f"{self.cell} {self.metric}"


Improvement = Literal["", "suspected", "confirmed"]
Whose = Literal["nobody", "machine", "engine", "both", "unknown"]


class Evidence(StrEnum):
    """Data that a decision rests on."""

    SCREEN = "screened"
    """Runs of the candidate against the stored baseline."""
    PAIRS = "paired"
    """Fresh interleaved pairs of both engines."""
    SESSIONS = "unpaired"
    """Fresh server starts of the candidate against the stored baseline: the machine may have changed since."""
    OWN = "own test"
    """A check that brought its own p-values."""
    NONE = "not measured"


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric of one cell. Losses are fractions of the baseline, positive is worse; None where nothing is known."""

    cell: str
    metric: str
    outcome: Outcome
    evidence: Evidence
    loss: float | None = None
    low: float | None = None
    """Lower end of the 95 % interval of the loss."""
    high: float | None = None
    """Upper end: the largest loss that a PASS can have missed, at 2.5 %."""
    log_loss: float | None = None
    """d, the difference of the logarithms (baseline - candidate, bigger is better)."""
    log_se: float | None = None
    runs: int = 0
    """Repeats of the candidate, on the screen and on fresh server starts."""
    pairs: int = 0
    p_adjusted: float | None = None
    """p-value of a loss within the tolerance, adjusted to the suite: FAIL where below alpha."""
    miss_at_margin: float | None = None
    """p-value of a loss of the margin: the chance that a PASS has missed it."""
    detectable: float | None = None
    """Minimum detectable loss, at 80 % power."""
    gateable: bool = True
    """False: too noisy for its margin. Its loss may still be proven, its PASS cannot be expected."""
    advisory: str = ""
    """Reason why it is shown only, and never red; empty when it is gated."""
    improvement: Improvement = ""
    """`suspected`: by the screen; only fresh pairs may make it a new baseline."""
    reason: str = ""


class CommonShift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A shift that all cells share in one metric, and its cause. Log scale, positive is worse."""

    metric: str
    seen: float
    """Robust mean over the cells of the screen's losses."""
    threshold: float
    """Shift from which the cause is measured: sessions of the baseline exceed it among themselves in 4 % of suites."""
    looked_for: bool
    engine: float | None = None
    """The engine's part: what fresh pairs show."""
    engine_se: float | None = None
    machine: float | None = None
    """The machine's part: the rest."""
    p_adjusted: float | None = None
    whose: Whose = "nobody"
    failed: bool = False


class SuiteDecision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole suite."""

    outcome: Outcome
    decisions: tuple[Decision, ...]
    """By cell and metric."""
    common: tuple[CommonShift, ...] = ()
    alpha: float
    """False-alarm promise: chance that a suite without any loss beyond the tolerance FAILs anywhere."""
    alpha_spent: float
    """Part of alpha that the interim analyses have used."""
    miss_at_margin: float
    """Promise: chance that a gateable cell that lost exactly the margin is passed."""
    runner_factor: dict[str, float]
    """Noise of this job / stored noise, by metric; never below 1."""
    noisy_runner: bool
    """The job was more than half as noisy again as its baseline."""
    suspects: int
    looks: int
    """Interim analyses of pairs or sessions."""
    stopped: str = ""
    """Reason why measuring ended before every suspect was decided."""

    @property
    def not_gateable(self) -> tuple[Decision, ...]:
        """Decisions on metrics too noisy for their margin, without advisory ones."""
        return tuple(decision for decision in self.decisions if not decision.gateable and not decision.advisory)

    @property
    def largest_missable_loss(self) -> float | None:
        """Largest loss that a green cell of this suite can have, each at 2.5 %; None when nothing gated passed."""
        green = [d for d in self.decisions if d.outcome is Outcome.PASS and not d.advisory]
        found = [d.high for d in green if d.high is not None]
        return max(found, default=None)


def loss_of_log(difference: float) -> float:
    """Fraction lost from a difference of logarithms: 0.0513 is 5 %."""
    return -math.expm1(-difference)


class FixedDecision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Result of the fixed rule, with its error rates."""

    limit: float
    losses: dict[str, float]
    """Fraction lost, by `cell metric`, of the measured ones."""
    red: tuple[str, ...]
    """Beyond the limit."""
    missing: tuple[str, ...]
    """Not measured: never green."""
    false_alarm: float
    """Chance that a suite without any loss is red by this limit on this noise."""
    detection: float
    """Chance that a loss of exactly the margin in one cell makes that cell red, mean over the hypotheses."""
