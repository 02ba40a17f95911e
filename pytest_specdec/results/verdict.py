"""The verdict of one cell, with the metrics, the checks and the diagnosis that it rests on."""

from __future__ import annotations

import msgspec

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.results.decision import Decision
from pytest_specdec.speculation.diagnosis import Diagnosis


class MetricVerdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric of one cell against its baseline."""

    metric: str
    """Key of `metric.METRICS`, or the name of a check with a test of its own."""
    baseline: Estimate
    """As stored; where fresh pairs decided, of the reference engine in them."""
    measured: Estimate
    loss: Estimate
    """Relative change in the bad direction: 0.05 is 5 % worse."""
    tolerance: float | None
    """Margin of the gate; None for a metric that is shown only."""
    outcome: Outcome | None
    decision: Decision | None = None
    """Decision of the gate's rule, where it judged."""

    @property
    def pairs(self) -> int:
        """Fresh pairs of reference and candidate that it rests on; 0 where it rests on the stored baseline."""
        return 0 if self.decision is None else self.decision.pairs

    @property
    def matters(self) -> bool:
        """True for a change or an undecided metric; false for one too noisy for its margin."""
        for_noise = self.decision is not None and bool(self.decision.advisory or not self.decision.gateable)
        open_for_noise = self.outcome is Outcome.INCONCLUSIVE and for_noise
        return self.outcome not in (Outcome.PASS, None) and not open_for_noise


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Judgement of one cell."""

    cell: Cell
    outcome: Outcome
    metrics: tuple[MetricVerdict, ...] = ()
    reason: str = ""
    """Reason why there is nothing to compare, or the reason that decided."""
    checks: tuple[Decision, ...] = ()
    """Checks that brought their own test: acceptance by prompt, the loss since the first baseline."""
    confirmed: bool = False
    """True for a gain that pairs of both engines show."""
    notes: tuple[str, ...] = ()
    """Remarks, such as another driver or a metric too noisy for its margin."""
    diagnosis: Diagnosis | None = None
    """Parts of the change of a point that regressed or improved."""


def loss_of(metric: str, measured: Estimate, baseline: Estimate) -> Estimate:
    """Return the relative loss with the uncertainty of both sides."""
    ratio = measured / baseline
    return Estimate(METRICS[metric].loss(measured.value, baseline.value), ratio.half_width)
