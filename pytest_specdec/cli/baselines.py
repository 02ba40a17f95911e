"""`specdec baselines`: accept a saved run, check the stored baselines against the suites, prune the orphans."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec.errors import AuditError, InvalidInputError

if TYPE_CHECKING:
    from pytest_specdec.results.baseline_audit import Audit
    from pytest_specdec.results.measurement import Measurement
    from pytest_specdec.results.run import Run

_SHOWN = 20


def add_baselines(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`specdec baselines`."""
    parser = verbs.add_parser("baselines", help="accept a saved run, check the baselines against suites, prune them")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    accept = actions.add_parser(
        "accept",
        help="make a saved run (a CI artefact) the baselines, without measuring again",
        description="Make a complete, valid saved run the baselines. A run that failed its own gate, or is better by "
        "what may be luck, needs a reason, which is kept in the files with who and when.",
    )
    accept.add_argument("saved_run", type=Path, metavar="RUN", help="a file in .specdec/runs/")
    accept.add_argument("--reason", default="", metavar="TEXT", help="why; kept with who and when")
    accept.add_argument(
        "--how",
        choices=("new", "all", "merge"),
        default="all",
        help="new: only points that have none; all: replace (default); merge: further sessions beside the stored ones",
    )
    accept.add_argument("--new-anchor", action="store_true", help="forget the first baseline of these points too")
    accept.add_argument(
        "--baselines", type=Path, default=Path("baselines"), metavar="FOLDER", help="(default: %(default)s)"
    )
    accept.set_defaults(run=_accept)

    for name, what in (
        ("check", "every cell has a baseline, none is orphaned (exit code 13 when not)"),
        ("prune", "remove points that no suite asks for, in any tier"),
    ):
        action = actions.add_parser(name, help=what, description=f"No GPU, nothing is measured: {what}.")
        action.add_argument(
            "suites", nargs="*", type=Path, default=[Path("suites")], metavar="SUITE", help="tests (default: suites)"
        )
        if name == "check":
            tier = "tier whose cells must have a baseline (default: %(default)s)"
            action.add_argument("--tier", default="smoke", help=tier)
        else:
            action.set_defaults(tier="smoke")  # an orphan is one in every tier
            action.add_argument("--dry-run", action="store_true", help="only say what would go")
        action.set_defaults(run=_check if name == "check" else _prune)


def _accept(options: argparse.Namespace) -> None:
    from pytest_specdec.pipeline.accept import now, who
    from pytest_specdec.results.baseline import Baselines
    from pytest_specdec.results.baseline_update import Acceptor, refusal, update
    from pytest_specdec.results.merge import usable
    from pytest_specdec.results.run import load_run

    run = load_run(options.saved_run)
    if not run.complete:
        lost = next(iter(run.not_measured.items()), ("", "it was interrupted"))
        raise InvalidInputError(
            f"{options.saved_run} is not complete ({': '.join(filter(None, lost))}); go on with it: "
            f"pytest ... --specdec-resume {options.saved_run}"
        )
    store = Baselines(options.baselines)
    all_runs = [m for m in _runs(run) if options.how != "new" or store.find(m.cell, m.environment) is None]
    by_cell = {m.cell: usable([other for other in all_runs if other.cell == m.cell]) for m in all_runs}
    found = [m for runs in by_cell.values() for m in runs]
    verdicts = {verdict.cell: verdict for verdict in run.verdicts}
    if refused := refusal(verdicts, by_cell, options.how, options.reason):
        raise InvalidInputError(f"not accepted: {refused.replace('--specdec-reason', '--reason')}")
    by = Acceptor(when=now(), who=who(), reason=options.reason, new_anchor=options.new_anchor)
    written = update(store, found, how=options.how, by=by)
    for path, cells in written.items():
        print(f"baseline written: {path} ({len(cells)} point{'s' * (len(cells) != 1)}): review the diff")
    if not written:
        print("nothing changed: every point has a baseline already (--how all replaces them)")


def _runs(run: Run) -> list[Measurement]:
    """The raw runs that a baseline is made of; old files have means only. What was judged leaves out what was not."""
    raw = [r.measurement for r in run.raw if r.arm == "candidate" and r.stage != "confirm"]
    judged = {verdict.cell for verdict in run.verdicts}
    return [m for m in raw or run.measurements if not judged or m.cell in judged]


def _check(options: argparse.Namespace) -> None:
    audit = _audit(options)
    print(f"{len(audit.kept)} points stored, {len(audit.missing)} missing, {len(audit.orphans)} orphaned")
    few = [point for point in audit.kept if point.sessions < 2]
    if few:
        print(
            f"{len(few)} points have one session, so their noise is assumed, such as {few[0].cell} on "
            f"{few[0].hardware}: measure more: --specdec-update=merge, or =all with 5 sessions"
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


def _prune(options: argparse.Namespace) -> None:
    from pytest_specdec.results.baseline_audit import prune

    audit = _audit(options)
    for point in audit.orphans:
        print(f"{'would remove' if options.dry_run else 'removed'}: {point.cell} from {point.path}")
    if not audit.orphans:
        print("nothing to remove: every stored point is asked for")
    elif not options.dry_run:
        prune(audit.orphans)


def _audit(options: argparse.Namespace) -> Audit:
    from pytest_specdec.cli.suite_cells import suite_cells
    from pytest_specdec.results.baseline import Baselines
    from pytest_specdec.results.baseline_audit import audit
    from pytest_specdec.suite.axes import TIERS

    if options.tier not in TIERS:
        raise InvalidInputError(f"unknown tier {options.tier!r}; tiers: {', '.join(TIERS)}")
    for path in options.suites:
        if not path.exists():
            raise InvalidInputError(f"there is no {path}; name the folder of your suites")
    cells = suite_cells(options.suites)
    return audit(Baselines(cells.folder), cells.by_tier[options.tier], cells.ever)
