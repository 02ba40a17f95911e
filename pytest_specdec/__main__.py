"""The `specdec` command: everything that works on saved runs and published results.

Exit codes: 0 done, 2 wrong usage (argparse), 10 a file or argument cannot be used, 11 not comparable or not measured,
12 trouble with an engine, 13 baselines that do not fit the suites. pytest's own codes stay pytest's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pytest_specdec import __version__
from pytest_specdec.errors import (
    AuditError,
    EngineError,
    InvalidInputError,
    NotComparableError,
    NotMeasuredError,
    SpecdecError,
)

EXIT_BAD_INPUT = 10
EXIT_NOT_COMPARABLE = 11
EXIT_ENGINE = 12
EXIT_AUDIT = 13

_CODES: tuple[tuple[type[SpecdecError], int], ...] = (
    (InvalidInputError, EXIT_BAD_INPUT),
    (NotComparableError, EXIT_NOT_COMPARABLE),
    (NotMeasuredError, EXIT_NOT_COMPARABLE),
    (EngineError, EXIT_ENGINE),
    (AuditError, EXIT_AUDIT),
)


def read(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line without doing what it says; a wrong one ends the program with code 2."""
    # Each command imports what it needs when it runs: `specdec --help` stays quick.
    from pytest_specdec.cli import baselines as baseline_commands
    from pytest_specdec.cli import compare as compare_command
    from pytest_specdec.cli import gate as gate_commands
    from pytest_specdec.cli import runs as saved_run_commands
    from pytest_specdec.cli import simulate as simulate_command

    parser = argparse.ArgumentParser(
        prog="specdec",
        description="Compare and report measurements of speculative decoding. To measure, run pytest (see README).",
    )
    parser.add_argument("--version", action="version", version=f"pytest-specdec {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    for add in (
        compare_command.add_compare,
        saved_run_commands.add_report,
        saved_run_commands.add_history,
        baseline_commands.add_baselines,
        gate_commands.add_selftest,
        gate_commands.add_simulate_gate,
        simulate_command.add_simulate,
    ):
        add(verbs)
    options, more = parser.parse_known_args(arguments)
    if more and not getattr(options, "takes_more", False):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    options.more = more
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = read(arguments)
    try:
        options.run(options)
    except SpecdecError as error:
        print(f"specdec {options.verb}: {error}", file=sys.stderr)
        return next(code for kind, code in _CODES if isinstance(error, kind))
    except BrokenPipeError:
        sys.stderr.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
