"""`specdec report` and `specdec history`: saved runs, one by one and over time."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_specdec.cli.output import add_outputs, emit
from pytest_specdec.pipeline.option_values import count, positive
from pytest_specdec.report.formats import FORMATS, Compared

_HISTORY = """\
Show a cell over engine versions and dates, from the runs that were saved in this checkout. Unlike things (workload,
hardware, engine, its settings, price) are never in one series.

  specdec history                       every cell, one line each
  specdec history 8k1k-mtp3-c16         one cell, run by run
  specdec history mtp3 c16 --metric acceptance_length
"""


def add_report(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`specdec report`."""
    parser = verbs.add_parser("report", help="print or write any output of a saved run again")
    parser.add_argument("saved_run", type=Path, metavar="RUN", help="a file in .specdec/runs/")
    parser.add_argument(
        "--at", action="append", type=positive, metavar="TOK_S_USER", help="interactivity at which to compare"
    )
    add_outputs(parser, FORMATS)
    parser.set_defaults(run=_report)


def add_history(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`specdec history`."""
    parser = verbs.add_parser(
        "history",
        help="show cells over the saved runs: dates, engine versions, uncertainty, verdicts",
        description=_HISTORY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "filters",
        nargs="*",
        metavar="CELL-FILTER",
        help="whole parts of cells' names: mtp3, 8k1k-mtp3, c16; all must be",
    )
    parser.add_argument(
        "--metric",
        default="total_tok_s_gpu",
        metavar="KEY",
        help="what to show, see docs/glossary.md (default: %(default)s)",
    )
    parser.add_argument(
        "--runs", type=Path, default=Path(".specdec/runs"), metavar="FOLDER", help="saved runs (default: %(default)s)"
    )
    parser.add_argument(
        "--last", type=count, default=20, metavar="N", help="newest runs of a cell (default: %(default)s)"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page that opens offline")
    parser.set_defaults(run=_history)


def _report(options: argparse.Namespace) -> None:
    from pytest_specdec.report.run_report import report_run
    from pytest_specdec.results.run import load_run

    run = load_run(options.saved_run)
    emit(options, Compared(*report_run(run, options.at), options.at, run))


def _history(options: argparse.Namespace) -> None:
    import shutil

    from pytest_specdec.report.history_table import history_tables
    from pytest_specdec.report.render import terminal
    from pytest_specdec.results.history import history_series, read_runs

    runs, skipped = read_runs(options.runs)
    series = history_series(runs, options.metric, options.filters)
    tables = history_tables(series, width=shutil.get_terminal_size().columns, last=options.last)
    remarks = [f"skipped: {reason}" for reason in skipped]
    if not series:
        named = f" of a cell with {' and '.join(options.filters)} in its name" if options.filters else ""
        remarks.insert(0, f"no {options.metric}{named} in the {len(runs)} runs of {options.runs}")
    print("\n\n".join([*(terminal(table) for table in tables), *remarks]))
    if options.html is not None:
        from pytest_specdec.report.history_page import history_page
        from pytest_specdec.results.files import write_whole

        write_whole(options.html, history_page(series, skipped))
        print(f"wrote {options.html}")
