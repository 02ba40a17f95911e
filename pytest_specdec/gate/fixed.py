"""The fixed rule: red beyond X %, whatever the noise; with its false-alarm rate and power on the noise at hand.

Its false-alarm rate follows from the noise model: with one candidate session, a clean cell shows a loss that is normal
with variance `run_var (1 / n + 1 / (sessions x runs)) + start_var (1 + 1 / sessions)` around what all cells share; that
is normal itself, with variance `g^2 (1 + 1 / sessions)`. Outliers and tails come on top: the real rate is higher.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy import special

from pytest_specdec.domain.metric import Limits
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.gate.common_shift import common_spread
from pytest_specdec.gate.evidence import Case, CellEvidence, terms_of
from pytest_specdec.gate.family import Family, family_of
from pytest_specdec.gate.noise import Run, SuiteNoise
from pytest_specdec.gate.presets import PRESETS
from pytest_specdec.gate.ruling import Answer, Pairs, RuleOptions, Ruling
from pytest_specdec.gate.screen import screen_values
from pytest_specdec.gate.terms import Terms
from pytest_specdec.gate.variances import Array
from pytest_specdec.gate.verdicts import SHOWN, judge_checks, limited_verdict
from pytest_specdec.results.decision import FixedDecision, loss_of_log
from pytest_specdec.results.verdict import MetricVerdict, Verdict, loss_of
from pytest_specdec.speculation.diagnosis import diagnose

_NODES = 64
"""Of the quadrature over the common shift."""


def judge(case: Case, options: RuleOptions, answer: Answer, pairs: Pairs) -> Ruling:  # noqa: ARG001
    """Give each cell its verdict; the rule asks for no further run."""
    if not case.noise.hypotheses:
        return Ruling(verdicts=judge_checks(case, terms_of(case, Terms(alpha=options.alpha))))
    fixed = decide_fixed(case.noise, case.runs, options.fixed_margin)
    found = {evidence.cell: _verdict(name, evidence, fixed) for name, evidence in case.cells.items()}
    return Ruling(verdicts=found, fixed=fixed)


def decide_fixed(
    noise: SuiteNoise, runs: Mapping[str, Sequence[Run]], limit: float, *, presets: Mapping[str, Limits] = PRESETS
) -> FixedDecision:
    """Judge by a fixed limit: the mean of the candidate's runs against the stored mean.

    Args:
        noise: The stored baseline.
        runs: Of the candidate, by cell.
        limit: Loss from which a hypothesis is red: 0.05 is 5 %.
        presets: Metrics that are gated.

    Raises:
        InvalidInputError: the limit does not lie between 0 and 1, or a value is not finite.
    """
    family = family_of(noise, Terms(), presets)
    values = screen_values(family, runs)
    count = np.sum(~np.isnan(values), axis=1)
    means = np.nansum(values, axis=1) / np.maximum(count, 1)
    gated = family.gated
    losses, missing = {}, []
    for row, hypothesis in enumerate(family.hypotheses):
        if count[row]:
            losses[str(hypothesis)] = loss_of_log(float(family.mean[row] - means[row]))
        elif gated[row]:
            missing.append(str(hypothesis))
    allowed = {str(hypothesis) for hypothesis, is_gated in zip(family.hypotheses, gated, strict=True) if is_gated}
    per_cell = max(int(np.median(count[count > 0])), 1) if (count > 0).any() else 1
    return FixedDecision(
        limit=limit,
        losses=losses,
        red=tuple(name for name, loss in losses.items() if name in allowed and loss > limit),
        missing=tuple(missing),
        false_alarm=false_alarm_of_fixed(family, limit, per_cell),
        detection=detection_of_fixed(family, limit, per_cell),
    )


def false_alarm_of_fixed(family: Family, limit: float, runs: int) -> float:
    """Chance that any hypothesis of a clean suite shows a loss beyond the limit.

    Within one metric the cells are independent given the common shift, which is integrated out by Gauss-Hermite
    quadrature. Metrics are taken for independent, which overstates the rate where they move together.
    """
    bound, own = _log_limit(limit), _spread(family, runs)
    nodes, weights = hermegauss(_NODES)
    weights = weights / weights.sum()
    quiet = 1.0
    for index, metric in enumerate(family.metrics):
        rows = (family.metric == index) & family.gated
        common = family.noise.common_of(metric)
        shared = common_spread(common) if common else 0.0
        logs = special.log_ndtr((bound - shared * nodes[:, None]) / own[rows][None, :]).sum(axis=1)
        quiet *= float(weights @ np.exp(logs))
    return 1.0 - quiet


def detection_of_fixed(family: Family, limit: float, runs: int) -> float:
    """Chance that a loss of exactly its margin makes a hypothesis red, mean over the hypotheses."""
    if not family.gated.any():
        return 0.0
    shared = {metric: common_spread(common) if (common := family.noise.common_of(metric)) else 0.0
              for metric in family.metrics}  # fmt: skip
    total = np.hypot(_spread(family, runs), [shared[h.metric] for h in family.hypotheses])
    return float(np.mean(special.ndtr((family.far - _log_limit(limit)) / total)[family.gated]))


def _spread(family: Family, runs: int) -> Array:
    stored = family.sessions * family.runs_per_session
    between = family.start_variance * (1 + 1 / family.sessions)
    return np.asarray(np.sqrt(family.run_variance * (1 / runs + 1 / stored) + between))


def _log_limit(limit: float) -> float:
    if not 0 < limit < 1:
        raise InvalidInputError(f"a fixed limit lies between 0 and 1 (0.05 is 5 %), not at {limit:g}")
    return -math.log1p(-limit)


def _verdict(name: str, one: CellEvidence, fixed: FixedDecision) -> Verdict:
    if one.measured.client_limited:
        return limited_verdict(one, ())
    stored, now = one.baseline.values(), one.measured.values
    judged = {key: f"{name} {key}" for key in PRESETS}
    metrics = []
    for key in dict.fromkeys((*judged, *SHOWN)):
        if key in stored and key in now:
            decided = Outcome.REGRESSED if judged.get(key) in fixed.red else Outcome.PASS
            limit, outcome = (fixed.limit, decided) if judged.get(key) in fixed.losses else (None, None)
            loss = loss_of(key, now[key], stored[key])
            metric = MetricVerdict(
                metric=key, baseline=stored[key], measured=now[key], loss=loss, tolerance=limit, outcome=outcome
            )
            metrics.append(metric)
    missing = [key for key in PRESETS if judged[key] in fixed.missing]
    red = any(metric.outcome is Outcome.REGRESSED for metric in metrics)
    if missing and not red:
        reason = f"{', '.join(missing)} in the baseline, not in this measurement"
        return Verdict(cell=one.cell, outcome=Outcome.INCONCLUSIVE, metrics=tuple(metrics), reason=reason)
    return Verdict(
        cell=one.cell,
        outcome=Outcome.REGRESSED if red else Outcome.PASS,
        metrics=tuple(metrics),
        diagnosis=diagnose(stored, now) if red else None,
    )
