"""Outcomes of the plugin in pytest's reports: regressed, unhealthy, inconclusive, engine trouble and others."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pytest_specdec.errors import EngineError, InconclusiveError, NotComparableError, SpecdecError
from pytest_specdec.plugin.stash import JUDGED, SETTINGS, SUBJECT

_WORD = "specdec"
"""Attribute of a report."""
_STATUS = {
    "regressed": ("failed", "R", "REGRESSED"),
    "unhealthy": ("failed", "U", "UNHEALTHY"),
    "no baseline": ("failed", "B", "NO BASELINE"),
    "not comparable": ("failed", "N", "NOT COMPARABLE"),
    "engine trouble": ("error", "E", "ENGINE TROUBLE"),
    "failed": ("failed", "F", "FAILED"),
}
"""Outcome -> pytest's category, letter and word."""
_ERROR_WORDS = ((EngineError, "engine trouble"), (NotComparableError, "not comparable"))


@pytest.hookimpl
def pytest_assertrepr_compare(op: str, right: object) -> list[str] | None:
    """Show a verdict as a table of metrics."""
    from pytest_specdec.plugin.judged_baseline import JudgedBaseline

    return right.explanation() if op == ">=" and isinstance(right, JudgedBaseline) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell regressed, inconclusive and engine trouble apart; a user's own error is shown without a traceback."""
    report = yield
    if SUBJECT not in item.stash or call.excinfo is None:
        return report
    error = call.excinfo.value
    word = ""
    judged = item.stash.get(JUDGED, None)
    if isinstance(error, SpecdecError):
        report.longrepr = str(error)
        if isinstance(error, InconclusiveError):
            word = "inconclusive"
            if item.config.stash[SETTINGS].gate.inconclusive == "warn":
                path, line, _ = item.location
                report.outcome = "skipped"
                report.longrepr = (path, line or 0, str(error))
        else:
            word = next((word for kind, word in _ERROR_WORDS if isinstance(error, kind)), "failed")
    elif isinstance(error, AssertionError) and judged is not None and judged.failed:
        word = judged.verdict.outcome.value
    # An attribute of the report survives the way from an xdist worker, where a stash does not.
    report.__dict__[_WORD] = word
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str | tuple[str, dict[str, bool]]] | None:
    """Give each outcome of the plugin its category, letter and word."""
    word = getattr(report, _WORD, "")
    if word == "inconclusive":
        return ("failed" if report.failed else "inconclusive"), "?", ("INCONCLUSIVE", {"yellow": True})
    return _STATUS.get(word)
