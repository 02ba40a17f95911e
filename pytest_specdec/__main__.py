"""The `specdec` command: the table of its verbs and its exit codes.

Exit codes: 0 success, 2 wrong usage (argparse), 10 unusable file or argument, 11 not comparable or not measured,
12 engine trouble, 13 baselines that do not fit the suites. pytest keeps its own codes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

# Each verb imports what it needs when it runs: `specdec --help` stays quick.
from pytest_specdec.cli import (
    baselines_accept,
    baselines_check,
    baselines_prune,
    compare,
    history,
    report,
    selftest,
    simulate,
    simulate_gate,
)
from pytest_specdec.cli.verb import Verb
from pytest_specdec.errors import (
    AuditError,
    EngineError,
    InvalidInputError,
    NotComparableError,
    NotMeasuredError,
    SpecdecError,
)
from pytest_specdec.version import __version__

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


VERBS: tuple[Verb, ...] = (
    compare.VERB,
    report.VERB,
    history.VERB,
    baselines_accept.VERB,
    baselines_check.VERB,
    baselines_prune.VERB,
    selftest.VERB,
    simulate_gate.VERB,
    simulate.VERB,
)
_GROUPS = {"baselines": "accept a saved run, check the baselines against suites, prune them"}
"""Help of the first word of the verbs of two words."""


def read(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line without carrying it out; a wrong one ends the program with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="specdec",
        description="Compare and report measurements of speculative decoding. To measure, run pytest (see README).",
    )
    parser.add_argument("--version", action="version", version=f"pytest-specdec {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    groups = {"": verbs}
    for verb in VERBS:
        group = verb.name.rpartition(" ")[0]
        if group not in groups:
            words = verbs.add_parser(group, help=_GROUPS[group])
            groups[group] = words.add_subparsers(dest="action", metavar="ACTION", required=True)
        verb.add_to(groups[group])
    options, more = parser.parse_known_args(arguments)
    if more and not options.takes_more:
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
