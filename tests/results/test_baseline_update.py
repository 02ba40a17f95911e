"""How baselines move, and what must not become one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from measured import ENVIRONMENT, LATE, measured

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.naming import unique_names
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.pipeline import accept as accepting
from pytest_specdec.results.baseline import Baselines, load_baseline
from pytest_specdec.results.baseline_update import Acceptor, refusal, update
from pytest_specdec.results.decision import Decision, Evidence
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.merge import merge_runs, usable
from pytest_specdec.results.verdict import MetricVerdict, Verdict
from pytest_specdec.speculation.health import Finding

BY = Acceptor(when="2026-11-24T10:00:00+00:00", who="ada")


def run(session: str, throughput: float = 100.0, at: str = "2026-11-23T12:00:00+00:00") -> Measurement:
    found: Measurement = msgspec.structs.replace(measured(8, throughput=throughput), session=session, measured_at=at)
    return found


def test_every_run_is_kept_with_its_session(tmp_path: Path) -> None:
    store = Baselines(tmp_path)
    (path,) = update(store, [run("a"), run("a"), run("b")], how="new", by=BY)
    assert [stored.session for stored in load_baseline(path).points["8"]] == ["a", "a", "b"]
    (point,) = store.of_any_environment(measured(8).cell)
    assert len(point.runs) == 3


def test_merging_adds_sessions_and_takes_none_twice(tmp_path: Path) -> None:
    store = Baselines(tmp_path)
    update(store, [run("a", 100)], how="new", by=BY)
    (path,) = update(store, [run("b", 102)], how="merge", by=BY)
    assert update(store, [run("b", 102)], how="merge", by=BY) == {}
    file = load_baseline(path)
    assert [stored.session for stored in file.points["8"]] == ["a", "b"]
    assert file.anchors["8"].values["total_tok_s_gpu"].value == 100


def test_sessions_of_another_setup_are_not_merged_and_nothing_is_written(tmp_path: Path) -> None:
    store = Baselines(tmp_path)
    other = msgspec.structs.replace(ENVIRONMENT, facts={"kv_cache_dtype": "fp8"})
    here = msgspec.structs.replace(ENVIRONMENT, facts={"kv_cache_dtype": "auto"})
    (path,) = update(store, [msgspec.structs.replace(run("a"), environment=here)], how="new", by=BY)
    before = path.read_text()
    with pytest.raises(InvalidInputError, match="kv_cache_dtype differs"):
        update(store, [msgspec.structs.replace(run("b"), environment=other)], how="merge", by=BY)
    assert path.read_text() == before


def test_the_anchor_stays_when_the_baseline_moves(tmp_path: Path) -> None:
    store = Baselines(tmp_path)
    update(store, [run("a", 100, "2026-01-01T00:00:00+00:00")], how="new", by=BY)
    for i in range(3):
        (path,) = update(store, [run(f"b{i}", 98 - 2 * i)], how="all", by=BY)
    file = load_baseline(path)
    assert file.anchors["8"].values["total_tok_s_gpu"].value == 100
    assert file.points["8"][0].values["total_tok_s_gpu"].value == 94
    assert [entry.points["8"].split(",")[0] for entry in file.accepted] == [
        "new",
        "throughput/GPU -2.0%",
        "throughput/GPU -2.0%",
        "throughput/GPU -2.1%",
    ]


def test_the_log_says_who_when_and_why(tmp_path: Path) -> None:
    by = Acceptor(when="2026-11-24T10:00:00+00:00", who="ada", reason="a smaller GPU")
    (path,) = update(Baselines(tmp_path), [run("a")], how="new", by=by)
    (entry,) = load_baseline(path).accepted
    assert (entry.who, entry.when, entry.reason) == ("ada", by.when, "a smaller GPU")


def verdict(outcome: Outcome, *, confirmed: bool = False) -> dict[Cell, Verdict]:
    cell = measured(8).cell
    return {cell: Verdict(cell=cell, outcome=outcome, confirmed=confirmed)}


@pytest.mark.parametrize("outcome", [Outcome.REGRESSED, Outcome.NOT_COMPARABLE])
def test_a_run_that_failed_its_gate_needs_a_reason(outcome: Outcome) -> None:
    runs = {measured(8).cell: [run("a")]}
    assert "1 of 1 points failed their gate" in refusal(verdict(outcome), runs, "all", "")
    assert refusal(verdict(outcome), runs, "all", "known") == ""
    assert refusal(verdict(outcome), runs, "new", "") == ""


def test_a_lucky_run_does_not_become_the_bar() -> None:
    cell = measured(8).cell
    found = verdict(Outcome.IMPROVED)
    refused = refusal(found, {cell: [run("a")]}, "all", "")
    assert "1 of 1 points have a gain on fewer than 3 server starts" in refused
    assert refusal(found, {cell: [run(s) for s in "abc"]}, "all", "") == ""
    assert refusal(verdict(Outcome.IMPROVED, confirmed=True), {cell: [run("a")]}, "all", "") == ""


@pytest.mark.parametrize(
    ("low", "advisory", "outcome", "refused"),
    [
        (0.02, "", Outcome.INCONCLUSIVE, True),
        # The interval reaches below the tolerance: noise, which a new baseline with more sessions may be the cure for.
        (-0.01, "", Outcome.INCONCLUSIVE, False),
        (0.02, "12 requests per run", Outcome.INCONCLUSIVE, False),
        (0.02, "", Outcome.WARN, False),
    ],
)
def test_an_unconfirmed_loss_needs_a_reason(
    low: float,
    advisory: str,
    outcome: Outcome,
    refused: bool,  # noqa: FBT001
) -> None:
    found = measured(8)
    decision = Decision(
        cell="a",
        metric="total_tok_s_gpu",
        outcome=Outcome.INCONCLUSIVE,
        evidence=Evidence.SCREEN,
        low=low,
        high=0.06,
        advisory=advisory,
    )
    metric = MetricVerdict(
        metric="total_tok_s_gpu",
        baseline=found.throughput,
        measured=found.throughput,
        loss=found.throughput,
        tolerance=0.05,
        outcome=outcome,
        decision=decision,
    )
    verdicts = {found.cell: Verdict(cell=found.cell, outcome=outcome, metrics=(metric,), reason="no pairs")}
    for how in ("all", "merge"):
        words = refusal(verdicts, {found.cell: [run("a")]}, how, "")
        assert ("1 of 1 points have an unconfirmed loss" in words) == refused
    assert refusal(verdicts, {found.cell: [run("a")]}, "all", "agreed") == ""


def test_what_is_wrong_with_the_server_is_told_whoever_was_late() -> None:
    broken = Finding(check="acceptance", severity="broken", words="no draft is accepted")
    late = msgspec.structs.replace(run("a"), client=LATE, findings=(broken,))
    for runs in ([late, run("b")], [late, run("b"), run("c")], [run("b"), late]):
        merged = merge_runs(runs)
        assert merged.findings == (broken,)
        assert not merged.client_limited


def test_runs_in_which_the_client_was_the_limit_are_left_out_where_there_are_others() -> None:
    late = msgspec.structs.replace(run("a"), client=LATE)
    assert late.client_limited
    assert usable([late, run("b")]) == [run("b")]
    assert usable([late]) == [late]
    assert "client-limited" in refusal({}, {late.cell: usable([late])}, "new", "")


def test_the_mean_of_runs_leaves_out_those_of_a_late_client_and_says_so() -> None:
    late = msgspec.structs.replace(run("a", throughput=50.0), client=LATE)
    alone = merge_runs([late, run("b")])
    assert (alone.throughput.value, alone.client_limited) == (100.0, "")
    assert alone.notes[0] == "1 of 2 runs left out: the client was the limit"
    both = merge_runs([late, run("b", throughput=100.0), run("c", throughput=110.0)])
    assert both.throughput.value == pytest.approx(105.0)
    assert both.notes[:2] == ("mean of 2 runs", "1 of 3 runs left out: the client was the limit")
    assert merge_runs([late, late]).client_limited


def test_what_is_broken_never_becomes_one_whatever_the_reason() -> None:
    broken = msgspec.structs.replace(
        run("a"), findings=(Finding(check="drafter-broken", severity="broken", words="the drafter guesses nothing"),)
    )
    assert "the drafter guesses nothing" in refusal({}, {broken.cell: [broken]}, "all", "I know")


def test_sessions_that_failed_their_gate_are_merged_with_a_reason_only() -> None:
    runs = {measured(8).cell: [run("a")]}
    assert "1 of 1 points failed their gate" in refusal(verdict(Outcome.REGRESSED), runs, "merge", "")
    assert refusal(verdict(Outcome.REGRESSED), runs, "merge", "known") == ""
    # One more session beside others raises no bar by itself.
    assert refusal(verdict(Outcome.IMPROVED), runs, "merge", "") == ""


def test_two_curves_of_one_name_do_not_share_a_file(tmp_path: Path) -> None:
    cell = measured(8).cell
    exact = msgspec.structs.replace(cell, workload=msgspec.structs.replace(cell.workload, shortest=1.0))
    other = msgspec.structs.replace(run("a"), cell=exact)
    with pytest.raises(InvalidInputError, match="of two suites would share one baseline"):
        update(Baselines(tmp_path), [run("a"), other], how="new", by=BY)
    assert not list(tmp_path.rglob("*.json"))


def test_a_user_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    for variable in accepting._CI_USERS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("getpass.getuser", nobody)
    assert accepting.who() == "unknown"


def test_cells_of_one_id_have_names_of_their_own() -> None:
    cell = measured(8).cell
    exact = msgspec.structs.replace(cell, workload=msgspec.structs.replace(cell.workload, shortest=1.0))
    wide = msgspec.structs.replace(cell, engine=msgspec.structs.replace(cell.engine, parallelism="tp4"))
    names = unique_names([cell, exact, wide])
    assert len(set(names.values())) == 3
    assert unique_names([cell]) == {cell: str(cell)}
