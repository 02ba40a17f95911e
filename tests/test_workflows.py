"""The example workflows: GitHub takes them, and the commands in them are ours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import ROOT
from doc_commands import parse
from ruamel.yaml import YAML

WORKFLOWS = sorted((ROOT / "docs" / "workflows").glob("*.yml"))


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = YAML(typ="safe").load(path)["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def commands(script: str) -> list[str]:
    """Our commands in a script: its lines joined, with what only the shell knows taken out."""
    lines = re.sub(r"\\\n\s*", "", script).splitlines()
    found = [re.search(r"\.venv/bin/(?:pytest|specdec)\b[^;]*", line) for line in lines]
    return [re.sub(r"\$\{[^}]*\}", "", match[0]) for match in found if match]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_github_takes_it(path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_its_scripts_are_of_the_shell_and_its_commands_are_ours(path: Path, pytester: pytest.Pytester) -> None:
    scripts = [step["run"] for step in steps(path) if "run" in step]
    for script in scripts:
        done = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    ours = [command for script in scripts for command in commands(script)]
    assert any("pytest suites" in command for command in ours)
    for command in ours:
        parse(command, pytester)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_it_may_do_no_more_than_it_must_and_text_from_outside_is_no_script(path: Path) -> None:
    whole = YAML(typ="safe").load(path)
    assert whole["permissions"] == {"contents": "read"}
    assert whole["concurrency"]["group"] == "gpu-node"
    assert not [step["run"] for step in steps(path) if "${{" in step.get("run", "")]
    assert all("timeout-minutes" in job for job in whole["jobs"].values() if "self-hosted" in job["runs-on"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_docs_explain_it(path: Path) -> None:
    assert f"(workflows/{path.name})" in (ROOT / "docs" / "ci.md").read_text()
