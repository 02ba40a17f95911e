"""Measurements and baselines -> the input of a rule: noise, runs as logarithms, checks with their own tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from scipy import stats

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.naming import unique_names
from pytest_specdec.gate.acceptance.check import AcceptanceCheck
from pytest_specdec.gate.acceptance.checks import acceptance_checks
from pytest_specdec.gate.acceptance.context_decay import context_decay
from pytest_specdec.gate.dialogue import ExtraHypothesis
from pytest_specdec.gate.noise import (
    ASSUMED_COMMON_SD,
    ASSUMED_FREEDOM,
    ASSUMED_SESSION_SD,
    CommonNoise,
    Run,
    SuiteNoise,
    fit_noise,
)
from pytest_specdec.gate.presets import BASE_MARGIN, PRESETS, oriented_log
from pytest_specdec.gate.terms import Terms
from pytest_specdec.results.baseline import BaselinePoint, by_session
from pytest_specdec.results.measurement import Measurement

LEAST_RUN_SD = 0.005
"""Assumed of a cell without repeats, however narrow its window's interval: 0.5 % is the quietest of published runs."""
ANCHOR_MARGIN = 0.10
"""Margin of the loss since the first baseline: twice the margin of one step."""
SINCE_ANCHOR = "since the first baseline"
_Z95 = float(stats.norm.ppf(0.975))
_ACCEPTANCE = "acceptance_length"
_NO_NOISE = SuiteNoise(hypotheses=(), common=())


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEvidence:
    """One cell to judge."""

    measured: Measurement
    """Mean of its runs."""
    runs: tuple[Measurement, ...]
    baseline: BaselinePoint

    @property
    def cell(self) -> Cell:
        """The cell of the measurement."""
        return self.measured.cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The input of a rule, before it asks for more."""

    cells: Mapping[str, CellEvidence]
    """By the name under which the rule knows them."""
    noise: SuiteNoise
    """Of the cells whose client kept up: the others have no speed that could be judged, only an acceptance."""
    runs: Mapping[str, Sequence[Run]]
    extras: tuple[ExtraHypothesis, ...]
    checks: Mapping[str, Sequence[AcceptanceCheck]]
    """Acceptance checks, also those that could not be tested."""
    by_prompt: frozenset[str]
    """Cells whose acceptance is judged prompt by prompt, and not as a metric."""

    @property
    def engines(self) -> dict[str, str]:
        """Engine of each cell, whose starts its cells share."""
        return {name: str(evidence.cell.engine) for name, evidence in self.cells.items()}

    def run(self, name: str, measurement: Measurement) -> Run:
        """A measurement of a cell as the rule reads it."""
        return observed(measurement, self.cells[name].baseline, by_prompt=name in self.by_prompt)


def build(evidence: Sequence[CellEvidence], selftest: SuiteNoise | None = None) -> Case:
    """Bring a suite to the form that the rule judges.

    Acceptance is judged prompt by prompt where both sides count so, else as a metric like the others.
    """
    cells = named(evidence)
    checks = _checks(cells)
    paired = {
        name: tuple(check for check in found if check.label == "paired by prompt") for name, found in checks.items()
    }
    sessions = {
        name: {
            f"{session[0].session or i}": [
                _stored_run(run.values, one, by_prompt=bool(paired[name])) for run in session
            ]
            for i, session in enumerate(by_session(one.baseline.runs))
        }
        for name, one in cells.items()
        if not one.measured.client_limited
    }
    requests = {
        name: min(run.requests for run in one.baseline.runs)
        for name, one in cells.items()
        if all(run.requests for run in one.baseline.runs)
    }
    prior = _prior(list(cells.values()), selftest)
    noise = _NO_NOISE if not sessions else _floored(fit_noise(sessions, prior=prior, requests=requests), cells)
    extras = [extra for name in cells for check in paired[name] if (extra := _of_check(name, check)) is not None]
    extras += [extra for name, one in cells.items() if (extra := _since_anchor(name, one, noise)) is not None]
    return Case(
        cells=cells,
        noise=noise,
        runs={
            name: [observed(run, one.baseline, by_prompt=bool(paired[name])) for run in one.runs]
            for name, one in cells.items()
            if name in sessions
        },
        extras=tuple(extras),
        checks={name: found for name, found in checks.items() if found},
        by_prompt=frozenset(name for name, found in paired.items() if found),
    )


def observed(measurement: Measurement, baseline: BaselinePoint, *, by_prompt: bool) -> Run:
    """A measurement as the rule reads it: logarithms of what its baseline has too, bigger is better."""
    keys = _gated(baseline, by_prompt=by_prompt)
    return _logs({key: measurement.values[key] for key in keys if key in measurement.values})


def named(evidence: Sequence[CellEvidence]) -> dict[str, CellEvidence]:
    """Give each cell of a suite a name of its own, see `unique_names`."""
    names = unique_names([one.cell for one in evidence])
    return {names[one.cell]: one for one in evidence}


def window_sd(estimate: Estimate | None) -> float | None:
    """Standard deviation of the logarithm that a window claims of its own value; None when it claims none."""
    return None if estimate is None or estimate.relative is None else estimate.relative / _Z95


def _gated(baseline: BaselinePoint, *, by_prompt: bool) -> list[str]:
    return [
        key
        for key in PRESETS
        if all(key in run.values for run in baseline.runs) and not (by_prompt and key == _ACCEPTANCE)
    ]


def _stored_run(values: Mapping[str, Estimate], one: CellEvidence, *, by_prompt: bool) -> Run:
    return _logs({key: values[key] for key in _gated(one.baseline, by_prompt=by_prompt)})


def _logs(values: Mapping[str, Estimate]) -> Run:
    usable = {key: value.value for key, value in values.items() if value.value > 0 and math.isfinite(value.value)}
    return {key: oriented_log(key, value) for key, value in usable.items()}


def _prior(cells: Sequence[CellEvidence], selftest: SuiteNoise | None) -> SuiteNoise:
    """Noise assumed of a cell without repeats: that of a selftest, else that of its own windows."""
    return SuiteNoise(hypotheses=(), common=tuple(_prior_of(key, cells, selftest) for key in PRESETS))


def _prior_of(metric: str, cells: Sequence[CellEvidence], selftest: SuiteNoise | None) -> CommonNoise:
    known = selftest.common_of(metric) if selftest else None
    if known is not None:
        return known
    scale = PRESETS[metric].margin / BASE_MARGIN
    claimed = [sd for one in cells for run in one.baseline.runs if (sd := window_sd(run.values.get(metric)))]
    typical = float(np.sqrt(np.mean(np.square(claimed)))) if claimed else 0.0
    return CommonNoise(
        metric=metric,
        common_sd=ASSUMED_COMMON_SD * scale,
        freedom=2 * ASSUMED_FREEDOM,
        sessions=0,
        run_sd=max(typical, LEAST_RUN_SD * scale),
        session_sd=ASSUMED_SESSION_SD * scale,
        source="assumed",
    )


def _floored(noise: SuiteNoise, cells: Mapping[str, CellEvidence]) -> SuiteNoise:
    """No run is quieter than its window says, where that is much more than the baseline's noise: a shorter window."""
    hypotheses = []
    for one in noise.hypotheses:
        claimed = [window_sd(run.values.get(one.metric)) or 0.0 for run in cells[one.cell].runs]
        own = max(claimed, default=0.0)
        hypotheses.append(msgspec.structs.replace(one, run_sd=own) if own > 2 * one.run_sd else one)
    return msgspec.structs.replace(noise, hypotheses=tuple(hypotheses))


