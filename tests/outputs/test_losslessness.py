"""MTP against Off, with Off against itself: what fails, passes, cannot be told, and how often each is wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from answers import answer, plain
from clean_texts import CLEAN
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from studies import examples, one_of_each

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.outputs.answer import Answer
from pytest_specdec.outputs.losslessness import LosslessnessLimits, judge_losslessness
from pytest_specdec.outputs.verdict import OutputVerdict

LENGTH = 8
WORDS = [f"w{i}" for i in range(LENGTH)]
OFF = answer(WORDS)
# An answer is the reference up to a position, and then another token: a near-tie (primed) or one far behind.
NEAR = [answer([*WORDS[:at], WORDS[at] + "'", *"xyz"]) for at in range(LENGTH)]
HARD = [answer([*WORDS[:at], WORDS[at] + "?", *"xyz"]) for at in range(LENGTH)]
PASS, FAILED, INCONCLUSIVE = Outcome.PASS, Outcome.FAILED, Outcome.INCONCLUSIVE


def judge(prompts: int, mtp: Sequence[Answer] = (), control: Sequence[Answer] = ()) -> OutputVerdict:
    """So many prompts, of which the first ones have these answers."""
    fill = [OFF] * prompts
    return judge_losslessness(fill, [*control, *fill][:prompts], [*mtp, *fill][:prompts])


@examples(20)
@given(st.lists(st.sampled_from(sorted(CLEAN)), min_size=60, max_size=80))
def test_texts_against_themselves_pass(names: list[str]) -> None:
    texts = [plain(CLEAN[name]) for name in names]
    verdict = judge_losslessness(texts, texts, texts)
    assert verdict.outcome is PASS
    assert verdict.numbers["diverging_mtp"] == verdict.numbers["diverging_control"] == 0
    assert verdict.numbers["prefix_ratio_mtp"] == 1


@given(st.lists(st.sampled_from([OFF, *NEAR, *HARD, plain("other")]), min_size=5, max_size=40), st.randoms())
def test_the_order_of_the_prompts_changes_no_verdict(mtp: list[Answer], rng: random.Random) -> None:
    control = [rng.choice([OFF, *NEAR]) for _ in mtp]
    rows = list(zip(control, mtp, strict=True))
    before = judge_losslessness([OFF] * len(rows), control, mtp)
    rng.shuffle(rows)
    after = judge_losslessness([OFF] * len(rows), [a for a, _ in rows], [b for _, b in rows])
    assert before.outcome is after.outcome
    assert before.numbers == pytest.approx(after.numbers)


def test_a_few_near_ties_pass_and_the_reason_says_what_could_have_been_seen() -> None:
    verdict = judge(60, mtp=NEAR[:5], control=NEAR[:2])
    assert verdict.outcome is PASS
    assert verdict.reasons[0].startswith(
        "answers diverge: 5 of 60 with MTP, 2 of Off against itself; 3 only with MTP, 0 only in the control"
    )
    assert "minimum detectable excess of 60 prompts at 80% power" in verdict.reasons[-1]
    assert verdict.numbers["prefix_ratio_mtp"] < verdict.numbers["prefix_ratio_control"] < 1


def test_many_more_divergences_than_the_control_fail() -> None:
    verdict = judge(60, mtp=NEAR * 3, control=NEAR[:2])
    assert verdict.outcome is FAILED
    assert "answers diverge: 24 of 60 with MTP" in verdict.reasons[0]


def test_the_same_share_diverging_much_earlier_fails() -> None:
    verdict = judge(60, mtp=NEAR[:1] * 28, control=NEAR[-1:] * 28)
    assert verdict.outcome is FAILED
    assert verdict.reasons[0].startswith("answers leave the reference earlier: 28 of 60 with MTP")
    assert verdict.numbers["diverging_mtp"] == verdict.numbers["diverging_control"]


def test_hard_divergences_fail_where_as_many_near_ties_would_not() -> None:
    assert judge(60, mtp=NEAR[:5]).outcome is PASS
    verdict = judge(60, mtp=HARD[:5])
    assert verdict.outcome is FAILED
    assert "5 divergences with MTP are no near-ties, 0 in the control" in verdict.reasons[0]
    assert "prompt 0 at token 0: 'w0w1w2w3w4w5w6w7' became 'w0?xyz' (8.9 nats)" in verdict.reasons[0]
    assert "and 2 more" in verdict.reasons[0]


def test_a_single_hard_divergence_is_neither_passed_over_nor_a_proof() -> None:
    assert judge(60, mtp=HARD[:1]).outcome is INCONCLUSIVE
    assert judge(60, mtp=HARD[:4]).outcome is INCONCLUSIVE
    # The control shows that this engine does so by itself.
    assert judge(60, mtp=HARD[:2], control=HARD[4:6]).outcome is PASS


def test_a_control_that_diverges_too_much_shows_nothing_but_hides_no_failure() -> None:
    noisy = NEAR * 5
    verdict = judge(60, mtp=noisy, control=noisy)
    assert verdict.outcome is INCONCLUSIVE
    assert "Off diverges from itself on 67% of the prompts" in verdict.reasons[0]
    assert judge(60, mtp=HARD * 5, control=noisy).outcome is FAILED


@pytest.mark.parametrize("prompts", [0, 1, 10, 30])
def test_few_prompts_prove_nothing(prompts: int) -> None:
    verdict = judge(prompts)
    assert verdict.outcome is INCONCLUSIVE
    assert "too few" in verdict.reasons[0]


def test_divergences_of_unknown_kind_ask_for_log_probabilities() -> None:
    off = [plain("the river keeps its time")] * 80
    mtp = [plain("the river kept its time")] * 3 + off[3:]
    verdict = judge_losslessness(off, off, mtp)
    assert verdict.outcome is INCONCLUSIVE
    assert "ask the engine for logprobs" in verdict.reasons[0]


def test_answers_of_other_prompts_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="off_a 2, off_b 2, mtp 1"):
        judge_losslessness([OFF] * 2, [OFF] * 2, [OFF])


TRIALS = 2000


def outcomes(  # noqa: PLR0913 - a world is all of these
    prompts: int,
    control: float,
    mtp: float,
    *,
    hard: float = 0.0,
    hard_mtp: float | None = None,
    trials: int = TRIALS,
    limits: LosslessnessLimits | None = None,
) -> dict[Outcome, int]:
    """Simulate: prompts differ in how easily they diverge, at a position of their own or any."""
    rng = np.random.default_rng(11)
    counted = dict.fromkeys(Outcome, 0)
    for _ in range(trials):
        ease = rng.beta(0.5, 0.5 / control - 0.5, prompts)
        sets = []
        for extra, hard_rate in ((0.0, hard), (mtp - control, hard if hard_mtp is None else hard_mtp)):
            near = rng.random(prompts) < np.clip(ease + extra, 0, 1)
            wrong = rng.random(prompts) < hard_rate
            at = rng.integers(LENGTH, size=prompts)
            sets.append(
                [
                    HARD[i] if w else NEAR[i] if n else OFF
                    for n, w, i in zip(near.tolist(), wrong.tolist(), at.tolist(), strict=True)
                ]
            )
        counted[judge_losslessness([OFF] * prompts, sets[0], sets[1], limits).outcome] += 1
    return counted


@pytest.mark.parametrize(("prompts", "control"), one_of_each([(20, 0.1), (50, 0.05), (50, 0.3)]))
def test_equal_engines_fail_no_more_often_than_promised(prompts: int, control: float) -> None:
    most = stats.binom.ppf(0.999, TRIALS, 0.01)
    assert outcomes(prompts, control, control, hard=0.03)[FAILED] <= most
    assert outcomes(prompts, control, control, hard=0.01)[FAILED] <= most
    assert outcomes(prompts, control, control, limits=LosslessnessLimits(tolerance=0.0))[FAILED] <= most


def test_rounding_up_to_the_tolerance_fails_no_more_often_than_promised() -> None:
    assert outcomes(60, 0.05, 0.15)[FAILED] <= stats.binom.ppf(0.999, TRIALS, 0.01)


def test_a_healthy_engine_passes_with_enough_prompts() -> None:
    found = outcomes(100, 0.03, 0.08, hard=0.0002, trials=300)
    assert found[PASS] > 0.9 * 300


def test_real_changes_are_found() -> None:
    assert outcomes(100, 0.05, 0.40, trials=300)[FAILED] > 0.8 * 300
    assert outcomes(60, 0.05, 0.05, hard_mtp=0.15, trials=300)[FAILED] > 0.9 * 300
    assert outcomes(60, 0.05, 0.05, hard_mtp=0.03, trials=300)[PASS] < 0.3 * 300
