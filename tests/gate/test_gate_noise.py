"""The noise model: known components are found again, few runs lean on assumptions, and degenerate input is told."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import examples

from pytest_specdec.domain.metric import METRICS, Limits
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.gate.family import family_of
from pytest_specdec.gate.noise import (
    ASSUMED_COMMON_SD,
    ASSUMED_FREEDOM,
    ASSUMED_RUN_SD,
    ASSUMED_SESSION_SD,
    SMALLEST_SD,
    SuiteNoise,
    fit_noise,
)
from pytest_specdec.gate.presets import PRESETS, oriented_log
from pytest_specdec.gate.terms import Terms
from pytest_specdec.gate.variances import Prior, fit_prior, squeeze

METRIC = "total_tok_s_gpu"


def sessions_of(values: Any, metric: str = METRIC) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Cells x sessions x runs as the model takes them."""
    return {
        f"c{i:03d}": {f"s{j}": [{metric: float(v)} for v in runs] for j, runs in enumerate(of_cell)}
        for i, of_cell in enumerate(values)
    }


def world(run_sd: float, start_sd: float, common_sd: float, shape: tuple[int, int, int]) -> Any:
    """Cells x sessions x runs."""
    random = np.random.default_rng(7)
    shift = common_sd * random.standard_normal((1, shape[1], 1))
    start = start_sd * random.standard_normal((*shape[:2], 1))
    return 3.0 + shift + start + run_sd * random.standard_normal(shape)


# Smyth's moments as limma computes them: values of fitFDist and squeezeVar of limma-py 0.1.0.
LIMMA = np.array([0.8, 1.5, 0.3, 2.2, 1.1, 4.0, 0.6, 0.9])


def test_the_prior_of_variances_is_that_of_limma() -> None:
    prior = fit_prior(LIMMA, np.full(8, 5.0))
    assert prior.variance == pytest.approx(1.2504735529201503, rel=1e-9)
    assert prior.freedom == pytest.approx(14.894266338986682, rel=1e-9)
    unequal = fit_prior(LIMMA, np.array([5, 4, 5, 3, 5, 2, 5, 6], dtype=float))
    assert unequal.variance == pytest.approx(1.3467145396273985, rel=1e-9)
    assert unequal.freedom == pytest.approx(16.46182380061252, rel=1e-9)


def test_variances_that_differ_by_chance_only_have_one_common_value() -> None:
    prior = fit_prior(np.array([1.0, 1.1, 0.9, 1.05, 0.95]), np.full(5, 4.0))
    assert prior.variance == pytest.approx(1.0)
    assert prior.freedom == math.inf


def test_shrunk_variances_are_those_of_limma() -> None:
    shrunk = squeeze(LIMMA, np.full(8, 5.0), Prior(99.0, 4.0))
    expected = [1.13725662, 1.31318671, 1.01159228, 1.4891168, 1.21265523, 1.94150845, 1.08699088, 1.16238949]
    np.testing.assert_allclose(shrunk.variance, expected, rtol=1e-7)
    np.testing.assert_allclose(shrunk.freedom, 5 + 14.894266338986682)


def test_a_cell_without_repeats_gets_what_its_suite_has_in_common() -> None:
    freedom = np.array([5.0] * 8 + [0.0])
    shrunk = squeeze(np.append(LIMMA, 0.0), freedom, Prior(99.0, 4.0))
    assert shrunk.variance[-1] == pytest.approx(1.2504735529201503)


@examples(50)
@given(st.lists(st.floats(1e-8, 1e4), min_size=3, max_size=30), st.floats(1, 50))
def test_shrinking_moves_every_variance_towards_the_prior(variances: list[float], freedom: float) -> None:
    variance = np.array(variances)
    shrunk = squeeze(variance, np.full(len(variance), freedom), Prior(1.0, 4.0))
    low, high = np.minimum(variance, shrunk.prior.variance), np.maximum(variance, shrunk.prior.variance)
    assert ((shrunk.variance >= low * (1 - 1e-9)) & (shrunk.variance <= high * (1 + 1e-9))).all()


def test_known_components_are_found_again() -> None:
    noise = fit_noise(sessions_of(world(0.01, 0.004, 0.006, (300, 12, 3))))
    (common,) = noise.common
    rows = noise.hypotheses
    assert common.common_sd == pytest.approx(0.006, rel=0.5)  # eleven degrees of freedom
    assert np.mean([row.run_sd for row in rows]) == pytest.approx(0.01, rel=0.03)
    between = np.sqrt(np.mean([row.session_sd**2 for row in rows]))
    assert between == pytest.approx(math.hypot(0.004, common.common_sd), rel=0.1)
    assert [row.mean for row in rows] == pytest.approx([3.0] * 300, abs=0.02)
    assert {row.source for row in rows} == {"measured"}
    starts = family_of(noise, Terms()).start_variance
    assert np.sqrt(starts.mean()) == pytest.approx(0.004, rel=0.15)


def test_one_outlier_does_not_make_a_noisy_cell() -> None:
    values = world(0.01, 0.0, 0.0, (50, 5, 2))
    clean = fit_noise(sessions_of(values)).hypotheses[0].run_sd
    values[0, 0, 0] -= 0.5
    hit = fit_noise(sessions_of(values)).hypotheses[0]
    assert hit.run_sd < 3 * clean
    assert hit.mean == pytest.approx(3.0, abs=0.02)


