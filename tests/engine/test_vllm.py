"""The real thing: vLLM with real MTP on a tiny model, launched, measured and gated.

Needs the Python of an environment with vLLM in the variable SPECDEC_VLLM_PYTHON (`tests/engine/README.md`).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from live import HERE, PYTHON, SUITE, engine, serving

MODEL = "tiny-mimo-mtp"
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="no real engine: SPECDEC_VLLM_PYTHON does not name a Python with vLLM (tests/engine/README.md)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite on the tiny model, its baselines just written."""
    folder = tmp_path_factory.mktemp("tiny")
    shutil.copytree(HERE / MODEL, folder / MODEL)
    for name in SUITE:
        shutil.copy(HERE / name, folder)
    done = measure(folder, "--specdec-update")
    assert done.returncode == 0, done.stdout
    return folder


def measure(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-c", "tiny.ini", "-p", "no:cacheprovider", "--specdec-launch=vllm"]
    command += ["-o", f"specdec_launch_python={PYTHON}", *arguments]
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def newest_run(folder: Path) -> dict[str, Any]:
    newest = max((folder / ".specdec" / "runs").glob("*.json"), key=lambda p: p.stat().st_mtime_ns)
    content: dict[str, Any] = json.loads(newest.read_text())
    return content


def test_off_and_mtp_are_measured_with_the_engines_own_acceptance(folder: Path) -> None:
    run = newest_run(folder)
    assert run["complete"]
    assert len(run["measurements"]) == 9
    # From the training of this model: nearly every draft is accepted, at every concurrency.
    expected = {1: (1.90, 2.0), 3: (3.5, 4.0)}
    for found in run["measurements"]:
        mtp = found["cell"]["engine"]["mtp"]
        assert found["environment"]["engine"] == "vllm"
        assert found["environment"]["version"] != "unknown"
        assert found["environment"]["simulated"] == ""
        assert found["requests"]["failed"] == 0
        assert found["tokens"]["reason"] == ""
        assert found["environment"]["facts"]["draft_tokens"] == str(mtp)
        assert found["environment"]["facts"]["max_running"] == "16"
        assert found["server_ttft"]["server_mean_ms"] > 0
        if mtp:
            low, high = expected[mtp]
            assert low < found["values"]["acceptance_length"][0] < high
            assert found["acceptance"]["draft_tokens"] == mtp
        else:
            assert found["acceptance"] is None


def test_a_weak_drafter_is_a_regression_of_acceptance(folder: Path, tmp_path: Path) -> None:
    weak = tmp_path / "weak"
    shutil.copytree(folder, weak)
    shutil.rmtree(weak / MODEL)
    subprocess.run([PYTHON, HERE / "weaken_drafter.py", HERE / MODEL, weak / MODEL, "1.2"], check=True)
    # A threshold of speed would be this machine's noise: acceptance is the evidence.
    done = measure(weak, "-k", "holds and mtp1-c4")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "REGRESSED suite_tiny.py" in done.stdout
    (verdict,) = newest_run(weak)["verdicts"]
    judged = {check["metric"]: check for check in verdict["checks"]}
    assert judged["acceptance_length"]["outcome"] == "fail"
    assert "paired over" in judged["acceptance_length"]["reason"]
    moved = parts(newest_run(weak))["acceptance_length"]
    assert moved["effect"][0] == pytest.approx(1.6 / 1.95 - 1, abs=0.06)


def test_slower_steps_are_a_regression_of_steps_and_not_of_acceptance(folder: Path, tmp_path: Path) -> None:
    """Sixteen more layers in the target change neither text nor acceptance, and every step takes far longer."""
    slow = tmp_path / "slow"
    shutil.copytree(folder, slow)
    shutil.rmtree(slow / MODEL)
    subprocess.run([PYTHON, HERE / "deepen_target.py", HERE / MODEL, slow / MODEL, "16"], check=True)
    done = measure(slow, "-k", "holds and mtp1-c4")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "REGRESSED suite_tiny.py" in done.stdout
    run = newest_run(slow)
    assert run["verdicts"][0]["diagnosis"]["cause"] in ("step time", "stalls")
    assert abs(parts(run)["acceptance_length"]["effect"][0]) < 0.03
    assert parts(run)["step_time_ms"]["effect"][0] < -0.1
    assert "acceptance length unchanged" in run["verdicts"][0]["diagnosis"]["sentence"]


def parts(run: dict[str, Any]) -> dict[str, Any]:
    """The factors of the diagnosis of the one verdict, by metric."""
    (verdict,) = run["verdicts"]
    return {part["metric"]: part for part in verdict["diagnosis"]["parts"]}


def test_mtp_and_off_say_the_same(tmp_path: Path) -> None:
    """Greedy speculation must not change the text; the engine is asked the way any user would."""
    texts = {}
    for mtp in (0, 3):
        spec = engine(mtp)
        with serving(spec, tmp_path) as endpoint:
            texts[mtp] = [greedy(endpoint.root, spec.model, prompt) for prompt in ("The", "Once", "In a town")]
    assert texts[0] == texts[3]
    assert all(len(text) > 20 for text in texts[0])


def test_acceptance_is_pinned_by_the_engine_and_verified(folder: Path, tmp_path: Path) -> None:
    """On this CPU build synthetic acceptance is a patch of these tests (`vllm_cpu_synthetic.py`)."""
    pinned = tmp_path / "pinned"
    shutil.copytree(folder, pinned)
    suite = (HERE / "suite_tiny.py").read_text().replace("mtp=[0, 1, 3]", "mtp=3, acceptance=2.5")
    (pinned / "suite_tiny.py").write_text(suite.replace("mtp=[1, 3]", "mtp=3"))
    done = measure(pinned, "-k", "holds and c4", "--specdec-update")
    assert done.returncode == 0, done.stdout
    (found,) = newest_run(pinned)["measurements"]
    assert found["acceptance"]["length"] == pytest.approx(2.5, rel=0.03)
    assert found["environment"]["facts"]["acceptance"] == "2.5"
    assert [path.name for path in pinned.rglob("*al2.5.json")] == ["vllm-tp1-fp32-256x128-mtp3-al2.5.json"]


def greedy(root: str, model: str, prompt: str) -> str:
    with openai.OpenAI(base_url=f"{root}/v1", api_key="none") as client:
        answer = client.completions.create(model=model, prompt=prompt, max_tokens=64, temperature=0)
    return answer.choices[0].text
