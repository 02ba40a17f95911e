"""`specdec report`: any output of a saved run, written again."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_specdec.cli.output import add_outputs, emit
from pytest_specdec.cli.verb import Verb
from pytest_specdec.pipeline.option_values import positive


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("saved_run", type=Path, metavar="RUN", help="a file in .specdec/runs/")
    parser.add_argument(
        "--at", action="append", type=positive, metavar="TOK_S_USER", help="interactivity at which to compare"
    )
    add_outputs(parser)
    for name, what in (
        ("bmf", "Bencher Metric Format"),
        ("bigger", "github-action-benchmark's customBiggerIsBetter"),
        ("smaller", "github-action-benchmark's customSmallerIsBetter"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"also write {what}")


def _run(options: argparse.Namespace) -> None:
    from pytest_specdec.report.html import page
    from pytest_specdec.report.pull_request import pull_request_page
    from pytest_specdec.report.run_report import report_run
    from pytest_specdec.report.trackers import TRACKERS
    from pytest_specdec.results.files import write_whole
    from pytest_specdec.results.run import load_run

    run = load_run(options.saved_run)
    markdown, options.md = options.md, None
    emit(options, *report_run(run, options.at), page=lambda: page(run, options.at))
    if markdown is not None:
        write_whole(markdown, pull_request_page(run, options.at))
        print(f"wrote {markdown}")
    for ending, write in TRACKERS.items():
        path: Path | None = getattr(options, ending.split(".")[1])
        if path is not None:
            write_whole(path, write(run))
            print(f"wrote {path}")


VERB = Verb(
    name="report", help="print or write any output of a saved run again", add_arguments=_add_arguments, run=_run
)
