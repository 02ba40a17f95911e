"""What one cell came to: a verdict with the metrics, the checks and the cause that it stands on."""

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
    """As stored; where fresh pairs decided, of the old engine's runs in them."""
    measured: Estimate
    loss: Estimate
    """Relative change in the bad direction: 0.05 is 5 % worse."""
    tolerance: float | None
    """Loss that it may show, the margin of the gate; None: shown, not gated."""
    outcome: Outcome | None
    decision: Decision | None = None
    """What the gate's rule found, where it judged."""

    @property
    def pairs(self) -> int:
        """Fresh pairs of old and new engine that it rests on; 0 where it rests on the stored baseline."""
        return 0 if self.decision is None else self.decision.pairs

    @property
    def matters(self) -> bool:
        """Whether it changed, or should have been decided: what is too noisy for its margin is neither."""
        for_noise = self.decision is not None and bool(self.decision.advisory or not self.decision.gateable)
        open_for_noise = self.outcome is Outcome.INCONCLUSIVE and for_noise
        return self.outcome not in (Outcome.PASS, None) and not open_for_noise


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one cell came to."""

    cell: Cell
    outcome: Outcome
    metrics: tuple[MetricVerdict, ...] = ()
    reason: str = ""
    """Why there is nothing to compare, or what decided."""
    checks: tuple[Decision, ...] = ()
    """Checks that brought their own test: acceptance by prompt, the loss since the first baseline."""
    confirmed: bool = False
    """Whether a gain was shown by fresh pairs of both engines."""
    notes: tuple[str, ...] = ()
    """What a reader must know: another driver, a metric too noisy for its margin."""
    diagnosis: Diagnosis | None = None
    """What the change of a point that regressed or improved is made of."""


def loss_of(metric: str, measured: Estimate, baseline: Estimate) -> Estimate:
    """Relative loss with the uncertainty of both sides."""
    ratio = measured / baseline
    return Estimate(METRICS[metric].loss(measured.value, baseline.value), ratio.half_width)
