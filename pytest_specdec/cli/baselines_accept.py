"""`specdec baselines accept`: a saved run becomes the baselines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec.cli.verb import Verb
from pytest_specdec.domain.naming import plural
from pytest_specdec.errors import InvalidInputError

if TYPE_CHECKING:
    from pytest_specdec.results.measurement import Measurement
    from pytest_specdec.results.run import Run


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("saved_run", type=Path, metavar="RUN", help="a file in .specdec/runs/")
    parser.add_argument("--reason", default="", metavar="TEXT", help="stored with user and date")
    parser.add_argument(
        "--how",
        choices=("new", "all", "merge"),
        default="all",
        help="new: only cells without a baseline; all: replace (default); merge: add sessions to the stored ones",
    )
    parser.add_argument("--new-anchor", action="store_true", help="also replace the first baseline of these cells")
    parser.add_argument(
        "--baselines", type=Path, default=Path("baselines"), metavar="FOLDER", help="(default: %(default)s)"
    )


def _run(options: argparse.Namespace) -> None:
    from pytest_specdec.pipeline.accept import now, who
    from pytest_specdec.results.baseline import Baselines
    from pytest_specdec.results.baseline_update import Acceptor, refusal, update
    from pytest_specdec.results.merge import usable
    from pytest_specdec.results.run import load_run

    run = load_run(options.saved_run)
    if not run.complete:
        lost = next(iter(run.not_measured.items()), ("", "it was interrupted"))
        raise InvalidInputError(
            f"{options.saved_run} is not complete ({': '.join(filter(None, lost))}); continue it: "
            f"pytest ... --specdec-resume {options.saved_run}"
        )
    store = Baselines(options.baselines)
    repeats = [m for m in _repeats(run) if options.how != "new" or store.find(m.cell, m.environment) is None]
    by_cell = {m.cell: usable([other for other in repeats if other.cell == m.cell]) for m in repeats}
    found = [m for group in by_cell.values() for m in group]
    verdicts = {verdict.cell: verdict for verdict in run.verdicts}
    if refused := refusal(verdicts, by_cell, options.how, options.reason):
        raise InvalidInputError(f"not accepted: {refused.replace('--specdec-reason', '--reason')}")
    by = Acceptor(when=now(), who=who(), reason=options.reason, new_anchor=options.new_anchor)
    written = update(store, found, how=options.how, by=by)
    for path, cells in written.items():
        print(f"baseline written: {path} ({plural(len(cells), 'point')}): review the diff")
    if not written:
        print("nothing changed: every point has a baseline already (--how all replaces them)")


def _repeats(run: Run) -> list[Measurement]:
    """The repeats that a baseline is made of, without confirmations; a run of an older version has means only.

    Where the run was judged, cells without a verdict wanted no baseline and are left out.
    """
    raw = [r.measurement for r in run.raw if r.arm == "candidate" and r.stage != "confirm"]
    judged = {verdict.cell for verdict in run.verdicts}
    return [m for m in raw or run.measurements if not judged or m.cell in judged]


VERB = Verb(
    "baselines accept",
    "make a saved run (a CI artefact) the baselines, without measuring again",
    _run,
    _add_arguments,
    description="Make a complete, valid saved run the baselines. A run that failed its own gate, or whose gain is not "
    "confirmed, needs a reason, which is stored in the files with user and date.",
)
