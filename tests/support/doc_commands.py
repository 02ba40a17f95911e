"""Run the commands that docs and example workflows show, or let their parsers read them."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

import pytest_specdec.measure.runner  # noqa: F401 - numpy cannot be imported twice: have it before pytest runs in here
from pytest_specdec.__main__ import main, read

OTHERS = (".", "pip", "python3", "vllm", "git", "gh", "docker", ".venv/bin/pip")
"""First words of commands that are neither ours nor pytest's; only blocks that need something have them."""
# Small windows, so that a page takes seconds; what a toy's points come to in them is not the page's matter.
QUICK = (
    "-p no:cacheprovider --specdec-window 0.3 -o specdec_settle_s=0.05 -o specdec_warm_up_s=0.3 "
    "-o specdec_sessions=1x1 --specdec-confirm never --specdec-gpu-hour-usd 1.41 --specdec-gpu-kw 1.73"
)
OURS = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTEST_ADDOPTS": QUICK, "COLUMNS": "160"}
FOREIGN = ("SPECDEC_API_KEY", "OPENAI_API_KEY", "GITHUB_STEP_SUMMARY", "PYTEST_XDIST_WORKER")


def parse(command: str, pytester: pytest.Pytester) -> None:
    """Fail where a command of ours has an option or a value that it does not take, or is none that is known."""
    for part in re.split(r"\s*(?:&&|\|)\s*", command):
        words = [word for word in shlex.split(part) if word not in ("...", "&")]
        assert words, command
        name = words[0].rpartition("/")[2]
        if name == "specdec":
            _parse_specdec(words[1:], pytester)
        elif name == "pytest":
            _parse_pytest(words[1:], pytester)
        else:
            assert words[0] in OTHERS, f"{words[0]} is neither ours nor known"


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    code: int
    printed: str


def run(command: str, pytester: pytest.Pytester) -> Done:
    """Run a command: pytest and ours in this process, where all is imported already, others in a shell."""
    name, *words = shlex.split(command)
    if name == "pytest":
        result = pytester.runpytest_inprocess(*words)
        return Done(int(result.ret), f"{result.stdout}\n{result.stderr}")
    if name == "specdec":
        printed = io.StringIO()
        with redirect_stdout(printed), redirect_stderr(printed):
            code = main(words)
        return Done(code, printed.getvalue())
    return run_in_a_shell(command, pytester.path)


def run_in_a_shell(command: str, folder: Path) -> Done:
    """Run a command as a reader would, with this environment's tools first."""
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=300
    )
    return Done(done.returncode, done.stdout + done.stderr)


def environment() -> dict[str, str]:
    """The tools of this environment first, windows small, nobody's settings."""
    return {**{key: value for key, value in os.environ.items() if key not in FOREIGN}, **OURS}


def _parse_specdec(words: list[str], pytester: pytest.Pytester) -> None:
    options = read(words)
    if options.more:
        _parse_pytest(options.more, pytester)


def _parse_pytest(words: list[str], pytester: pytest.Pytester) -> None:
    """Let pytest read the words over an empty suite, in this process: a wrong option or value is a usage error."""
    for word in words:
        path = pytester.path / word
        if word.endswith(".py") or (not word.startswith("-") and "/" not in word and "=" not in word and "." in word):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        elif not word.startswith("-") and "/" not in word and "=" not in word:
            path.mkdir(exist_ok=True)
    done = pytester.runpytest_inprocess("--collect-only", "-q", *shlex.split(QUICK), *words)
    assert done.ret in (0, 5), str(done.stdout) + str(done.stderr)
