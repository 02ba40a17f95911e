"""The rule where no further run can be had: published results, runs of last week, an endpoint that is gone.

Every hypothesis is tested on the very runs that would have selected it, so alpha is split over all of them and not over
suspects only; and as in the unpaired fallback a FAIL needs a loss beyond the margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pytest_specdec.domain.metric import Limits
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.gate.common_shift import common_shifts, judge_unpaired
from pytest_specdec.gate.confirm import ENOUGH_RUNS, OUTLIER, Question, levels, settle
from pytest_specdec.gate.family import family_of
from pytest_specdec.gate.interim import Interim
from pytest_specdec.gate.judgement import Findings, conclude
from pytest_specdec.gate.noise import Run, SuiteNoise
from pytest_specdec.gate.presets import PRESETS
from pytest_specdec.gate.screen import passes, runner_factors, screen, screen_values
from pytest_specdec.gate.terms import Terms
from pytest_specdec.results.decision import SuiteDecision


def decide_at_once(
    noise: SuiteNoise,
    runs: Mapping[str, Sequence[Run]],
    *,
    terms: Terms | None = None,
    presets: Mapping[str, Limits] = PRESETS,
) -> SuiteDecision:
    """Decide over a suite from the runs that there are.

    Args:
        noise: The stored baseline.
        runs: Of the candidate, by cell, all of one session.
        terms: Error rates; interim analyses do not matter.
        presets: Margin and tolerance by metric.

    Raises:
        InvalidInputError: no hypothesis, or a value that is not finite.
    """
    terms = terms or Terms()
    family = family_of(noise, terms, presets)
    if not family.hypotheses:
        raise InvalidInputError("no cell has a baseline of a gated metric, so there is nothing to judge")
    values = screen_values(family, runs)
    factors = runner_factors(family, values)
    factor = np.array([factors[hypothesis.metric] for hypothesis in family.hypotheses])
    screened = screen(family, values, factor)
    level = terms.alpha * terms.common_share / len(family.metrics)
    common = [judge_unpaired(one, level, terms.alpha) for one in common_shifts(family, screened)]
    interim = Interim(loss=screened.loss, se=screened.se, freedom=screened.freedom, count=screened.runs.astype(float))
    gated = family.gated & (screened.runs > 0)
    share = 1 / max(int(gated.sum()), 1)
    open_rows = np.flatnonzero(gated & ~passes(family, screened, terms))
    questions = [Question(row=int(row), sign=1, share=share) for row in open_rows]
    for question in questions:
        far = float(family.far[question.row])
        single = screened.runs[question.row] < ENOUGH_RUNS
        limits = (far + OUTLIER * single, far)
        settle(question, interim, question.row, limits, levels(terms, share, 1.0))
    found = Findings(
        family=family,
        terms=terms,
        able=frozenset(),
        factors=factors,
        common=common,
        questions=questions,
        fresh={q.row: _as_it_stands(interim, q.row) for q in questions},
        interims=1,
        spent=level * len(common) + terms.alpha * terms.confirm_share,
    )
    found.screened = screened
    return conclude(found)


def _as_it_stands(interim: Interim, row: int) -> tuple[float, float, float, int]:
    return float(interim.loss[row]), float(interim.se[row]), float(interim.freedom[row]), 0
