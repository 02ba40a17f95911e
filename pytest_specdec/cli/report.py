"""`specdec report`: any output of a saved run, written again."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_specdec.cli.output import add_outputs, emit
from pytest_specdec.cli.verb import Verb
from pytest_specdec.pipeline.option_values import positive
from pytest_specdec.report.formats import FORMATS, Compared


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("saved_run", type=Path, metavar="RUN", help="a file in .specdec/runs/")
    parser.add_argument(
        "--at", action="append", type=positive, metavar="TOK_S_USER", help="interactivity at which to compare"
    )
    add_outputs(parser, FORMATS)


def _run(options: argparse.Namespace) -> None:
    from pytest_specdec.report.run_report import report_run
    from pytest_specdec.results.run import load_run

    run = load_run(options.saved_run)
    emit(options, Compared(*report_run(run, options.at), options.at, run))


VERB = Verb("report", "print or write any output of a saved run again", _run, _add_arguments)
