"""The tiny suite in a folder of its own, run by pytest in a process of its own, as a user would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from live import HERE, MODEL, PYTHON, SUITE


def lay_out(folder: Path) -> Path:
    """Put suite and settings into a folder; the model is the caller's."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SUITE:
        shutil.copy(HERE / name, folder)
    return folder


def make_model(script: str, target: Path, *arguments: str, source: Path = MODEL) -> Path:
    """Change the model by one of the scripts beside this file."""
    subprocess.run([PYTHON, HERE / script, source, target, *arguments], check=True)
    return target


def measure(folder: Path, *arguments: str, said: Callable[[str], None] | None = None) -> tuple[int, str]:
    """Run the baseline test of the suite on a vLLM launched for it.

    Returns pytest's exit code and all that it printed; `said` is told every line when it comes.
    """
    command = [sys.executable, "-m", "pytest", "-c", "tiny.ini", "-p", "no:cacheprovider", "-k", "holds"]
    command += ["--specdec-launch=vllm", "-o", f"specdec_launch_python={PYTHON}", *arguments]
    lines = []
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None, "unreachable because stdout is a pipe"
        for line in process.stdout:
            lines.append(line)
            if said is not None:
                said(line.rstrip())
    return process.returncode, "".join(lines)


def accept(folder: Path, run: Path, *arguments: str) -> tuple[int, str]:
    """Make a saved run the baselines. Returns the exit code and what was said."""
    command = [sys.executable, "-m", "pytest_specdec", "baselines", "accept", str(run), *arguments]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def newest_run(folder: Path) -> Path:
    """Where the last run was saved."""
    return max((folder / ".specdec" / "runs").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)


def content(run: Path) -> dict[str, Any]:
    """A saved run."""
    found: dict[str, Any] = json.loads(run.read_text(encoding="utf-8"))
    return found
