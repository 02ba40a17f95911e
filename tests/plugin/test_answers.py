"""Speculation must not change what the model says: the fixture `outputs` on engines that do, and that do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_suite import Suite

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.load.target import Target
from pytest_specdec.measure import http_engine
from pytest_specdec.measure import interview as asking
from pytest_specdec.outputs.checks import Judgement, Outputs
from pytest_specdec.outputs.verdict import OutputVerdict
from pytest_specdec.pipeline import record

Serve = Callable[..., str]
SAYS = """
@pytest.mark.specdec(mtp=3)
def test_text(outputs):
    assert outputs.same_text

@pytest.mark.specdec(mtp=3)
def test_clean(outputs):
    assert outputs.clean

@pytest.mark.specdec(mtp=3)
def test_structure(outputs):
    assert outputs.keeps_structure
"""


def run(suite: Suite, off: str, mtp: str, *more: str) -> pytest.RunResult:
    return suite.run(f"--specdec-endpoint=off={off}", f"--specdec-endpoint=mtp=3={mtp}", *more, simulate=False)


def test_a_healthy_engine_says_what_off_says(suite: Suite, serve: Serve) -> None:
    suite.write(SAYS)
    result = run(suite, serve(), serve(mtp=3))
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*outputs of MTP against Off*", "*toy-fp8-mtp3-says-what-off-says*losslessness*pass*"])
    checks = {v["check"]: v["outcome"] for v in suite.saved_run()["outputs"]["toy-fp8-mtp3-says-what-off-says"]}
    assert checks["losslessness"] == checks["canaries"] == "pass"


@pytest.mark.parametrize(
    ("fault", "red", "words"),
    [
        ("text-differs", "test_text", "losslessness: failed"),
        ("gibberish", "test_clean", "canaries: failed"),
        ("invalid-utf8", "test_clean", "canaries: failed"),
        ("structured-invalid", "test_structure", "invalid JSON"),
        ("anothers-text", "test_clean", "foreign text: "),
        ("loops-in-long-context", "test_clean", "long contexts: repetition loop: "),
        ("later-turns-garbled", "test_clean", "conversations: repetition loop: 30 of 40 answers with MTP, 0 without"),
    ],
)
def test_an_engine_that_says_something_else_is_red(
    suite: Suite, serve: Serve, fault: str, red: str, words: str
) -> None:
    suite.write(SAYS)
    result = run(suite, serve(), serve(mtp=3, fault=fault), "-k", red)
    result.assert_outcomes(failed=1, deselected=2)
    assert words in result.stdout.str()


def test_tasks_that_mtp_does_not_solve_are_lost(suite: Suite, serve: Serve) -> None:
    suite.write("@pytest.mark.specdec(mtp=3)\ndef test_it(outputs):\n    assert outputs.solves_as_much\n")
    result = run(suite, serve(), serve(mtp=3, fault="answers-wrong"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*task accuracy: failed: unsolved tasks: 60 of 60 with MTP, 0 without*"])


def test_an_engine_that_is_stuck_on_a_grammar_is_red_and_waited_for_with_reason(
    suite: Suite, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE", 0.0)
    monkeypatch.setattr(asking, "LEAST_PATIENCE_S", 0.05)
    suite.write(SAYS)
    result = run(suite, serve(), serve(mtp=3, fault="structured-stuck"), "-k", "test_structure")
    result.assert_outcomes(failed=1, deselected=2)
    result.stdout.fnmatch_lines(["*no answer in time, or invalid JSON: 8 of 8 with MTP, 0 without*"])


def test_a_pinned_acceptance_has_no_text_of_its_own(suite: Suite) -> None:
    suite.write("@pytest.mark.specdec(mtp=3, acceptance=2.5)\ndef test_it(outputs):\n    assert outputs.clean\n")
    result = suite.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "with a pinned acceptance" in result.stderr.str()


def test_outputs_need_an_mtp_mode(suite: Suite) -> None:
    suite.write("@pytest.mark.specdec(mtp=0)\ndef test_it(outputs):\n    assert outputs.clean\n")
    result = suite.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "outputs need an MTP mode" in result.stderr.str()


def test_an_engine_that_is_not_there_is_engine_trouble(suite: Suite, serve: Serve) -> None:
    suite.write(SAYS)
    result = run(suite, serve(), "http://127.0.0.1:9/v1", "-k", "test_text")
    result.assert_outcomes(errors=1, deselected=2)
    result.stdout.fnmatch_lines(["*toy-fp8-mtp3 was not asked: *cannot be reached*"])


Said = tuple[int, bool | None]
"""K, and whether the engine was to think."""


@pytest.fixture
def interviews(monkeypatch: pytest.MonkeyPatch) -> list[Said]:
    """Engines that say at once what they were asked as; same_text fails wherever answers of two kinds meet."""
    asked: list[Said] = []

    async def ask_all(_target: Target, *, draft_tokens: int, thinking: bool | None) -> Said:
        asked.append((draft_tokens, thinking))
        return asked[-1]

    def judge_answers(off: Said, mtp: Said) -> Outputs:
        failed = off[0] != 0 or off[1] != mtp[1]
        outcome = Outcome.FAILED if failed else Outcome.PASS
        verdict = OutputVerdict(check="kind", outcome=outcome, reasons=(f"{off} {mtp}",), numbers={})
        one = Judgement(verdict)
        return Outputs(same_text=one, clean=one, solves_as_much=one, keeps_structure=one)

    monkeypatch.setattr(http_engine, "ask_all", ask_all)
    monkeypatch.setattr(record, "judge_answers", judge_answers)
    return asked


TEXT = "def test_{}(outputs):\n    assert outputs.same_text\n"


def test_suites_that_share_an_off_engine_have_its_answers_in_their_own_way_of_thinking(
    suite: Suite, interviews: list[Said]
) -> None:
    suite.write(
        "@pytest.mark.specdec(mtp=3, thinking=True)\n" + TEXT.format("thinking"),
        "@pytest.mark.specdec(mtp=[1, 3], thinking=False)\n" + TEXT.format("plain"),
    )
    suite.run().assert_outcomes(passed=3)
    assert sorted(interviews) == [(0, False), (0, True), (1, False), (3, False), (3, True)]


def test_answers_that_failed_are_not_hidden_by_those_of_an_engine_with_the_same_name(
    suite: Suite, interviews: list[Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = iter([Outcome.FAILED, Outcome.PASS])

    def judge_answers(_off: Said, _mtp: Said) -> Outputs:
        one = Judgement(OutputVerdict(check="kind", outcome=next(judged), reasons=(), numbers={}))
        return Outputs(same_text=one, clean=one, solves_as_much=one, keeps_structure=one)

    monkeypatch.setattr(record, "judge_answers", judge_answers)
    suite.write("@pytest.mark.specdec(mtp=3, parallelism=['tp1', 'tp1ep1'])\n" + TEXT.format("it"))
    result = suite.run()
    result.assert_outcomes(passed=1, failed=1)
    assert len(interviews) == 4
    outcomes = {name: {v["outcome"] for v in found} for name, found in suite.saved_run()["outputs"].items()}
    assert outcomes == {
        "toy-fp8-mtp3-says-what-off-says tp1, thinking by default": {"failed"},
        "toy-fp8-mtp3-says-what-off-says tp1ep1, thinking by default": {"pass"},
    }
