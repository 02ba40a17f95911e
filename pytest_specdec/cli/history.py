"""`specdec history`: cells over the saved runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_specdec.cli.verb import Verb
from pytest_specdec.pipeline.option_values import count

_DESCRIPTION = """\
Show a cell over engine versions and dates, from the runs saved in this checkout. A series never mixes workloads,
hardware, engines, engine settings or prices.

  specdec history                       every cell, one line each
  specdec history 8k1k-mtp3-c16         one cell, run by run
  specdec history mtp3 c16 --metric acceptance_length
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "filters",
        nargs="*",
        metavar="CELL-FILTER",
        help="whole parts of cell names, all of which must match: mtp3, 8k1k-mtp3, c16",
    )
    parser.add_argument(
        "--metric",
        default="total_tok_s_gpu",
        metavar="KEY",
        help="metric to show, see docs/glossary.md (default: %(default)s)",
    )
    parser.add_argument(
        "--runs", type=Path, default=Path(".specdec/runs"), metavar="FOLDER", help="saved runs (default: %(default)s)"
    )
    parser.add_argument(
        "--last", type=count, default=20, metavar="N", help="newest runs of a cell (default: %(default)s)"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page that opens offline")


def _run(options: argparse.Namespace) -> None:
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


VERB = Verb(
    "history",
    "show cells over the saved runs: dates, engine versions, uncertainty, verdicts",
    _run,
    _add_arguments,
    description=_DESCRIPTION,
)
