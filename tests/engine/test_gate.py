"""The gate on a real vLLM: a weak drafter is red by acceptance, prompt by prompt, and becomes no baseline unexplained.

Needs the Python of an environment with vLLM in the variable SPECDEC_VLLM_PYTHON (`tests/engine/README.md`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from live import MODEL, PYTHON
from tiny_suite import accept, content, lay_out, make_model, measure, newest_run

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="no real engine: SPECDEC_VLLM_PYTHON does not name a Python with vLLM (tests/engine/README.md)"
)

CONFTEST = """
# Engine and client share a small, busy machine. What is tested is acceptance, which no late client can move.
from pytest_specdec.domain import client_health

for bound in [name for name in vars(client_health) if name.startswith("MOST_")]:
    setattr(client_health, bound, float("inf"))
"""
ONE_RUN = ("--specdec-only=mtp=3", "--specdec-only=concurrency=4", "--specdec-update=all", "--specdec-sessions=1x1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """A healthy baseline, and the weak drafter measured against it, both asked to become the baseline."""

    folder: Path
    healthy: Mapping[Path, str]
    """Baselines as they were before the upgrade."""
    exit_code: int
    output: str

    def baselines(self) -> dict[Path, str]:
        """As they are now."""
        return {path: path.read_text() for path in sorted((self.folder / "baselines").rglob("*.json"))}


@pytest.fixture(scope="module")
def upgrade(tmp_path_factory: pytest.TempPathFactory) -> Upgrade:
    folder = lay_out(tmp_path_factory.mktemp("gate"))
    with (folder / "conftest.py").open("a") as conftest:
        conftest.write(CONFTEST)
    shutil.copytree(MODEL, folder / MODEL.name)
    exit_code, output = measure(folder, *ONE_RUN)
    assert exit_code == 0, output
    healthy = {path: path.read_text() for path in sorted((folder / "baselines").rglob("*.json"))}
    assert len(healthy) == 1, output
    make_model("weaken_drafter.py", folder / MODEL.name, "1.2")
    exit_code, output = measure(folder, *ONE_RUN, "--specdec-confirm=never")
    return Upgrade(folder=folder, healthy=healthy, exit_code=exit_code, output=output)


def unjudged_client(run: Path) -> Path:
    """Take from a saved run how the client did: the command line knows nothing of the lifted bounds."""
    found = content(run)
    for measurement in (*found["measurements"], *(raw["measurement"] for raw in found["raw"])):
        measurement["client"] = None
    run.write_text(json.dumps(found))
    return run


def test_a_weak_drafter_is_red_by_acceptance_prompt_by_prompt(upgrade: Upgrade) -> None:
    assert upgrade.exit_code == pytest.ExitCode.TESTS_FAILED, upgrade.output
    (verdict,) = content(newest_run(upgrade.folder))["verdicts"]
    assert verdict["outcome"] == "regressed"
    (length,) = [check for check in verdict["checks"] if check["metric"] == "acceptance_length"]
    assert (length["outcome"], length["evidence"]) == ("fail", "own test")
    assert "paired over" in length["reason"], "vLLM counts by request"
    assert length["loss"] > 0.3
    assert "acceptance length" in verdict["reason"]
    assert verdict["reason"] in " ".join(upgrade.output.split())


def test_the_failed_run_becomes_the_baseline_only_with_a_reason(upgrade: Upgrade) -> None:
    assert "no baseline stored: 1 of 1 points failed their gate" in upgrade.output
    run = unjudged_client(newest_run(upgrade.folder))
    exit_code, said = accept(upgrade.folder, run)
    assert exit_code != 0
    assert "--reason 'WHY'" in said
    assert upgrade.baselines() == upgrade.healthy

    exit_code, said = accept(upgrade.folder, run, "--reason", "a smaller drafter, agreed")
    assert exit_code == 0, said
    ((path, accepted),) = upgrade.baselines().items()
    assert "a smaller drafter, agreed" in accepted
    assert accepted != upgrade.healthy[path]
