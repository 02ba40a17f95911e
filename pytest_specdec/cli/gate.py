"""`specdec selftest` and `specdec simulate-gate`: what the gate is worth, on a machine and in simulation."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from pytest_specdec.errors import EngineError

_SIMULATE = """\
Simulate suites of 100 cells under the gate's rule, no engine involved: false alarms of clean suites, detection of
losses, runs and GPU-hours. A thousand suites take about a quarter of a minute per row.

  specdec simulate-gate --suites 300
  specdec simulate-gate --noise baselines/h200/noise-vllm.json   (the noise that a selftest found)
"""


def add_selftest(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`specdec selftest`."""
    parser = verbs.add_parser(
        "selftest",
        help="what can the gate find on this machine? compare the engine with itself (pytest --specdec-selftest)",
        description="Measure suites in five sessions (starts of the server) of two runs, fit the noise, say per metric "
        "the smallest loss that the gate finds here, and store the noise beside the baselines. Everything after the "
        "command goes to pytest: specdec selftest suites --specdec-launch vllm --specdec-sessions 5x2",
    )
    parser.set_defaults(run=_selftest, takes_more=True)


def _selftest(options: argparse.Namespace) -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "pytest", "--specdec-selftest", *options.more], check=False
    )
    if done.returncode:
        raise EngineError(f"pytest ended with {done.returncode}, see above")


def add_simulate_gate(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`specdec simulate-gate`."""
    parser = verbs.add_parser(
        "simulate-gate",
        help="false alarms and detection of the gate itself, by simulation",
        description=_SIMULATE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--suites", type=int, default=300, metavar="N", help="suites per row (default: %(default)s)")
    parser.add_argument("--noise", type=Path, metavar="FILE", help="simulate the noise of a selftest, in place of ours")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: %(default)s)")
    parser.set_defaults(run=_simulate_gate)


def _simulate_gate(options: argparse.Namespace) -> None:
    from pytest_specdec.gate.noise_file import load_noise
    from pytest_specdec.gate.study.table import render, study
    from pytest_specdec.gate.study.world import WORLDS, world_of

    worlds = WORLDS if options.noise is None else {"stored": world_of(load_noise(options.noise))}
    rows = study(
        suites=options.suites,
        worlds=worlds,
        seed=options.seed,
        progress=lambda row: print(row, file=sys.stderr),
    )
    print(render(rows))
