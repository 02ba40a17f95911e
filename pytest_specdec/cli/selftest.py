"""`specdec selftest`: what the gate detects on this machine."""

from __future__ import annotations

import argparse
import subprocess
import sys

from pytest_specdec.cli.verb import Verb
from pytest_specdec.errors import EngineError


def _run(options: argparse.Namespace) -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "pytest", "--specdec-selftest", *options.more], check=False
    )
    if done.returncode:
        raise EngineError(f"pytest ended with exit code {done.returncode}, see above")


VERB = Verb(
    "selftest",
    "compare the engine with itself: noise and minimum detectable effect (pytest --specdec-selftest)",
    _run,
    description="Measure suites in five sessions (server starts) of two repeats, estimate the noise, print the minimum "
    "detectable effect of each metric, and store the noise beside the baselines. All arguments go to pytest: specdec "
    "selftest suites --specdec-launch vllm --specdec-sessions 5x2",
    takes_more=True,
)
