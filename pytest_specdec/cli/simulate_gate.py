"""`specdec simulate-gate`: false alarms and detection of the gate, in simulation."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from pytest_specdec.cli.verb import Verb

_DESCRIPTION = """\
Simulate suites of 100 cells under the gate's rule, without an engine: false alarms of clean suites, detection of
losses, repeats and GPU-hours. A thousand suites take about 15 s per row.

  specdec simulate-gate --suites 300
  specdec simulate-gate --noise baselines/h200/noise-vllm.json   (the noise that a selftest stored)
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--suites", type=int, default=300, metavar="N", help="suites per row (default: %(default)s)")
    parser.add_argument("--noise", type=Path, metavar="FILE", help="noise of a selftest instead of the built-in worlds")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation (default: %(default)s)")


def _run(options: argparse.Namespace) -> None:
    from pytest_specdec.gate.noise_file import load_noise
    from pytest_specdec.gate.study.table import render, study
    from pytest_specdec.gate.study.world import WORLDS, world_of

    worlds = WORLDS if options.noise is None else {"stored": world_of(load_noise(options.noise))}
    told = partial(print, file=sys.stderr)
    print(render(study(suites=options.suites, worlds=worlds, seed=options.seed, progress=told)))


VERB = Verb(
    "simulate-gate",
    "false alarms and detection of the gate itself, by simulation",
    _run,
    _add_arguments,
    description=_DESCRIPTION,
)
