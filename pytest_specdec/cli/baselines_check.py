"""`specdec baselines check`: the stored baselines against the suites."""

from __future__ import annotations

import argparse

from pytest_specdec.cli.suite_cells import add_suites, audit_suites
from pytest_specdec.cli.verb import Verb
from pytest_specdec.domain.naming import plural
from pytest_specdec.errors import AuditError

_SHOWN = 20
_HELP = "every cell has a baseline, none is orphaned (exit code 13 when not)"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_suites(parser)
    parser.add_argument("--tier", default="smoke", help="tier whose cells must have a baseline (default: %(default)s)")


def _run(options: argparse.Namespace) -> None:
    audit = audit_suites(options.suites, options.tier)
    print(f"{len(audit.kept)} points stored, {len(audit.missing)} missing, {len(audit.orphans)} orphaned")
    few = [point for point in audit.kept if point.sessions < 2]
    if few:
        print(
            f"{plural(len(few), 'point')} with 1 server start, so their noise is assumed, such as {few[0].cell} on "
            f"{few[0].hardware}: add server starts with --specdec-update=merge, or replace with =all"
        )
    for hardware, cell in audit.missing[:_SHOWN]:
        print(f"missing on {hardware}: {cell} (store it with pytest ... --specdec-update=new)")
    for point in audit.orphans[:_SHOWN]:
        print(f"orphaned: {point.cell} in {point.path} (remove it with specdec baselines prune)")
    for name, left in (("missing", len(audit.missing) - _SHOWN), ("orphaned", len(audit.orphans) - _SHOWN)):
        if left > 0:
            print(f"... and {left} more {name}")
    if audit.missing or audit.orphans:
        raise AuditError("the baselines do not fit the suites")


VERB = Verb(
    "baselines check", _HELP, _run, _add_arguments, description=f"Check without a GPU, measuring nothing: {_HELP}."
)
