"""Baselines on disk, and measurements judged against them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged_suites import judge_suite
from measured import ENVIRONMENT, WORKLOAD, measured
from studies import examples

from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import BrokenFileError, InvalidInputError
from pytest_specdec.gate.dialogue import Observed, Request, ScreenRuns, drive
from pytest_specdec.gate.evidence import CellEvidence, build
from pytest_specdec.gate.rule import decide
from pytest_specdec.gate.verdicts import verdicts
from pytest_specdec.report.run_report import verdict_lines
from pytest_specdec.results.baseline import BaselineFile, Baselines, load_baseline, save_baseline, significant
from pytest_specdec.results.baseline_update import Acceptor, update
from pytest_specdec.results.files import write_whole
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Run, is_run, load_run, run_json, save_run
from pytest_specdec.results.verdict import Verdict

BY = Acceptor(when="2026-11-24T10:00:00+00:00", who="tests")


def judge(now: Measurement, then: Measurement, folder: Path) -> Verdict:
    store = Baselines(folder)
    update(store, [then], how="all", by=BY)
    return judge_suite([(now, store.find(now.cell, now.environment))])[now.cell]


numbers = st.floats(1e-6, 1e9)


@examples(30)
@given(st.dictionaries(st.integers(1, 256), st.tuples(numbers, st.floats(0, 0.5)), min_size=1, max_size=5))
def test_a_baseline_comes_back_as_it_was_written_to_four_digits(
    tmp_path_factory: pytest.TempPathFactory, points: dict[int, tuple[float, float]]
) -> None:
    store = Baselines(tmp_path_factory.mktemp("baselines"))
    found = [measured(c, throughput=value, half=half) for c, (value, half) in points.items()]
    (path,) = update(store, found, how="new", by=BY)
    for measurement in found:
        point = store.find(measurement.cell, measurement.environment)
        assert point is not None
        stored = point.values()["total_tok_s_gpu"]
        assert stored.value == pytest.approx(measurement.throughput.value, rel=5e-4)
        assert stored.value == significant(measurement.throughput.value)
    written = path.read_text()
    save_baseline(load_baseline(path), path)
    assert path.read_text() == written


def test_the_loss_of_a_latency_is_what_it_grew_by(tmp_path: Path) -> None:
    """The rule's loss is of speed: a TTFT that doubled has lost half of that, and grew by 100 %."""
    then = measured(8)
    slow = msgspec.structs.replace(then, values=then.values | {"ttft_p50_ms": Estimate(160.0)})
    told = {metric.metric: metric for metric in judge(slow, then, tmp_path).metrics}["ttft_p50_ms"]
    assert told.loss.value == pytest.approx(1.0)
    assert told.decision is not None
    low, high = told.decision.low, told.decision.high
    assert low is not None
    assert high is not None
    assert told.loss.half_width == pytest.approx((1 / (1 - high) - 1 / (1 - low)) / 2)


@pytest.mark.parametrize(("now", "seen"), [(70.0, True), (98.0, False)])
def test_what_shows_through_all_the_noise_is_told(tmp_path: Path, now: float, seen: bool) -> None:  # noqa: FBT001
    verdict = judge(measured(8, throughput=now, interactivity=now / 2, half=0.1), measured(8, half=0.1), tmp_path)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason.startswith("every metric of this cell's speed is too noisy for its margin")
    assert ("30% lower" in verdict.reason) == seen
    assert ("not confirmed: one run does not decide it" in verdict.reason) == seen


@pytest.mark.parametrize(("version", "said"), [("0.20.0", 0), ("0.19.1", 1)])
def test_pairs_with_another_version_than_the_baselines_say_so(tmp_path: Path, version: str, said: int) -> None:
    """A loss that two versions share is not the second one's."""
    store, now = Baselines(tmp_path), measured(8)
    update(store, [now], how="all", by=BY)
    stored = store.find(now.cell, now.environment)
    assert stored is not None
    case = build([CellEvidence(measured=now, runs=(now,), baseline=stored)])
    (name,) = case.cells

    def answer(request: Request) -> Observed:
        return Observed(runs=case.runs) if isinstance(request, ScreenRuns) else Observed(exhausted="enough")

    decision = drive(decide(case.noise, paired=frozenset()), answer)
    beside = measured(8, environment=msgspec.structs.replace(ENVIRONMENT, version=version))
    verdict = verdicts(case, decision, {name: (beside, now)})[now.cell]
    words = f"the reference engine has version {version!r}, the baseline '0.20.0'"
    assert verdict.notes.count(words) == said


