"""The landed rule in simulation, small and seeded: it keeps its promise where fixed limits do not."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from peer_rules import PEERS

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.gate.family import family_of
from pytest_specdec.gate.fixed import decide_fixed, detection_of_fixed, false_alarm_of_fixed
from pytest_specdec.gate.noise import CommonNoise, HypothesisNoise, SuiteNoise
from pytest_specdec.gate.study.contenders import LANDED, OURS, landed
from pytest_specdec.gate.study.job import Job, baseline_of
from pytest_specdec.gate.study.table import CLEAN, Effect, lower_bound, render, study, upper_bound
from pytest_specdec.gate.study.world import METRIC, REALISTIC, WORLDS, Suite, world_of
from pytest_specdec.gate.terms import Terms

SMALL = replace(REALISTIC, cells=30, engines=3)


def test_clean_suites_pass_and_large_losses_are_found_in_every_world() -> None:
    worlds = {name: replace(world, cells=30, engines=3) for name, world in WORLDS.items()}
    rules = {OURS: LANDED[OURS]}
    rows = study(suites=12, worlds=worlds, rules=rules, seed=1)
    clean = [row for row in rows if row.effect == CLEAN]
    assert [row.world for row in clean] == list(WORLDS)
    assert sum(row.red * row.suites for row in clean) <= 2  # of 60; alpha is one in a hundred
    (tenth,) = [row for row in rows if row.effect == Effect(scope="one", loss=0.10)]
    assert tenth.hit_red == 1.0
    (all_cells,) = [row for row in rows if row.effect == Effect(scope="all", loss=0.05)]
    assert all_cells.red == 1.0
    assert all(row.gpu_hours > 0 and row.runs_per_cell >= 1 for row in rows)


def test_a_fixed_limit_alarms_in_most_clean_suites() -> None:
    rule = {"fixed": PEERS["fixed 5 %, one run"]}
    rows = study(suites=40, worlds={"realistic": REALISTIC}, rules=rule, seed=1)
    assert rows[0].red > 0.7
    assert rows[0].inconclusive == 0.0


def test_every_peer_rule_finds_a_collapse() -> None:
    for name, rule in {**PEERS, **LANDED}.items():
        suite = Suite(SMALL, np.random.default_rng(3))
        suite.loss[4] = math.log(2)
        trial = rule(suite, 4)
        assert trial.hit_failed, name
        assert not trial.hit_passed, name


def test_equal_seeds_give_equal_tables_that_read_as_markdown() -> None:
    worlds = {name: replace(WORLDS[name], cells=12, engines=2) for name in ("realistic", "harsh")}
    told: list[str] = []
    first = study(suites=2, worlds=worlds, rules={OURS: landed}, progress=told.append)
    assert study(suites=2, worlds=worlds, rules={OURS: landed}) == first
    assert told[0] == "1/9: realistic, this gate, clean"
    table = render(first)
    assert "| **this gate** | 2 |" in table
    assert "| rule | suites | realistic | harsh |" in table
    widths = {line.count("|") for line in table.splitlines() if line.startswith(("| rule | suites | false", "| **"))}
    assert len(widths) == 2
    assert render(()) == ""


def test_bounds_are_those_of_clopper_and_pearson() -> None:
    assert upper_bound(0, 2000) == pytest.approx(1 - 0.05 ** (1 / 2000))
    assert lower_bound(2000, 2000) == pytest.approx(0.05 ** (1 / 2000))
    assert upper_bound(3, 3) == 1.0


def test_a_job_counts_runs_and_starts() -> None:
    suite = Suite(SMALL, np.random.default_rng(1))
    noise = baseline_of(suite, 5, 2)
    job = Job(suite)
    landed(suite, 0, terms=Terms())
    assert len(noise.hypotheses) == 30
    assert {row.runs for row in noise.hypotheses} == {10}
    assert job.cost.runs == 0
    assert set(suite.engines.values()) == {"e0", "e1", "e2"}


def noise_model(run_sd: float, common_sd: float, count: int = 40) -> SuiteNoise:
    rows = tuple(
        HypothesisNoise(
            cell=f"c{i:02d}", metric=METRIC, mean=3.0, run_sd=run_sd, session_sd=math.hypot(0.003, common_sd),
            freedom=20.0, sessions=5, runs=10, runs_per_session=2.0,
        )
        for i in range(count)
    )  # fmt: skip
    common = CommonNoise(
        metric=METRIC, common_sd=common_sd, freedom=4.0, sessions=5, run_sd=run_sd, session_sd=0.003
    )  # fmt: skip
    return SuiteNoise(hypotheses=rows, common=(common,))


def test_the_world_of_a_stored_noise_is_that_noise() -> None:
    world = world_of(noise_model(0.02, 0.004))
    assert (world.cells, world.engines) == (40, 4)
    assert world.common_sd == 0.004
    assert world.start_sd == pytest.approx(0.003)
    suite = Suite(world, np.random.default_rng(1))
    values = np.stack([suite.session(2) for _ in range(60)])
    assert np.std(values[..., 0] - values[..., 1]) / math.sqrt(2) == pytest.approx(0.02, rel=0.1)
    assert np.std(values.mean(axis=(1, 2))) == pytest.approx(0.004, rel=0.3)


@pytest.mark.parametrize(("run_sd", "common_sd"), [(0.015, 0.0), (0.015, 0.01), (0.03, 0.005)])
def test_the_false_alarm_rate_of_a_fixed_limit_is_that_of_simulation(run_sd: float, common_sd: float) -> None:
    family = family_of(noise_model(run_sd, max(common_sd, 1e-9)), Terms())
    expected = false_alarm_of_fixed(family, 0.05, 1)
    random, suites = np.random.default_rng(2), 4000
    shared = common_sd * math.sqrt(1 + 1 / 5) * random.standard_normal((suites, 1))
    own = math.sqrt(run_sd**2 * (1 + 1 / 10) + 0.003**2 * (1 + 1 / 5)) * random.standard_normal((suites, 40))
    found = float(np.mean((shared + own > -math.log(0.95)).any(axis=1)))
    assert found == pytest.approx(expected, abs=4 * math.sqrt(0.25 / suites))


def test_a_fixed_gate_judges_and_says_what_it_is_worth() -> None:
    noise = noise_model(0.02, 0.005)
    runs = {f"c{i:02d}": [{METRIC: 3.0 - (0.08 if i == 3 else 0.0)}] for i in range(39)}
    decision = decide_fixed(noise, runs, 0.05)
    assert decision.red == (f"c03 {METRIC}",)
    assert decision.missing == (f"c39 {METRIC}",)
    assert 0.2 < decision.false_alarm < 0.9
    assert decision.detection == pytest.approx(0.5, abs=0.01)
    assert detection_of_fixed(family_of(noise, Terms()), 0.02, 1) > 0.8
    assert msgspec.json.decode(msgspec.json.encode(decision), type=type(decision)) == decision
    for limit in (0.0, 1.0, -0.1):
        with pytest.raises(InvalidInputError, match="between 0 and 1"):
            decide_fixed(noise, runs, limit)
