"""`specdec baselines prune`: remove stored cells that no suite asks for."""

from __future__ import annotations

import argparse

from pytest_specdec.cli.suite_cells import add_suites, audit_suites
from pytest_specdec.cli.verb import Verb


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_suites(parser)
    parser.add_argument("--dry-run", action="store_true", help="only print what would be removed")


def _run(options: argparse.Namespace) -> None:
    from pytest_specdec.results.baseline_audit import prune

    audit = audit_suites(options.suites, "smoke")  # an orphan is one in every tier
    for point in audit.orphans:
        print(f"{'would remove' if options.dry_run else 'removed'}: {point.cell} from {point.path}")
    if not audit.orphans:
        print("nothing to remove: suites ask for every stored point")
    elif not options.dry_run:
        prune(audit.orphans)


VERB = Verb(
    "baselines prune",
    "remove points that no suite asks for, in any tier",
    _run,
    _add_arguments,
    description="Remove stored points that no suite asks for, in any tier; needs no GPU and measures nothing.",
)
