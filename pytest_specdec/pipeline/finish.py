"""What happens when the tests are over: baselines, report files, the summary."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec.errors import SpecdecError
from pytest_specdec.pipeline.accept import accept, stored_reach
from pytest_specdec.report.formats import Session, format_of
from pytest_specdec.report.pull_request import of_run
from pytest_specdec.report.render import screen_width, terminal
from pytest_specdec.report.step_summary import VARIABLE, append_step_summary
from pytest_specdec.results.files import write_whole

if TYPE_CHECKING:
    from pytest_specdec.pipeline.invocation import SpecdecSession

_WRITTEN = "baseline written:"


def finish(session: SpecdecSession, failed_tests: int = 0) -> bool:
    """Store baselines and write the reports; what goes wrong is told in the summary, and nothing else is lost.

    Returns whether all of it was done.
    """
    session.save()
    done = True
    for step in (_selftest, _update, partial(_write_reports, failed_tests=failed_tests)):
        try:
            step(session)
        except SpecdecError as error:
            session.ending.append((str(error), {"red": True}))
            done = False
    return done


def _selftest(session: SpecdecSession) -> None:
    if not session.settings.selftest:
        return
    # Only who asks for it pays for it.
    from pytest_specdec.pipeline.selftest import selftest  # noqa: PLC0415
    from pytest_specdec.report.selftest_words import selftest_table  # noqa: PLC0415

    found = selftest(session)
    table = selftest_table(found.found, found.last_session, found.run_s)
    session.ending += [(line, {}) for line in terminal(table, screen_width()).splitlines()]
    session.ending.append(
        (f"noise written: {found.path}: baselines without sessions of their own use it", {"green": True})
    )


def _update(session: SpecdecSession) -> None:
    written = accept(session)
    if session.settings.update is not None and not written:
        session.ending.append(("baselines were not updated: every point has one already", {"yellow": True}))
    for path, cells in written.items():
        plural = "s" * (len(cells) != 1)
        session.ending.append((f"{_WRITTEN} {path} ({len(cells)} point{plural}): review the diff", {"green": True}))
    if written:
        session.ending += [(line, {}) for line in stored_reach(session.baselines, written)]


def _write_reports(session: SpecdecSession, failed_tests: int) -> None:
    run = session.run()
    summary = os.environ.get(VARIABLE)
    stored = any(text.startswith(_WRITTEN) for text, _ in session.ending)
    told = Session(levels=session.settings.levels or None, failed_tests=failed_tests, accepted=stored)
    if summary:
        session.ending.append((append_step_summary(of_run(run, told), Path(summary)), {}))
    for path in session.settings.reports:
        form = format_of(path.name)
        assert form is not None, "unreachable because the option takes known endings only"
        write_whole(path, form.of_run(run, told))
        session.ending.append((f"report written: {path}", {}))