def test_a_baseline_is_one_small_file_per_curve_with_a_value_per_line(tmp_path: Path) -> None:
    update(Baselines(tmp_path), [measured(16), measured(4), measured(8, mtp=3, acceptance=2.5)], how="new", by=BY)
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.json"))
    assert files == ["h200/model/vllm-tp8-fp8-1k1k-mtp3.json", "h200/model/vllm-tp8-fp8-1k1k-off.json"]
    text = (tmp_path / files[1]).read_text()
    assert '"total_tok_s_gpu": [100.0, 0.1]' in text
    assert list(json.loads(text)["points"]) == ["4", "16"]
    assert "http://a" not in text


def test_update_new_leaves_existing_points_untouched(tmp_path: Path) -> None:
    store = Baselines(tmp_path)
    update(store, [measured(8, throughput=100)], how="new", by=BY)
    written = update(store, [measured(8, throughput=50), measured(16, throughput=70)], how="new", by=BY)
    assert [[cell.concurrency for cell in cells] for cells in written.values()] == [[16]]
    values = [store.find(measured(c).cell, ENVIRONMENT) for c in (8, 16)]
    assert [point.values()["total_tok_s_gpu"].value for point in values if point] == [100, 70]
    assert update(store, [measured(8, throughput=50)], how="new", by=BY) == {}


