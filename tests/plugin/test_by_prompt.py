"""Acceptance by prompt through the plugin: from the simulated engine into the saved run."""

from __future__ import annotations

from small_suite import HOLDS, Suite

from pytest_specdec.results.run import load_run


def test_a_run_keeps_acceptance_by_prompt_with_mtp_only(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run()
    (path,) = (suite.pytester.path / ".specdec" / "runs").glob("*.json")
    measured = load_run(path).measurements
    off, mtp = ([m for m in measured if bool(m.cell.engine.mtp) is on] for on in (False, True))
    assert [m.by_prompt for m in off] == [None, None]
    kept = [m.by_prompt for m in mtp]
    assert len({by_prompt.wording for by_prompt in kept if by_prompt is not None}) == 1
    for by_prompt in kept:
        assert by_prompt is not None
        assert len(by_prompt.requests) == len(by_prompt.steps) == len(by_prompt.early_chunks) > 0
        assert len(by_prompt.accepted) == 3
