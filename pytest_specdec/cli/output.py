"""Output shared by the verbs of `specdec`: tables on the terminal, and files in every format."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from pytest_specdec.report.formats import FORMATS, Compared, Format


def add_outputs(parser: argparse.ArgumentParser, formats: Iterable[Format]) -> None:
    """Add an option per format that writes a file."""
    for one in formats:
        parser.add_argument(f"--{one.name}", type=Path, metavar="FILE", help=f"also write {one.about}")


def emit(options: argparse.Namespace, compared: Compared) -> None:
    """Print tables and remarks, and write the files that the options name."""
    from pytest_specdec.report.render import screen_width, terminal
    from pytest_specdec.results.files import write_whole

    width = screen_width()
    print("\n\n".join([*(terminal(table, width) for table in compared.tables), *compared.remarks]))
    for one in FORMATS:
        path: Path | None = getattr(options, one.name, None)
        if path is not None:
            write_whole(path, one.of_compared(compared))
            print(f"wrote {path}")
