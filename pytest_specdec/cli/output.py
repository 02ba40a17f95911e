"""Tables of a verb: printed, and written to files."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_specdec.domain.comparison import Comparison
    from pytest_specdec.report.render import Table


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add the options that write tables to files."""
    for suffix, what in (("html", "a page that opens offline"), ("md", "Markdown"), ("csv", "CSV"), ("json", "JSON")):
        parser.add_argument(f"--{suffix}", type=Path, metavar="FILE", help=f"also write {what}")


def emit(
    options: argparse.Namespace,
    comparisons: list[Comparison],
    tables: list[Table],
    remarks: list[str],
    page: Callable[[], str],
) -> None:
    """Print tables and remarks, and write the files that the options name; `page` makes the HTML page."""
    from pytest_specdec.report.export import write_outputs
    from pytest_specdec.report.render import screen_width, terminal
    from pytest_specdec.results.files import write_whole

    width = screen_width()
    print("\n\n".join([*(terminal(table, width) for table in tables), *remarks]))
    outputs = {suffix: path for suffix in ("md", "csv", "json") if (path := getattr(options, suffix)) is not None}
    for path in write_outputs(outputs, comparisons, tables, remarks, options.at):
        print(f"wrote {path}")
    if options.html is not None:
        write_whole(options.html, page())
        print(f"wrote {options.html}")
