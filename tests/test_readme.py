"""The README's promises; its commands are run with those of the docs (test_docs)."""

from __future__ import annotations

import re
import shlex
import shutil

import pytest
from doc_blocks import ROOT

import pytest_specdec.measure.runner  # noqa: F401 - numpy cannot be imported twice: have it before pytest runs in here

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def test_the_first_two_blocks_are_the_two_commands() -> None:
    first, second = (block.strip() for _, block in BLOCKS[:2])
    assert "pip install" in first
    assert "pytest suites" in first
    assert "pip install" in second
    assert second.endswith(".venv/bin/pytest")
    assert "\n" not in first + second


def test_the_demo_collects_what_the_readme_says(pytester: pytest.Pytester) -> None:
    shutil.copytree(ROOT / "suites", pytester.path / "suites")
    _, *words = shlex.split(BLOCKS[0][1].split(" && ")[-1])
    done = pytester.runpytest_inprocess(*words, "--collect-only", "-q")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["specdec plan: 2 engines, 12 points*"])
    assert "two modes, six points each" in " ".join(README.split())


@pytest.mark.parametrize("block", [block for language, block in BLOCKS if language == "python"])
def test_python_blocks_collect(block: str, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_readme_block=block)
    done = pytester.runpytest_inprocess("--collect-only", "-q", "test_readme_block.py")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["specdec plan: *"])
