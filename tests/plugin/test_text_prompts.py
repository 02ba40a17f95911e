"""Prompts of a category are measured, and keep baselines of their own."""

from __future__ import annotations

from small_suite import HOLDS, Suite

CODE = "@pytest.mark.specdec(prompts='text/code', sequence='short/48', mtp=3, concurrency=2)\n"
SENTENCES = "@pytest.mark.specdec(mtp=3, concurrency=2)\n"


def test_prompts_of_a_category_are_another_workload_than_sentences(suite: Suite) -> None:
    suite.write(SENTENCES + HOLDS)
    suite.run("--specdec-update").assert_outcomes(passed=1)
    suite.write(CODE + HOLDS)
    result = suite.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no baseline*"])
    (found,) = suite.saved_run()["measurements"]
    assert found["cell"]["workload"]["prompts"] == "text/code/short"
    assert found["findings"] == []
    assert found["values"]["input_tok_s_gpu"][0] > 0
    suite.run("--specdec-update").assert_outcomes(passed=1)
    names = [f"simulated-tp1-fp8-{shape}-mtp3.json" for shape in ("64x48", "code-shortx48")]
    assert sorted(suite.baselines) == names


def test_a_category_that_does_not_exist_is_a_usage_error(suite: Suite) -> None:
    suite.write(CODE.replace("code", "prose") + HOLDS)
    result = suite.run()
    assert "no prompts are called 'text/prose/short'; there are text/code, " in result.stderr.str()
