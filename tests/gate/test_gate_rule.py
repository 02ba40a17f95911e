"""The decision rule as a whole: symmetry, order, promises, budgets, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from at_once import decide_at_once
from gate_jobs import THROUGHPUT, ScriptedJob, cells
from hypothesis import given
from hypothesis import strategies as st
from studies import examples

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.gate.confirm import Question, evidence_shares, interim_of_rows, levels, settle, with_one_start
from pytest_specdec.gate.dialogue import (
    CandidateSessions,
    ExtraHypothesis,
    Observed,
    PairBlocks,
    Request,
    ScreenRuns,
    drive,
)
from pytest_specdec.gate.family import family_of
from pytest_specdec.gate.interim import Interim, interim_of
from pytest_specdec.gate.judgement import conclude_checks
from pytest_specdec.gate.noise import fit_noise
from pytest_specdec.gate.presets import PRESETS
from pytest_specdec.gate.rule import decide
from pytest_specdec.gate.terms import Terms, spent_at
from pytest_specdec.results.decision import Decision, Evidence, SuiteDecision

THOROUGH = Terms(exhaustive=True, improvements=True)
losses = st.dictionaries(st.sampled_from(sorted(cells(8))), st.floats(-0.25, 0.25), max_size=8)


def judged(job: ScriptedJob, terms: Terms | None = None, *, paired: bool = True) -> SuiteDecision:
    noise = job.baseline()
    return drive(decide(noise, terms=terms, paired=None if paired else frozenset()), job.measure)


def outcomes(decision: SuiteDecision) -> dict[str, Outcome]:
    return {one.cell: one.outcome for one in decision.decisions}


def of(decision: SuiteDecision, cell: str) -> Decision:
    (found,) = [one for one in decision.decisions if one.cell == cell]
    return found


@examples(25)
@given(losses, st.sampled_from([0.002, 0.006, 0.02]))
def test_swapping_better_and_worse_mirrors_the_verdicts(loss: dict[str, float], sd: float) -> None:
    straight = judged(ScriptedJob(level=cells(8), loss=loss, sd=sd), THOROUGH)
    mirrored = judged(ScriptedJob(level=cells(8), loss=loss, sd=sd, sign=-1), THOROUGH)
    for here, there in zip(straight.decisions, mirrored.decisions, strict=True):
        shared = any(shift.failed for shift in (*straight.common, *mirrored.common))
        assert shared or (here.outcome is Outcome.FAIL) == (there.outcome is Outcome.IMPROVED)
        assert here.log_loss == pytest.approx(-(there.log_loss or 0.0), abs=1e-9)
        assert here.pairs == there.pairs


@examples(25)
@given(losses, st.floats(-20, 20))
def test_scaling_both_sides_changes_nothing(loss: dict[str, float], factor: float) -> None:
    plain = judged(ScriptedJob(level=cells(8), loss=loss))
    scaled = judged(ScriptedJob(level={cell: level + factor for cell, level in cells(8).items()}, loss=loss))
    assert outcomes(plain) == outcomes(scaled)
    for here, there in zip(plain.decisions, scaled.decisions, strict=True):
        assert here.log_loss == pytest.approx(there.log_loss, abs=1e-9)


@examples(25)
@given(losses, st.permutations(sorted(cells(8))))
def test_verdicts_do_not_depend_on_the_order_of_cells(loss: dict[str, float], order: list[str]) -> None:
    job, other = ScriptedJob(level=cells(8), loss=loss), ScriptedJob(level=cells(8), loss=loss)
    straight = drive(decide(job.baseline()), job.measure)
    assert drive(decide(other.baseline(cells=order)), other.measure) == straight


@examples(15)
@given(losses, st.integers(0, 30), st.sampled_from([Terms(), THOROUGH]), st.sampled_from([0.004, 0.02]))
def test_however_many_cells_there_are_no_more_than_alpha_is_spent(
    loss: dict[str, float], more: int, terms: Terms, sd: float
) -> None:
    job = ScriptedJob(level=cells(8 + more), loss=loss, sd=sd)
    decision = judged(job, terms)
    assert decision.alpha_spent <= decision.alpha * (1 + 1e-9)


@examples(15)
@given(losses, st.sets(st.sampled_from(sorted(cells(12)))))
def test_no_more_than_alpha_is_spent_where_some_old_engines_cannot_be_started(
    loss: dict[str, float], paired: set[str]
) -> None:
    job = ScriptedJob(level=cells(12), loss=loss, sd=0.02)
    decision = drive(decide(job.baseline(), terms=Terms(exhaustive=True), paired=paired), job.measure)
    assert decision.alpha_spent <= decision.alpha * (1 + 1e-9)


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(1e-4, 0.2)), min_size=1, max_size=100))
def test_the_shares_of_alpha_sum_to_one_and_no_suspect_is_left_out(suspects: list[tuple[float, float]]) -> None:
    loss, se = (np.array(column) for column in zip(*suspects, strict=True))
    shares = evidence_shares(loss, se, np.full(len(loss), 0.05))
    assert shares.sum() == pytest.approx(1.0)
    assert shares.min() >= 0.1 / len(loss) * (1 - 1e-9)


def test_alpha_goes_where_the_screen_points() -> None:
    shares = evidence_shares(np.array([0.05, 0.0, 0.0]), np.full(3, 0.01), np.full(3, 0.0513))
    assert shares[0] > 0.8


@pytest.mark.parametrize("hypotheses", [1, 200, 201, 400])
def test_the_looks_spend_an_error_rate_exactly_and_lie_at_whole_blocks(hypotheses: int) -> None:
    interims = Terms().pair_interims(hypotheses)
    assert interims == ((4, 8, 12, 16, 24) if hypotheses <= 200 else (4, 8, 12, 16, 24, 32))
    assert sum(spent_at(interims, number) for number in range(len(interims))) == pytest.approx(1.0)
    spent = sum(levels(Terms(), 0.25, spent_at(interims, number)).proven for number in range(len(interims)))
    assert spent == pytest.approx(0.01 * 0.8 * 0.25)


@given(st.floats(-0.2, 0.2), st.floats(1e-4, 0.1), st.floats(2, 60))
def test_the_adjusted_p_is_below_alpha_where_a_look_fails_and_nowhere_else(
    loss: float, se: float, freedom: float
) -> None:
    one = np.ones(1)
    interim = Interim(loss=loss * one, se=se * one, freedom=freedom * one, count=4 * one)
    question = Question(row=0, sign=1, share=0.1)
    settle(question, interim, 0, (0.01, 0.0513), levels(Terms(), 0.1, 1 / 6))
    assert (question.state == "proven") == (question.p_adjusted < 0.01)


def test_a_clean_suite_passes_on_few_runs_and_says_what_it_could_have_missed() -> None:
    job = ScriptedJob(level=cells(20))
    decision = judged(job)
    assert decision.outcome is Outcome.PASS
    assert {one.evidence for one in decision.decisions} == {Evidence.SCREEN}
    assert job.pairs() == 0
    assert decision.miss_at_margin == pytest.approx(0.045)
    assert 0 < (decision.largest_missable_loss or 0) < 0.05
    for one in decision.decisions:
        assert one.miss_at_margin is not None
        assert one.miss_at_margin < 0.025


def test_a_loss_is_confirmed_by_pairs_and_fails() -> None:
    job = ScriptedJob(level=cells(20), loss={"c03": 0.08})
    decision = judged(job)
    assert decision.outcome is Outcome.FAIL
    failed = of(decision, "c03")
    assert (failed.outcome, failed.evidence) == (Outcome.FAIL, Evidence.PAIRS)
    assert failed.pairs >= 4
    assert failed.p_adjusted is not None
    assert failed.p_adjusted < 0.01
    assert failed.loss == pytest.approx(1 - math.exp(-0.08), abs=0.01)
    assert set(outcomes(decision).values()) == {Outcome.FAIL, Outcome.PASS}
    assert {cell for request in job.asked if isinstance(request, PairBlocks) for cell in request.cells} == {"c03"}


def test_a_loss_between_the_limits_is_a_warning() -> None:
    decision = judged(ScriptedJob(level=cells(20), loss={"c03": 0.025}, sd=0.002))
    assert of(decision, "c03").outcome is Outcome.WARN
    assert decision.outcome is Outcome.WARN


def test_a_wave_with_a_failure_is_the_last_unless_the_gate_is_exhaustive() -> None:
    loss = {cell: 0.3 if number == 19 else 0.08 for number, cell in enumerate(cells(40)) if number >= 19}
    brief, thorough = (ScriptedJob(level=cells(40), loss=loss) for _ in range(2))
    stopped = judged(brief, Terms(common_cells=0))
    every = judged(thorough, Terms(common_cells=0, exhaustive=True))
    assert sum(one.outcome is Outcome.FAIL for one in every.decisions) == 21
    left = [one for one in stopped.decisions if one.outcome is Outcome.INCONCLUSIVE]
    assert len(left) == 11
    assert {one.reason for one in left} == {"not confirmed: another loss was proven first"}
    assert of(stopped, "c19").outcome is Outcome.FAIL
    assert brief.pairs() < thorough.pairs()


@pytest.mark.parametrize("budget", [0, 1])
def test_what_a_budget_leaves_undecided_is_inconclusive_and_nothing_more_is_asked(budget: int) -> None:
    job = ScriptedJob(level=cells(8), loss={"c03": 0.08}, budget=budget)
    decision = judged(job)
    assert len(job.asked) == budget + 1
    left = of(decision, "c03")
    assert left.outcome is Outcome.INCONCLUSIVE
    assert left.reason.endswith("the budget of 2 GPU-hours is spent")
    assert decision.outcome is Outcome.INCONCLUSIVE
    assert decision.stopped == "the budget of 2 GPU-hours is spent"
    assert (left.loss is None) == (budget == 0)


def test_a_shift_of_the_machine_is_told_from_one_of_the_engine() -> None:
    slow_machine = judged(ScriptedJob(level=cells(12), machine=0.04))
    (shift,) = slow_machine.common
    assert (shift.whose, shift.failed) == ("machine", False)
    assert shift.machine == pytest.approx(0.04, abs=0.005)
    assert slow_machine.outcome is Outcome.PASS

    slow_engine = judged(ScriptedJob(level=cells(12), loss=dict.fromkeys(cells(12), 0.04)))
    (shift,) = slow_engine.common
    assert (shift.whose, shift.failed) == ("engine", True)
    assert slow_engine.outcome is Outcome.FAIL
    assert {one.reason for one in slow_engine.decisions if one.outcome is Outcome.FAIL} == {
        "a loss that all cells share is proven"
    }

    both = judged(ScriptedJob(level=cells(12), machine=0.04, loss=dict.fromkeys(cells(12), 0.04)))
    assert both.common[0].whose == "both"


def test_the_pairs_of_a_common_shift_spread_over_few_engines() -> None:
    job = ScriptedJob(level=cells(40), machine=0.05)
    engines = {cell: f"e{number % 8}" for number, cell in enumerate(cells(40))}
    drive(decide(job.baseline(), engines=engines), job.measure)
    (request,) = [request for request in job.asked if isinstance(request, PairBlocks)]
    assert len(request.cells) == 8
    assert len({engines[cell] for cell in request.cells}) == 4


def test_one_cell_that_lost_is_no_common_shift_however_few_cells_there_are() -> None:
    for count in (5, 6, 12):
        decision = judged(ScriptedJob(level=cells(count), loss={"c03": 0.4}))
        assert [shift.looked_for for shift in decision.common] == [False]
        assert {one.cell for one in decision.decisions if one.outcome is Outcome.FAIL} == {"c03"}


def test_an_improvement_is_suspected_by_the_screen_and_confirmed_by_pairs_only() -> None:
    suspected = judged(ScriptedJob(level=cells(12), loss={"c03": -0.08}))
    assert (of(suspected, "c03").outcome, of(suspected, "c03").improvement) == (Outcome.PASS, "suspected")
    confirmed = judged(ScriptedJob(level=cells(12), loss={"c03": -0.08}), Terms(improvements=True))
    assert (of(confirmed, "c03").outcome, of(confirmed, "c03").improvement) == (Outcome.IMPROVED, "confirmed")
    assert of(confirmed, "c03").evidence is Evidence.PAIRS


def test_without_the_old_engine_only_a_loss_beyond_the_margin_fails() -> None:
    small = ScriptedJob(level=cells(12), loss={"c03": 0.05})
    decision = judged(small, paired=False)
    assert not any(isinstance(request, PairBlocks) for request in small.asked)
    assert small.sessions() == 8
    assert (of(decision, "c03").outcome, of(decision, "c03").evidence) == (Outcome.INCONCLUSIVE, Evidence.SESSIONS)
    assert "only a reference engine" in of(decision, "c03").reason
    large = judged(ScriptedJob(level=cells(12), loss={"c03": 0.3}), paired=False)
    assert (of(large, "c03").outcome, of(large, "c03").evidence) == (Outcome.FAIL, Evidence.SESSIONS)


def test_engines_with_and_without_a_reference_go_their_own_ways() -> None:
    job = ScriptedJob(level=cells(12), loss={"c02": 0.3, "c07": 0.08})
    decision = drive(decide(job.baseline(), terms=Terms(exhaustive=True), paired=frozenset(["c07"])), job.measure)
    assert of(decision, "c02").evidence is Evidence.SESSIONS
    assert of(decision, "c07").evidence is Evidence.PAIRS
    assert {one.cell for one in decision.decisions if one.outcome is Outcome.FAIL} == {"c02", "c07"}


def test_runs_that_are_all_there_is_are_judged_at_once() -> None:
    job = ScriptedJob(level=cells(12), loss={"c02": 0.3, "c07": 0.05})
    noise = job.baseline()
    decision = decide_at_once(noise, job.measure(ScreenRuns(runs=dict.fromkeys(cells(12), 1))).runs)
    assert of(decision, "c02").outcome is Outcome.FAIL
    assert of(decision, "c07").outcome is Outcome.INCONCLUSIVE
    assert decision.alpha_spent <= decision.alpha * (1 + 1e-9)


def test_extra_checks_are_judged_under_the_same_promise() -> None:
    job = ScriptedJob(level=cells(6))
    extras = [
        ExtraHypothesis(name="acceptance by prompt", cell="c00", p_loss=1e-5, p_margin=0.9),
        ExtraHypothesis(name="acceptance by prompt", cell="c01", p_loss=0.0015, p_margin=0.3),
        ExtraHypothesis(name="acceptance by prompt", cell="c02", p_loss=0.9, p_margin=1e-6),
    ]

    def measure(request: Request) -> Observed:
        return with_extras(job.measure(request), extras)

    decision = drive(decide(job.baseline(), terms=Terms(extra_share=0.2)), measure)
    own = {one.cell: one for one in decision.decisions if one.evidence is Evidence.OWN}
    assert [one.outcome for one in own.values()] == [Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS]
    assert [one.p_adjusted for one in own.values()] == [
        pytest.approx(3 * 1e-5 / 0.2),
        pytest.approx(2 * 0.0015 / 0.2),
        1.0,
    ]
    assert decision.alpha_spent <= decision.alpha
    with pytest.raises(InvalidInputError, match="no share of alpha"):
        drive(decide(job.baseline()), measure)


def with_extras(observed: Observed, extras: list[ExtraHypothesis]) -> Observed:
    return Observed(runs=observed.runs, blocks=observed.blocks, extras=extras)


def test_a_tail_of_few_requests_is_shown_and_never_red() -> None:
    level = dict.fromkeys(cells(4), 5.0)
    job = ScriptedJob(level=level, loss={"c01": 0.9}, metric="ttft_p99_ms", sd=0.02)
    sessions = {cell: {f"s{s}": [job._old(cell) for _ in range(2)] for s in range(5)} for cell in level}
    noise = fit_noise(sessions, requests={"c00": 2000, "c01": 200})
    decision = drive(decide(noise), job.measure)
    assert of(decision, "c00").advisory == ""
    assert of(decision, "c01").advisory == "200 requests per run; this percentile needs 1,000"
    assert of(decision, "c02").advisory.startswith("an unknown number of requests")
    assert of(decision, "c01").outcome is Outcome.WARN
    assert decision.outcome is Outcome.PASS
    assert job.pairs() == 0


def test_a_missing_metric_is_inconclusive_and_a_value_that_is_not_finite_is_refused() -> None:
    job = ScriptedJob(level=cells(4))
    noise = job.baseline()

    def without(request: Request) -> Observed:
        runs = dict(job.measure(request).runs)
        return Observed(runs={**runs, "c01": [{}]})

    decision = drive(decide(noise), without)
    assert of(decision, "c01").outcome is Outcome.INCONCLUSIVE
    assert of(decision, "c01").reason == "not measured: missing from the runs of the candidate"
    assert decision.outcome is Outcome.INCONCLUSIVE

    with pytest.raises(InvalidInputError, match="c00 total_tok_s_gpu is nan"):
        drive(decide(noise), lambda _: Observed(runs={"c00": [{THROUGHPUT: math.nan}]}))


def test_pairs_with_a_missing_side_are_left_out() -> None:
    job = ScriptedJob(level=cells(6), loss={"c03": 0.1})

    def measure(request: Request) -> Observed:
        observed = job.measure(request)
        blocks = {
            cell: [
                type(block)(old=block.old, new=({}, block.new[1])) if number == 0 else block
                for number, block in enumerate(of_cell)
            ]
            for cell, of_cell in observed.blocks.items()
        }
        return Observed(runs=observed.runs, blocks=blocks)

    decision = drive(decide(job.baseline()), measure)
    assert of(decision, "c03").outcome is Outcome.FAIL
    assert of(decision, "c03").pairs == 3


@pytest.mark.parametrize("sd", [0.0, 1e-9])
@pytest.mark.parametrize("count", [1, 2])
def test_no_noise_and_one_cell_are_judged_all_the_same(sd: float, count: int) -> None:
    assert judged(ScriptedJob(level=cells(count), sd=sd)).outcome is Outcome.PASS
    lost = judged(ScriptedJob(level=cells(count), sd=sd, loss={"c00": 0.06}))
    assert of(lost, "c00").outcome is Outcome.FAIL


def test_a_cell_too_noisy_for_its_margin_does_not_make_the_suite_inconclusive_but_can_fail() -> None:
    level = cells(20)
    noisy = ScriptedJob(level=level)
    noise = noisy.baseline()
    rows = tuple(msgspec.structs.replace(row, run_sd=0.05) if row.cell == "c00" else row for row in noise.hypotheses)
    noise = msgspec.structs.replace(noise, hypotheses=rows)
    decision = drive(decide(noise), noisy.measure)
    assert [one.cell for one in decision.not_gateable] == ["c00"]
    assert of(decision, "c00").outcome is Outcome.INCONCLUSIVE
    assert of(decision, "c00").reason.startswith("too noisy for its margin")
    assert decision.outcome is Outcome.PASS
    worse = ScriptedJob(level=level, loss={"c00": 0.5})
    assert of(drive(decide(noise), worse.measure), "c00").outcome is Outcome.FAIL


def only_screened(job: ScriptedJob) -> Callable[[Request], Observed]:
    def answer(request: Request) -> Observed:
        return job.measure(request) if isinstance(request, ScreenRuns) else Observed(exhausted="nothing more")

    return answer


@pytest.mark.parametrize(
    ("loss", "confirms", "expected"),
    [
        # Looks well, and the screen has not the power to show it: said, not red.
        (0.0, False, Outcome.PASS),
        # Looks like a loss, and nobody measures again: open.
        (0.045, False, Outcome.INCONCLUSIVE),
        # Fresh starts could have shown it, and there was no budget for them.
        (0.0, True, Outcome.INCONCLUSIVE),
    ],
)
def test_where_nothing_is_confirmed_only_what_the_screen_can_clear_is_gated(
    loss: float,
    confirms: bool,  # noqa: FBT001
    expected: Outcome,
) -> None:
    job = ScriptedJob(level=cells(20), loss={"c00": loss}, sd=0.0005)
    noise = job.baseline()
    rows = tuple(msgspec.structs.replace(row, run_sd=0.035) if row.cell == "c00" else row for row in noise.hypotheses)
    noise = msgspec.structs.replace(noise, hypotheses=rows)
    decision = drive(decide(noise, terms=Terms(confirms=confirms), paired=frozenset()), only_screened(job))
    assert of(decision, "c00").outcome is Outcome.INCONCLUSIVE
    assert decision.outcome is expected
    assert [one.cell for one in decision.not_gateable] == (["c00"] if expected is Outcome.PASS else [])
    assert 0.05 < (of(decision, "c00").detectable or 0) < 0.2 or confirms


def test_what_the_screen_finds_is_cleared_by_four_of_five_clean_suites() -> None:
    preset, trials = PRESETS[THROUGHPUT], 400
    job = ScriptedJob(level=cells(trials), sd=0.03)
    family = family_of(job.baseline(sessions=4), Terms(confirms=False))
    preset = msgspec.structs.replace(preset, margin=float(np.median(family.detectable)))
    rule = decide(
        job.baseline(sessions=4), terms=Terms(confirms=False), presets={THROUGHPUT: preset}, paired=frozenset()
    )
    decision = drive(rule, only_screened(job))
    passed = np.mean([one.outcome in (Outcome.PASS, Outcome.WARN) for one in decision.decisions])
    assert passed == pytest.approx(0.8, abs=0.08)


def test_checks_alone_make_no_suite_green() -> None:
    terms = Terms(extra_share=0.2)
    holds = ExtraHypothesis(name="acceptance_length", cell="c00", p_loss=0.5, p_margin=0.0)
    fell = ExtraHypothesis(name="acceptance_length", cell="c01", p_loss=1e-9, p_margin=1.0)
    assert conclude_checks([holds], terms).outcome is Outcome.INCONCLUSIVE
    assert conclude_checks([holds, fell], terms).outcome is Outcome.FAIL
    assert conclude_checks([], terms).outcome is Outcome.INCONCLUSIVE


def test_nothing_decided_is_never_green() -> None:
    job = ScriptedJob(level=cells(3))
    noise = job.baseline()
    rows = tuple(msgspec.structs.replace(row, run_sd=0.2) for row in noise.hypotheses)
    decision = drive(decide(msgspec.structs.replace(noise, hypotheses=rows)), job.measure)
    assert not any(one.gateable for one in decision.decisions)
    assert decision.outcome is Outcome.INCONCLUSIVE


def test_a_runner_noisier_than_its_baseline_is_named() -> None:
    quiet = ScriptedJob(level=cells(30), sd=0.015)
    noise = quiet.baseline()
    assert not drive(decide(noise), quiet.measure).noisy_runner
    loud = ScriptedJob(level=cells(30), sd=0.045)
    decision = drive(decide(noise), loud.measure)
    assert decision.noisy_runner
    assert decision.runner_factor[THROUGHPUT] == pytest.approx(3.0, rel=0.6)


def test_a_decision_comes_back_from_json() -> None:
    decision = judged(ScriptedJob(level=cells(6), loss={"c03": 0.1}))
    assert msgspec.json.decode(msgspec.json.encode(decision), type=SuiteDecision) == decision


def test_an_outlier_among_pairs_is_pulled_in() -> None:
    plain = interim_of(np.array([[0.0, 0.01, -0.01, 0.0]]), np.array([1e-4]), np.array([8.0]))
    hit = interim_of(np.array([[0.0, 0.01, -0.01, 0.5]]), np.array([1e-4]), np.array([8.0]))
    assert hit.loss[0] - plain.loss[0] < 0.01
    assert np.isnan(interim_of(np.array([[0.1, math.nan]]), np.array([1e-4]), np.array([8.0])).loss[0])


def test_requests_ask_for_whole_numbers_of_what_they_need() -> None:
    job = ScriptedJob(level=cells(6), sd=0.03)
    judged(job)
    screen = job.asked[0]
    assert isinstance(screen, ScreenRuns)
    assert set(screen.runs.values()) == {3}
    assert sum(isinstance(request, ScreenRuns) for request in job.asked) == 1
    assert not any(isinstance(request, CandidateSessions) for request in job.asked)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"interims": (3, 8)}, "whole ABBA blocks"),
        ({"interims": (8, 4)}, "interim analyses rise"),
        ({"session_interims": ()}, "interim analyses rise"),
        ({"alpha": 0.0}, "alpha"),
        ({"common_share": 0.6, "extra_share": 0.5}, "alpha"),
    ],
)
def test_terms_that_keep_no_promise_are_refused(terms: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        msgspec.convert(terms, Terms)


def test_a_suite_without_a_hypothesis_is_refused() -> None:
    noise = ScriptedJob(level=cells(2)).baseline()
    with pytest.raises(InvalidInputError, match="nothing to judge"):
        next(decide(msgspec.structs.replace(noise, hypotheses=())))


def test_pairs_without_restarts_never_know_a_start_better_than_it_varies() -> None:
    generator = np.random.default_rng(3)
    sessions = {f"s{i}": generator.normal(0, 0.03, 4) for i in range(6)}
    runs = {
        f"c{n}": {name: [{THROUGHPUT: float(starts[n])}] * 2 for name, starts in sessions.items()} for n in range(4)
    }
    family = family_of(fit_noise(runs), Terms())
    data = [[0.0, 0.001, -0.001] * 8 for _ in family.hypotheses]
    rows = list(range(len(family.hypotheses)))
    interim = interim_of_rows(family, rows, data, np.ones(len(rows)))
    attached = with_one_start(interim, family, rows)
    assert (attached.se >= np.sqrt(2 * family.start_variance)).all()
    assert (attached.freedom <= family.freedom).all()
    assert (attached.se > interim.se).any()
