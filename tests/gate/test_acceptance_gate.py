"""Acceptance against a baseline: the simulated engine's faults are flagged by their checks, sound engines by none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import pytest
from judged_suites import judge_suite
from measured import LATE, measured
from studies import one_of_each
from virtual import run_closed_loop

from pytest_specdec.domain.acceptance import Acceptance, acceptance_from
from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.gate.acceptance.check import AcceptanceCheck
from pytest_specdec.gate.acceptance.checks import acceptance_checks
from pytest_specdec.gate.acceptance.context_decay import context_decay
from pytest_specdec.gate.evidence import Case, CellEvidence, build
from pytest_specdec.results.baseline import BaselinePoint, BaselineRun, baseline_run
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.simulator.faults.catalogue import HEALTHY_CONTROLS, find_fault
from pytest_specdec.simulator.presets import find_preset
from pytest_specdec.speculation.prompt_acceptance import acceptance_by_prompt

ALPHA = 0.001
SEEDS = one_of_each(range(3))
QWEN = find_preset("h200-qwen3.5-397b-fp8")
VARIED = replace(QWEN, acceptance=replace(QWEN.acceptance, prompt_spread=0.6))
"""Prompts differ by 13 % in acceptance length."""
SHORT, LONG, TALKATIVE = Workload(isl=1024, osl=1024), Workload(isl=8192, osl=1024), Workload(isl=1024, osl=4096)
WINDOWS_S = {SHORT: 60.0, LONG: 90.0, TALKATIVE: 240.0}


@cache
def point(fault: str, workload: Workload, seed: int, mtp: int = 3, spread: bool = True) -> Measurement:  # noqa: FBT001, FBT002
    run = run_closed_loop(
        VARIED if spread else QWEN,
        mtp=mtp,
        workload=workload,
        concurrency=16,
        window_s=WINDOWS_S[workload],
        seed=seed,
        fault=find_fault(fault),
    )
    acceptance = acceptance_from(run.counters) if run.counters else None
    assert acceptance is not None
    engine = EngineSpec(model="qwen", precision="fp8", mtp=mtp)
    return msgspec.structs.replace(
        measured(mtp=mtp, acceptance=acceptance.length),
        cell=Cell(engine, workload, 16),
        acceptance=acceptance,
        by_prompt=acceptance_by_prompt(run.traffic.samples),
    )


def baseline(workload: Workload, sessions: int = 1, **more: int | bool) -> list[BaselineRun]:
    points = [point("healthy", workload, 1000 + number, **more) for number in range(sessions)]
    return [msgspec.structs.replace(baseline_run(p), session=f"s{number}") for number, p in enumerate(points)]


def checks(now: Measurement, runs: Sequence[BaselineRun]) -> dict[str, AcceptanceCheck]:
    return {check.name: check for check in acceptance_checks(now, runs)}


def fallen(now: Measurement, runs: Sequence[BaselineRun]) -> set[str]:
    return {name for name, check in checks(now, runs).items() if check.outcome(ALPHA) == "fell"}


LEVEL = {"acceptance_length", "acceptance_positions"}


@pytest.mark.parametrize(
    ("fault", "workload", "expected"),
    [
        ("acceptance-slips", SHORT, LEVEL),
        ("acceptance-slips@0.5", SHORT, LEVEL),
        ("acceptance-low-after-upgrade", SHORT, LEVEL),
        ("later-positions-collapse", SHORT, LEVEL),
        ("garbled", SHORT, LEVEL),
        ("acceptance-falls-with-context", LONG, LEVEL),
        ("acceptance-falls-under-load", SHORT, {*LEVEL, "acceptance_over_run"}),
    ],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_faults_of_acceptance_are_flagged_by_their_checks(
    fault: str, workload: Workload, expected: set[str], seed: int
) -> None:
    assert fallen(point(fault, workload, seed), baseline(workload)) == expected


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", ["healthy", *HEALTHY_CONTROLS])
def test_controls_are_flagged_by_none(fault: str, seed: int) -> None:
    found = checks(point(fault, SHORT, seed), baseline(SHORT))
    assert {check.label for check in found.values()} == {"paired by prompt"}
    assert not fallen(point(fault, SHORT, seed), baseline(SHORT))
    assert found["acceptance_length"].outcome(ALPHA) == "holds"


@pytest.mark.parametrize("beside", [(), (SHORT,)], ids=["alone", "beside another cell"])
@pytest.mark.parametrize(
    ("fault", "expected"), [("acceptance-slips", Outcome.REGRESSED), ("healthy", Outcome.INCONCLUSIVE)]
)
def test_a_late_client_hides_no_loss_of_acceptance(fault: str, expected: Outcome, beside: tuple[Workload, ...]) -> None:
    late = msgspec.structs.replace(point(fault, LONG, 0), client=LATE)
    kept_up = [point("healthy", workload, 0) for workload in beside]
    pairs = [(now, stored(baseline(now.cell.workload), now)) for now in (late, *kept_up)]
    verdict = judge_suite(pairs)[late.cell]
    assert verdict.outcome is expected
    said = " ".join((verdict.reason, *verdict.notes))
    assert "client-limited" in said
    assert not verdict.metrics, "no number of a late client is shown as judged"
    assert ("acceptance length" in verdict.reason) == (expected is Outcome.REGRESSED)


def stored(runs: Sequence[BaselineRun], of: Measurement) -> BaselinePoint:
    return BaselinePoint(cell=of.cell, environment=of.environment, price=of.price, runs=tuple(runs), path=Path())


@pytest.mark.parametrize("fault", ["slow-steps", "slower-at-equal-acceptance", "slow-prefill", "steps-stall"])
def test_slow_engines_accept_as_much(fault: str) -> None:
    assert not fallen(point(fault, SHORT, 0), baseline(SHORT))


def test_the_position_that_collapsed_is_named() -> None:
    found = checks(point("later-positions-collapse", SHORT, 0), baseline(SHORT))["acceptance_positions"]
    assert "fell at position 1, 2;" in found.words
    assert found.estimate is not None
    assert found.estimate > 0.6
    assert found.p_holds is not None
    assert found.p_holds > 0.9, "all positions hold only where each of them does"


def test_only_the_length_must_be_shown_to_hold() -> None:
    found = checks(point("healthy", SHORT, 0), baseline(SHORT))
    assert [name for name, check in found.items() if check.must_hold] == ["acceptance_length"]


def test_the_loss_is_said_in_one_sentence() -> None:
    words = checks(point("acceptance-slips", SHORT, 0), baseline(SHORT))["acceptance_length"].words
    assert words.startswith("acceptance length 3.")
    assert "paired over" in words
    assert "(-6." in words


def test_a_fall_inside_of_long_answers_is_told() -> None:
    found = checks(point("acceptance-falls-under-load", TALKATIVE, 0), baseline(TALKATIVE))
    assert found["acceptance_in_answers"].outcome(ALPHA) == "fell"
    healthy = checks(point("healthy", TALKATIVE, 0), baseline(TALKATIVE))
    assert healthy["acceptance_in_answers"].outcome(ALPHA) == "holds"
    assert "acceptance_in_answers" not in checks(point("healthy", SHORT, 0), baseline(SHORT)), "short answers hold none"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fall_with_the_context_is_told_from_one_everywhere(seed: int) -> None:
    def contrast(fault: str) -> AcceptanceCheck:
        cells = {
            (now := point(fault, workload, seed)).cell: checks(now, baseline(workload))["acceptance_length"]
            for workload in (SHORT, LONG)
        }
        ((pair, check),) = context_decay(cells).items()
        assert [cell.workload for cell in pair] == [SHORT, LONG]
        return check

    falls = contrast("acceptance-falls-with-context")
    assert falls.outcome(ALPHA) == "fell"
    assert "at 8192 tokens of input against 1024" in falls.words
    assert contrast("acceptance-slips").outcome(ALPHA) == "holds"
    assert contrast("healthy").outcome(ALPHA) == "holds"


def evidence(fault: str, seed: int, workloads: Sequence[Workload] = (SHORT, LONG)) -> list[CellEvidence]:
    points = [point(fault, workload, seed) for workload in workloads]
    return [
        CellEvidence(measured=now, runs=(now,), baseline=stored(baseline(now.cell.workload), now)) for now in points
    ]


def over_sequences(case: Case) -> dict[Workload, AcceptanceCheck]:
    found = {case.cells[name].cell.workload: checks for name, checks in case.checks.items()}
    name = "acceptance_over_sequences"
    return {workload: one for workload, checks in found.items() for one in checks if one.name == name}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gate_tells_a_fall_with_the_context_of_the_longer_cell(seed: int) -> None:
    for fault, fell in (("acceptance-falls-with-context", True), ("acceptance-slips", False), ("healthy", False)):
        found = evidence(fault, seed)
        case, other_way_round = build(found), build(found[::-1])
        ((workload, check),) = over_sequences(case).items()
        assert workload == LONG
        (extra,) = [extra for extra in case.extras if extra.name == check.name]
        assert (extra.p_loss, extra.p_margin, extra.reason) == (check.p_value, 0.0, check.words), "it only alarms"
        assert case.cells[extra.cell].cell.workload == LONG
        assert (extra.p_loss < ALPHA) == fell
        assert over_sequences(other_way_round) == over_sequences(case)
        assert sorted(other_way_round.extras, key=str) == sorted(case.extras, key=str)


def test_the_verdict_says_that_the_loss_came_with_the_context() -> None:
    pairs = [(one.measured, one.baseline) for one in evidence("acceptance-falls-with-context", 0)]
    verdict = judge_suite(pairs)[pairs[1][0].cell]
    assert verdict.outcome is Outcome.REGRESSED
    (told,) = [check for check in verdict.checks if check.metric == "acceptance_over_sequences"]
    assert told.outcome is Outcome.FAIL
    assert "at 8192 tokens of input against 1024" in told.reason


def test_a_gain_on_short_prompts_is_no_loss_on_long_ones() -> None:
    """Against a baseline that had slipped on the short ones, the healthy engine has won there and lost nowhere."""
    short, long = (point("healthy", workload, 0) for workload in (SHORT, LONG))
    slipped = baseline_run(point("acceptance-slips", SHORT, 1000))
    cells = {
        short.cell: checks(short, [slipped])["acceptance_length"],
        long.cell: checks(long, baseline(LONG))["acceptance_length"],
    }
    ((_, check),) = context_decay(cells).items()
    assert check.estimate is not None
    assert check.estimate > check.margin, "the two have parted"
    assert check.outcome(ALPHA) != "fell"


def test_cells_that_differ_in_more_than_the_input_are_not_set_against_each_other() -> None:
    short, long = (point("acceptance-falls-with-context", workload, 0) for workload in (SHORT, LONG))
    for other in (
        msgspec.structs.replace(long.cell, concurrency=32),
        msgspec.structs.replace(long.cell, engine=msgspec.structs.replace(long.cell.engine, mtp=1)),
        msgspec.structs.replace(long.cell, workload=msgspec.structs.replace(LONG, osl=4096)),
    ):
        moved = msgspec.structs.replace(long, cell=other)
        found = [(short, baseline(SHORT)), (moved, baseline(LONG))]
        case = build([CellEvidence(measured=m, runs=(m,), baseline=stored(runs, m)) for m, runs in found])
        assert over_sequences(case) == {}


def test_one_length_has_no_decay_to_look_for() -> None:
    now = point("healthy", SHORT, 0)
    assert context_decay({now.cell: checks(now, baseline(SHORT))["acceptance_length"]}) == {}


def test_prompts_of_many_lengths_show_the_fall_inside_of_a_cell() -> None:
    """The requests of two workloads as those of one prompt file."""

    def mixed(fault: str, seed: int) -> Measurement:
        short, long = (point(fault, workload, seed) for workload in (SHORT, LONG))
        assert short.by_prompt is not None
        assert long.by_prompt is not None
        joined = msgspec.structs.replace(
            short.by_prompt,
            requests=(*(2 * i for i in short.by_prompt.requests), *(2 * i + 1 for i in long.by_prompt.requests)),
            **{
                name: getattr(short.by_prompt, name) + getattr(long.by_prompt, name)
                for name in ("context", "growth", "steps", "early_chunks", "late_chunks")
            },
            accepted=tuple(a + b for a, b in zip(short.by_prompt.accepted, long.by_prompt.accepted, strict=True)),
        )
        return msgspec.structs.replace(short, by_prompt=joined)

    stored = [baseline_run(mixed("healthy", 1000))]
    assert checks(mixed("healthy", 1), stored)["acceptance_over_context"].outcome(ALPHA) == "holds"
    falls = checks(mixed("acceptance-falls-with-context", 1), stored)["acceptance_over_context"]
    assert falls.outcome(ALPHA) == "fell"


def test_more_runs_of_the_baseline_make_it_surer() -> None:
    now = point("acceptance-slips@0.5", SHORT, 0)
    one, five = (checks(now, baseline(SHORT, n))["acceptance_length"].interval for n in (1, 5))
    assert one is not None
    assert five is not None
    assert five[1] - five[0] < one[1] - one[0]


def test_one_draft_token_has_no_positions_to_tell_apart() -> None:
    now, stored = point("acceptance-slips", SHORT, 0, mtp=1), baseline(SHORT, mtp=1)
    assert set(checks(now, stored)) == {"acceptance_length", "acceptance_over_run"}
    assert fallen(now, stored) == {"acceptance_length"}


# ---- without counts by request


def blind(now: Measurement) -> Measurement:
    return msgspec.structs.replace(now, by_prompt=None)


@pytest.mark.parametrize("seed", SEEDS)
def test_without_counts_by_request_sessions_are_compared_and_labelled(seed: int) -> None:
    stored = baseline(SHORT, 5, spread=False)
    for fault, expected in (("acceptance-low-after-upgrade", LEVEL), ("healthy", set())):
        now = blind(point(fault, SHORT, seed, spread=False))
        found = checks(now, stored)
        assert set(found) == LEVEL
        assert {check.label for check in found.values()} == {"unpaired"}
        assert {check.count for check in found.values()} == {5}
        assert "by run, because the engine does not count by request" in found["acceptance_length"].words
        assert fallen(now, stored) == expected


def test_runs_of_one_session_are_one_observation() -> None:
    stored = [msgspec.structs.replace(run, session="s") for run in baseline(SHORT, 5)]
    found = checks(blind(point("acceptance-slips", SHORT, 0)), stored)["acceptance_length"]
    assert found.count == 1
    assert found.outcome(1.0) == "untested"
    assert "1 of the 3 baseline sessions that a test needs" in found.words
    assert found.estimate is not None


def test_a_baseline_of_lengths_only_is_enough_for_the_length() -> None:
    old = [
        BaselineRun(measured_at="", version="1", session=str(n), values={"acceptance_length": Estimate(length)})
        for n, length in enumerate((3.20, 3.21, 3.19))
    ]
    found = checks(point("later-positions-collapse", SHORT, 0), old)
    assert set(found) == {"acceptance_length"}
    assert "because the baseline has no counts by request" in found["acceptance_length"].words
    assert found["acceptance_length"].outcome(ALPHA) == "fell"


def test_why_there_are_no_pairs_is_said() -> None:
    now = point("healthy", SHORT, 0)
    assert now.by_prompt is not None
    later = tuple(10**6 + index for index in now.by_prompt.requests)
    for other, why in (
        (msgspec.structs.replace(now.by_prompt, wording="other"), "its prompts are put together from other pieces"),
        (msgspec.structs.replace(now.by_prompt, requests=later), "0 prompts are in both runs and 20 are needed"),
    ):
        found = checks(msgspec.structs.replace(now, by_prompt=other), baseline(SHORT))["acceptance_length"]
        assert found.label == "unpaired"
        assert f"by run, because {why}" in found.words


def test_nothing_is_compared_that_is_no_measured_acceptance() -> None:
    now, stored = point("healthy", SHORT, 0), baseline(SHORT)
    off = msgspec.structs.replace(now, cell=msgspec.structs.replace(now.cell, engine=now.cell.engine.off()))
    pinned = msgspec.structs.replace(
        now, cell=msgspec.structs.replace(now.cell, engine=msgspec.structs.replace(now.cell.engine, acceptance="2.5"))
    )
    gauge = msgspec.structs.replace(now, acceptance=Acceptance(3.0, 0.6, (), 3, 0, "gauge"), by_prompt=None)
    unknown = msgspec.structs.replace(now, acceptance=None, by_prompt=None)
    assert [acceptance_checks(m, stored) for m in (off, pinned, gauge, unknown)] == [()] * 4
    assert acceptance_checks(now, []) == ()
