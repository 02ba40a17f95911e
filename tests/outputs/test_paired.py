"""Exact tests on pairs: their promises hold, by enumeration and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_specdec.outputs.paired import POWER, Background, Paired

ALPHA = 0.01
TRIALS = 4000


def pairs(prompts: int, only_candidate: int, only_control: int) -> Paired:
    return Paired(prompts=prompts, only_candidate=only_candidate, only_control=only_control)


def simulated(candidate: float, control: float, prompts: int, seed: int = 1) -> list[Paired]:
    """Prompts that differ in how easily they go wrong, by a beta distribution with these means."""
    rng = np.random.default_rng(seed)
    ease = rng.beta(0.5, 0.5 / control - 0.5, (TRIALS, prompts))
    more = np.clip(ease + (candidate - control), 0, 1)
    ours, theirs = rng.random(ease.shape) < more, rng.random(ease.shape) < ease
    rows = zip((ours & ~theirs).sum(1).tolist(), (theirs & ~ours).sum(1).tolist(), strict=True)
    return [pairs(prompts, a, b) for a, b in rows]


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_counting_keeps_every_prompt(found: list[tuple[bool, bool]]) -> None:
    counted = Paired.count(found)
    assert counted.candidate == sum(a for a, _ in found)
    assert counted.control == sum(b for _, b in found)
    assert counted.prompts == len(found)


@given(st.integers(1, 80), st.data())
def test_without_tolerance_it_is_mcnemar_s_exact_test(prompts: int, data: st.DataObject) -> None:
    ours = data.draw(st.integers(0, prompts))
    theirs = data.draw(st.integers(0, prompts - ours))
    expected = 1.0 if ours + theirs == 0 else stats.binomtest(ours, ours + theirs, 0.5, alternative="greater").pvalue
    assert pairs(prompts, ours, theirs).p_value() == pytest.approx(expected)


@settings(deadline=None)
@given(st.integers(2, 60), st.sampled_from([0.0, 0.05, 0.1, 0.2]), st.data())
def test_more_with_the_candidate_is_never_less_suspicious(prompts: int, tolerance: float, data: st.DataObject) -> None:
    ours = data.draw(st.integers(0, prompts - 1))
    theirs = data.draw(st.integers(0, prompts - 1 - ours))
    p_value = pairs(prompts, ours, theirs).p_value(tolerance)
    assert 0 <= p_value <= 1
    assert pairs(prompts, ours + 1, theirs).p_value(tolerance) <= p_value + 1e-9
    assert pairs(prompts, ours, theirs + 1).p_value(tolerance) >= p_value - 1e-9


@pytest.mark.parametrize("prompts", [10, 40, 90])
@pytest.mark.parametrize("tolerance", [0.05, 0.1, 0.3])
def test_at_the_tolerance_the_test_keeps_its_level_whatever_the_control_shows(prompts: int, tolerance: float) -> None:
    for control in (0.0, 0.004, 0.03, 0.1, 0.33):
        # Enumerated: the chance of every outcome, and which of them are rejected.
        ours, theirs = np.indices((prompts + 1, prompts + 1))
        rest = prompts - ours - theirs
        chances = [control + tolerance, control, 1 - tolerance - 2 * control]
        table = stats.multinomial(prompts, chances).pmf(np.stack([ours, theirs, np.maximum(rest, 0)], axis=-1))
        rejected = sum(
            table[a, b]
            for a in range(prompts + 1)
            for b in range(prompts + 1 - a)
            if pairs(prompts, a, b).p_value(tolerance) <= ALPHA
        )
        assert rejected <= ALPHA * 1.02  # between the rates that are tried it may rise a little


@pytest.mark.parametrize("control", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("prompts", [20, 60])
def test_equal_rates_raise_no_more_false_alarms_than_promised(control: float, prompts: int) -> None:
    for tolerance in (0.0, 0.1):
        alarms = sum(found.p_value(tolerance) <= ALPHA for found in simulated(control, control, prompts))
        assert alarms <= stats.binom.ppf(0.999, TRIALS, ALPHA)


def test_the_smallest_visible_excess_is_seen_as_often_as_said() -> None:
    for control, tolerance in ((0.05, 0.0), (0.05, 0.1), (0.001, 0.1)):
        noise = pairs(100, 0, round(100 * control))
        excess = noise.smallest_visible(ALPHA, tolerance)
        assert excess is not None
        # A control that shows it on other prompts than the candidate: the hardest case.
        rng = np.random.default_rng(3)
        rate = (noise.only_control + 0.5) / 101 if noise.only_control else 0.0
        drawn = rng.multinomial(100, [rate + excess, rate, 1 - excess - 2 * rate], TRIALS)
        seen = np.mean([pairs(100, a, b).p_value(tolerance) <= ALPHA for a, b, _ in drawn.tolist()])
        assert seen == pytest.approx(POWER, abs=0.03)


def test_more_prompts_see_smaller_differences_and_few_see_none() -> None:
    visible = [pairs(prompts, 0, 0).smallest_visible(ALPHA, 0.1) for prompts in (30, 60, 120, 240)]
    assert visible == sorted(visible, key=lambda value: -(value or 0))
    assert pairs(4, 0, 0).smallest_visible(ALPHA) is None
    assert pairs(0, 0, 0).smallest_visible(ALPHA) is None
    assert pairs(0, 0, 0).p_value(0.1) == 1


class TestBackground:
    seldom = Background(0.5, 500)
    never = Background(0.5, 1e6)

    def test_of_a_thing_that_never_happens_one_finding_is_enough(self) -> None:
        assert self.never.p_value(pairs(200, 1, 0)) < 2e-4
        assert self.never.p_value(pairs(200, 0, 0)) == 1

    def test_of_a_thing_that_seldom_happens_three_of_sixty_are_too_many(self) -> None:
        assert self.seldom.p_value(pairs(60, 1, 0)) > ALPHA
        assert ALPHA / 3 < self.seldom.p_value(pairs(60, 2, 0)) < ALPHA
        assert self.seldom.p_value(pairs(60, 3, 0)) < ALPHA / 8

    def test_a_control_that_shows_it_is_the_measure(self) -> None:
        assert self.never.p_value(pairs(60, 2, 1)) == pairs(60, 2, 1).p_value() == 0.5
        both = Paired(prompts=60, only_candidate=0, only_control=0, both=5)
        assert self.never.p_value(both) == 1

    def test_an_engine_as_healthy_as_stated_is_not_accused(self) -> None:
        rng = np.random.default_rng(5)
        drawn = rng.binomial(60, 0.001, (TRIALS, 2)).tolist()
        alarms = sum(self.seldom.p_value(pairs(60, a, b)) <= ALPHA for a, b in drawn)
        assert alarms <= stats.binom.ppf(0.999, TRIALS, ALPHA)

    def test_one_ten_times_less_healthy_than_stated_is_accused_in_one_of_ten_at_most(self) -> None:
        rng = np.random.default_rng(6)
        drawn = rng.binomial(60, 0.01, (TRIALS, 2)).tolist()
        assert sum(self.seldom.p_value(pairs(60, a, b)) <= ALPHA for a, b in drawn) < 0.1 * TRIALS

    def test_the_smallest_visible_share_is_seen_as_often_as_said(self) -> None:
        for background in (self.seldom, self.never):
            share = background.smallest_visible(60, ALPHA)
            assert share is not None
            needed = next(k for k in range(61) if background.p_value(pairs(60, k, 0)) <= ALPHA)
            assert stats.binom.sf(needed - 1, 60, share) == pytest.approx(POWER)
        assert self.never.smallest_visible(0, ALPHA) is None