def _checks(cells: Mapping[str, CellEvidence]) -> dict[str, tuple[AcceptanceCheck, ...]]:
    """Acceptance checks of each cell, and of cells that differ in input length together."""
    found = {name: acceptance_checks(one.measured, one.baseline.runs) for name, one in cells.items()}
    names = {one.cell: name for name, one in cells.items()}
    lengths = {
        cell: check for cell, name in names.items() for check in found[name] if check.name == "acceptance_length"
    }
    for (_, longer), check in context_decay(lengths).items():
        found[names[longer]] += (check,)
    return found


def _of_check(name: str, check: AcceptanceCheck) -> ExtraHypothesis | None:
    if check.p_value is None or check.p_holds is None:
        return None
    return ExtraHypothesis(
        name=check.name,
        cell=name,
        p_loss=check.p_value,
        p_margin=check.p_holds if check.must_hold and _can_hold(check) else 0.0,
        loss=check.estimate,
        reason=check.words,
    )


def _can_hold(check: AcceptanceCheck) -> bool:
    """True with enough prompts to show that nothing fell; with fewer the check can only raise an alarm."""
    return check.interval is not None and check.interval[1] - check.interval[0] < 2 * check.margin


def _since_anchor(name: str, one: CellEvidence, noise: SuiteNoise) -> ExtraHypothesis | None:
    """Test of small losses that add up since the first baseline; None while the baseline is the first one."""
    anchor, key = one.baseline.anchor, "total_tok_s_gpu"
    model = next((h for h in noise.hypotheses if (h.cell, h.metric) == (name, key)), None)
    stored_at = {run.measured_at for run in one.baseline.runs}
    if anchor is None or anchor.measured_at in stored_at or model is None or key not in anchor.values:
        return None
    loss = oriented_log(key, anchor.values[key].value) - oriented_log(key, one.measured.values[key].value)
    # The two were measured on different starts, perhaps on different days, of one run or more each.
    error = model.single_run_sd * math.sqrt(2)
    beyond = (loss + math.log1p(-ANCHOR_MARGIN)) / error
    lost = -math.expm1(-loss)
    return ExtraHypothesis(
        name=SINCE_ANCHOR,
        cell=name,
        p_loss=float(stats.t.sf(beyond, model.freedom)),
        p_margin=float(stats.t.cdf(beyond, model.freedom)),
        loss=lost,
        reason=f"throughput {-lost:+.1%} since the first baseline of {anchor.measured_at[:10]} ({anchor.version}); "
        f"margin in all {ANCHOR_MARGIN:.0%}",
    )


EXTRA_SHARE = 0.2
"""Of alpha, for checks that bring their own test; none is set aside where there are none."""


def terms_of(case: Case, terms: Terms) -> Terms:
    """The same terms for a case: alpha is shared with checks of their own where there are any."""
    return msgspec.structs.replace(terms, extra_share=EXTRA_SHARE if case.extras else 0.0)