def test_one_run_stands_on_the_assumed_noise_and_says_so() -> None:
    noise = fit_noise(sessions_of([[[3.0]], [[4.0]]]))
    row = noise.hypotheses[0]
    assert row.run_sd == pytest.approx(ASSUMED_RUN_SD)
    assert row.session_sd == pytest.approx(ASSUMED_SESSION_SD)
    assert (row.source, noise.source, row.freedom) == ("assumed", "assumed", ASSUMED_FREEDOM)
    assert noise.common[0].common_sd == ASSUMED_COMMON_SD


def test_assumed_noise_grows_with_the_margin_of_its_metric() -> None:
    noise = fit_noise(sessions_of([[[3.0]]], metric="ttft_p50_ms"))
    assert noise.hypotheses[0].run_sd == pytest.approx(2 * ASSUMED_RUN_SD)


def test_a_selftest_takes_the_place_of_assumptions() -> None:
    tested = fit_noise(sessions_of(world(0.02, 0.003, 0.004, (40, 6, 2))), source="selftest")
    noise = fit_noise(sessions_of([[[3.0]]]), prior=tested)
    assert noise.hypotheses[0].run_sd == pytest.approx(tested.common[0].run_sd)
    assert noise.common[0].common_sd == tested.common[0].common_sd
    assert (tested.source, noise.source) == ("selftest", "selftest")


def test_one_session_of_many_runs_measures_what_lies_within_only() -> None:
    noise = fit_noise(sessions_of(world(0.003, 0.0, 0.0, (30, 1, 4))))
    assert np.mean([row.run_sd for row in noise.hypotheses]) == pytest.approx(0.003, rel=0.1)
    assert np.mean([row.session_sd for row in noise.hypotheses]) == pytest.approx(ASSUMED_SESSION_SD, rel=0.1)
    assert noise.source == "assumed"


def test_sessions_of_one_run_measure_the_sum_and_split_it_as_assumed() -> None:
    noise = fit_noise(sessions_of(world(0.01, 0.01, 0.0, (100, 6, 1))))
    total = np.sqrt(np.mean([row.single_run_sd**2 for row in noise.hypotheses]))
    assert total == pytest.approx(math.hypot(0.01, 0.01), rel=0.1)
    row = noise.hypotheses[0]
    assert row.run_sd / row.session_sd == pytest.approx(ASSUMED_RUN_SD / ASSUMED_SESSION_SD)


def test_unequal_sessions_and_runs_are_taken_as_they_are() -> None:
    sessions = sessions_of(world(0.01, 0.003, 0.0, (6, 4, 3)))
    del sessions["c000"]["s3"]
    sessions["c001"]["s0"] = sessions["c001"]["s0"][:1]
    noise = fit_noise(sessions)
    first, second = noise.hypotheses[:2]
    assert (first.sessions, first.runs, second.sessions, second.runs) == (3, 9, 4, 10)
    assert second.runs_per_session == pytest.approx(4 / (1 + 3 / 3))


def test_equal_values_are_not_taken_for_certainty() -> None:
    noise = fit_noise(sessions_of(np.full((3, 3, 2), 3.0)))
    assert {row.run_sd for row in noise.hypotheses} == {SMALLEST_SD}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(InvalidInputError, match=r"c000 total_tok_s_gpu is (nan|inf)"):
        fit_noise(sessions_of([[[3.0, value]]]))


def test_a_baseline_without_a_gated_metric_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no runs of any gated metric"):
        fit_noise({"c": {"s": [{"decoding_streams": 1.0}]}})


def test_noise_comes_back_from_json() -> None:
    noise = fit_noise(sessions_of(world(0.01, 0.003, 0.005, (5, 3, 2))), requests={"c000": 64})
    assert msgspec.json.decode(msgspec.json.encode(noise), type=SuiteNoise) == noise
    assert noise.hypotheses[0].requests == 64


def test_a_noisy_cell_is_not_gateable_and_says_what_it_detects() -> None:
    values = world(0.005, 0.0, 0.0, (20, 6, 4))
    values[3] = 3.0 + 12 * (values[3] - 3.0)
    family = family_of(fit_noise(sessions_of(values)), Terms())
    assert list(np.flatnonzero(~family.gateable)) == [3]
    assert 0.05 < family.detectable[3] < 0.2
    assert 0.01 < family.detectable[0] < 0.05


def test_every_gated_metric_has_a_direction_and_cost_is_not_tested_twice() -> None:
    assert not {"cost_usd_mtok", "tok_s_mw", "j_tok", "tpot_p50_ms"} & set(PRESETS)
    assert all(METRICS[key].better for key in PRESETS)
    for margin, tolerance in ((0.05, 0.05), (0.05, 0.06), (1.0, 0.01), (0.05, -0.01)):
        with pytest.raises(InvalidInputError, match="tolerance"):
            Limits(margin=margin, tolerance=tolerance)


def test_logarithms_are_turned_so_that_bigger_is_better() -> None:
    assert oriented_log("total_tok_s_gpu", 2.0) == pytest.approx(math.log(2))
    assert oriented_log("ttft_p50_ms", 2.0) == pytest.approx(-math.log(2))
    for value in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InvalidInputError, match="positive, finite"):
            oriented_log("ttft_p50_ms", value)
