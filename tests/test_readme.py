"""The README's promises; its commands are run with those of the docs (test_docs)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def run(command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_first_two_blocks_are_the_two_commands() -> None:
    first, second = (block.strip() for _, block in BLOCKS[:2])
    assert "pip install" in first
    assert "pytest suites" in first
    assert "pip install" in second
    assert second.endswith(".venv/bin/pytest")
    assert "\n" not in first + second


def test_the_demo_collects_what_the_readme_says() -> None:
    done = run(f"{BLOCKS[0][1].split(' && ')[-1].strip().removeprefix('.venv/bin/')} --collect-only -q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "specdec plan: 2 engines, 12 points" in done.stdout
    assert "two modes, six points each" in " ".join(README.split())


@pytest.mark.parametrize("block", [block for language, block in BLOCKS if language == "python"])
def test_python_blocks_collect(block: str, tmp_path: Path) -> None:
    (tmp_path / "test_readme_block.py").write_text(block)
    done = run("pytest --collect-only -q -p no:cacheprovider test_readme_block.py", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "specdec plan: " in done.stdout
