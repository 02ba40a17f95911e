"""Run the commands that docs and example workflows show, or let their parsers read them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from pytest_specdec.__main__ import read

OTHERS = (".", "pip", "python3", "vllm", "git", "gh", "docker", ".venv/bin/pip")
"""First words of commands that are neither ours nor pytest's; only blocks that need something have them."""
# Small windows, so that a page takes seconds; what a toy's points come to in them is not the page's matter.
QUICK = (
    "-p no:cacheprovider --specdec-window 0.5 -o specdec_settle_s=0.05 -o specdec_warm_up_s=0.3 "
    "-o specdec_sessions=1x1 --specdec-confirm never --specdec-gpu-hour-usd 1.41 --specdec-gpu-kw 1.73"
)


def parse(command: str, folder: Path) -> None:
    """Fail where a command of ours has an option or a value that it does not take, or is none that is known."""
    for part in re.split(r"\s*(?:&&|\|)\s*", command):
        words = [word for word in shlex.split(part) if word not in ("...", "&")]
        assert words, command
        name = words[0].rpartition("/")[2]
        if name == "specdec":
            _parse_specdec(words[1:], folder)
        elif name == "pytest":
            _parse_pytest(words[1:], folder)
        else:
            assert words[0] in OTHERS, f"{words[0]} is neither ours nor known"


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a reader would, with this environment's tools first."""
    return subprocess.run(
        command, shell=True, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=300
    )


def environment() -> dict[str, str]:
    """The tools of this environment first, windows small, nobody's settings."""
    ours = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTEST_ADDOPTS": QUICK, "COLUMNS": "160"}
    foreign = {"SPECDEC_API_KEY", "OPENAI_API_KEY", "GITHUB_STEP_SUMMARY"}
    return {**{key: value for key, value in os.environ.items() if key not in foreign}, **ours}


def _parse_specdec(words: list[str], folder: Path) -> None:
    options = read(words)
    if options.more:
        _parse_pytest(options.more, folder)


def _parse_pytest(words: list[str], folder: Path) -> None:
    """Let pytest read the words over an empty suite: a wrong option or value is a usage error."""
    for word in words:
        if not word.startswith("-") and "/" not in word and "=" not in word:
            (folder / word).mkdir(exist_ok=True) if "." not in word else (folder / word).touch()
        elif word.endswith(".py"):
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            (folder / word).touch()
    done = run(shlex.join(["pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words]), folder)
    assert done.returncode in (0, 5), done.stdout + done.stderr