def test_update_all_replaces(tmp_path: Path) -> None:
    store = Baselines(tmp_path)
    update(store, [measured(8, throughput=100)], how="new", by=BY)
    update(store, [measured(8, throughput=50)], how="all", by=BY)
    point = store.find(measured(8).cell, ENVIRONMENT)
    assert point is not None
    assert point.values()["total_tok_s_gpu"].value == 50


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1}', '{"schema": 1, "surprise": 2}', "\xff\xfe"])
def test_a_broken_baseline_names_the_file_and_what_to_do(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(BrokenFileError, match=r"broken baseline .*x\.json: .*; restore it from version control"):
        load_baseline(path)


def test_a_typo_in_a_baseline_is_refused(tmp_path: Path) -> None:
    store = Baselines(tmp_path)
    (path,) = update(store, [measured(8)], how="new", by=BY)
    path.write_text(path.read_text().replace('"points"', '"pionts"'))
    with pytest.raises(BrokenFileError):
        load_baseline(path)


@pytest.mark.parametrize(
    ("change", "half", "outcome"),
    [
        (1.00, 0.001, Outcome.PASS),
        (0.99, 0.001, Outcome.PASS),
        (0.97, 0.001, Outcome.INCONCLUSIVE),
        (0.70, 0.001, Outcome.REGRESSED),
        (0.85, 0.001, Outcome.INCONCLUSIVE),
        (0.85, 0.05, Outcome.INCONCLUSIVE),
        (1.20, 0.001, Outcome.IMPROVED),
    ],
)
def test_one_run_decides_what_is_clear(tmp_path: Path, change: float, half: float, outcome: Outcome) -> None:
    now = measured(throughput=100 * change, interactivity=50 * change, half=half)
    assert judge(now, measured(half=half), tmp_path).outcome is outcome


@examples(30)
@given(st.integers(50, 200).map(lambda n: n / 100), st.sampled_from((0.0, 0.01, 0.1)), st.floats(-2, 2))
def test_scaling_both_sides_changes_no_verdict(
    tmp_path_factory: pytest.TempPathFactory, change: float, half: float, factor: float
) -> None:
    def outcome(scale: float) -> Outcome:
        now = measured(throughput=100 * change * scale, half=half)
        return judge(now, measured(throughput=100 * scale, half=half), tmp_path_factory.mktemp("b")).outcome

    # Stored values have four digits, so a verdict on the very edge may fall either way: keep to numbers that have four.
    assert outcome(1.0) is outcome(10.0 ** round(factor))


def test_the_order_of_cells_changes_no_verdict(tmp_path: Path) -> None:
    store = Baselines(tmp_path)
    cells = [measured(c, throughput=100 + c) for c in (4, 8, 16)]
    update(store, cells, how="all", by=BY)
    now = [measured(c, throughput=(100 + c) * f) for c, f in ((4, 1.0), (8, 0.8), (16, 1.3))]
    pairs = [(m, store.find(m.cell, m.environment)) for m in now]
    assert judge_suite(pairs) == judge_suite(reversed(pairs))


def test_fallen_acceptance_alone_is_a_regression(tmp_path: Path) -> None:
    verdict = judge(measured(mtp=3, acceptance=1.0), measured(mtp=3, acceptance=2.6), tmp_path)
    assert verdict.outcome is Outcome.REGRESSED
    lines = verdict_lines(verdict)
    assert lines[0].endswith("regressed: 1 of 4 gated metrics")
    assert any(line.startswith("acceptance length") and "regressed" in line for line in lines)


def test_a_metric_that_vanished_is_inconclusive(tmp_path: Path) -> None:
    verdict = judge(measured(mtp=3), measured(mtp=3, acceptance=2.6), tmp_path)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason == "acceptance length: not measured: missing from the runs of the candidate"


def test_another_workload_version_is_not_comparable(tmp_path: Path) -> None:
    other = msgspec.structs.replace(WORKLOAD, version="0")
    verdict = judge(measured(), measured(workload=other), tmp_path)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert verdict.reason.startswith("workload differs")


def test_another_engine_version_is_what_a_baseline_is_for(tmp_path: Path) -> None:
    newer = msgspec.structs.replace(ENVIRONMENT, version="0.22.0")
    assert judge(measured(environment=newer), measured(), tmp_path).outcome is Outcome.PASS


def test_another_gpu_has_no_baseline_here(tmp_path: Path) -> None:
    other: Environment = msgspec.structs.replace(ENVIRONMENT, hardware="h100")
    assert judge(measured(environment=other), measured(), tmp_path).outcome is Outcome.NO_BASELINE


def test_several_stored_runs_widen_the_baseline_by_their_scatter(tmp_path: Path) -> None:
    store = Baselines(tmp_path)
    (path,) = update(store, [measured(8, throughput=100)], how="new", by=BY)
    file = load_baseline(path)
    run = file.points["8"][0]
    more = [
        msgspec.structs.replace(run, values={**run.values, "total_tok_s_gpu": Estimate(v, 0.1)}) for v in (90.0, 110.0)
    ]
    save_baseline(msgspec.structs.replace(file, points={"8": [run, *more]}), path)
    point = Baselines(tmp_path).find(measured(8).cell, ENVIRONMENT)
    assert point is not None
    assert point.values()["total_tok_s_gpu"].value == 100
    assert (point.values()["total_tok_s_gpu"].half_width or 0) > 20


def test_a_run_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    run = Run(tool_version="1", started_at="2026-11-23T12:00:00+00:00", measurements=(measured(8), measured(16, mtp=3)))
    save_run(run, tmp_path / "runs" / "a.json")
    assert run_json(load_run(tmp_path / "runs" / "a.json")) == run_json(run)
    assert is_run((tmp_path / "runs" / "a.json").read_bytes())
    assert not is_run(b'[{"hw": "h200"}]')


@pytest.mark.parametrize("content", ["", "{", '{"schema": "specdec-run/1"}', '{"schema": 3}'])
def test_a_broken_run_is_refused_with_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(BrokenFileError, match=r"a\.json is not a saved run"):
        load_run(tmp_path / "a.json")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InvalidInputError, match=r"cannot write .*a\.txt: No space left on device"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_place_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="cannot write"):
        write_whole(tmp_path / "file" / "below.json", "x")


def test_the_schema_of_a_baseline_is_checked(tmp_path: Path) -> None:
    (path,) = update(Baselines(tmp_path), [measured(8)], how="new", by=BY)
    file: BaselineFile = msgspec.structs.replace(load_baseline(path), schema=99)
    save_baseline(file, path)
    with pytest.raises(BrokenFileError, match="schema 99"):
        load_baseline(path)
