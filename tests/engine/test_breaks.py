"""What breaks on a real vLLM is named: slower steps as slower steps, another model as another text."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from live import HERE, MODEL, PYTHON, engine, serving

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.load.target import Target
from pytest_specdec.measure import interview as asking
from pytest_specdec.measure.interview import Answers, ask_all
from pytest_specdec.measure.judge_answers import judge_answers

ROOM = 4096
"""Tokens. The tiny tokenizer makes a token of two or three characters: prompts of real size need more than it was made
for.
"""

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="no real engine: SPECDEC_VLLM_PYTHON does not name a Python with vLLM (tests/engine/README.md)"
)


def ask(endpoint: Endpoint, model: str, draft_tokens: int) -> Answers:
    target = Target(base_url=endpoint.url, model=model)
    return asyncio.run(ask_all(target, draft_tokens=draft_tokens, thinking=None))


def test_speculation_does_not_change_the_text_and_other_weights_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A model that only recites solves no task, and takes its time over each.
    monkeypatch.setattr(asking, "TASK_TOKENS", 4)
    monkeypatch.setattr(asking, "STRUCTURE_TOKENS", 4)
    same, other = tmp_path / "same", tmp_path / "other"
    shutil.copytree(MODEL, same)
    config = json.loads((same / "config.json").read_text())
    (same / "config.json").write_text(json.dumps(config | {"max_position_embeddings": ROOM}))
    subprocess.run([PYTHON, HERE / "other_weights.py", same, other, "0.05"], check=True)
    answers = {}
    for name, spec in (("off", engine(0, same)), ("mtp", engine(3, same)), ("other", engine(3, other))):
        with serving(spec, tmp_path, f"--max-model-len {ROOM}") as endpoint:
            answers[name] = ask(endpoint, spec.model, spec.mtp)
    assert answers["off"].texts[0].tokens, "vLLM gives log-probabilities"
    healthy = judge_answers(answers["off"], answers["mtp"])
    assert healthy.same_text.verdict.outcome is Outcome.PASS, healthy.same_text
    assert healthy.clean.verdict.outcome is Outcome.PASS, healthy.clean
    changed = judge_answers(answers["off"], answers["other"])
    assert changed.same_text.verdict.outcome is Outcome.FAILED, changed.same_text
