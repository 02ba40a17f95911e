"""The pytest plugin: hooks only; everything else is in the modules that they call.

Measure first, judge once, then test: the cells that the selected tests ask for are measured in one phase before the
first of these tests, the suite is judged as a whole, and the tests read verdicts.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_specdec.errors import InvalidInputError, SpecdecError
from pytest_specdec.plugin import fixtures, outcomes, stages
from pytest_specdec.plugin.options import add_options
from pytest_specdec.plugin.other_plugins import Surfaces
from pytest_specdec.plugin.settings import read_settings
from pytest_specdec.plugin.stash import (
    ATTEMPTS,
    COMMAND,
    DEMAND,
    DESELECTED,
    PROBLEMS,
    PROGRESS,
    RECORD,
    SETTINGS,
    SUBJECT,
    is_worker,
)

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_specdec.suite.matrix import Matrix
    from pytest_specdec.suite.subjects import Subject

_SUBJECT_FIXTURE = "specdec_subject"
_LEVELS = ("comparison", "curve", "measurement", "outputs")
"""Fixtures that decide on the subject of a test, the widest first."""


# ---- configuration


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the `specdec` group."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let a conftest choose start commands; our fixtures and words come before a conftest's, which then prevail."""
    from pytest_specdec.plugin import hookspec

    pluginmanager.add_hookspecs(hookspec)
    pluginmanager.register(fixtures, "specdec-fixtures")
    pluginmanager.register(outcomes, "specdec-outcomes")


def pytest_configure(config: pytest.Config) -> None:
    """Check the options and register the marker."""
    from pytest_specdec.redaction import Secrets
    from pytest_specdec.suite.matrix import marker_line

    config.addinivalue_line("markers", marker_line())
    try:
        config.stash[SETTINGS] = read_settings(config)
    except InvalidInputError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[COMMAND] = Secrets().command(["pytest", *map(str, config.invocation_params.args)])
    config.stash[PROBLEMS] = []
    config.stash[DESELECTED] = []
    config.stash[PROGRESS] = []
    config.stash[ATTEMPTS] = {}
    config.pluginmanager.register(Surfaces(config), "specdec-surfaces")
    if config.pluginmanager.hasplugin("benchmark"):
        from pytest_specdec.plugin.benchmark import BenchmarkBridge

        config.pluginmanager.register(BenchmarkBridge(config), "specdec-benchmark")


# ---- collection


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize a test over the cells, curves or comparisons that it asks for."""
    if _SUBJECT_FIXTURE not in metafunc.fixturenames:
        return
    config = metafunc.config
    try:
        matrix = _matrix(metafunc, config.stash[SETTINGS].suite.tier)
        subjects = _subjects(metafunc, matrix)
        for subject in subjects:
            stages.declare(config, subject, matrix)
    except InvalidInputError as error:
        config.stash[PROBLEMS].append(f"{metafunc.definition.nodeid}: {error}")
        subjects = []
    metafunc.parametrize(_SUBJECT_FIXTURE, subjects, ids=str, indirect=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse impossible markers, and deselect the tests that filters or endpoints leave out."""
    problems = config.stash[PROBLEMS]
    if problems:
        raise pytest.UsageError("\n".join(problems))
    params = {item: item.callspec.params for item in items if hasattr(item, "callspec")}
    asked = {item: given[_SUBJECT_FIXTURE] for item, given in params.items() if _SUBJECT_FIXTURE in given}
    if not asked:
        return  # nothing is imported for other tests
    from pytest_specdec.suite.subjects import narrow

    only = config.stash[SETTINGS].suite.only
    narrowed = {item: narrow(whole, only) for item, whole in asked.items()}
    ours = {item: subject for item, subject in narrowed.items() if subject is not None}
    deselected = [item for item in narrowed if item not in ours]
    if ours and not is_worker(config):
        from pytest_specdec.suite.unavailable import refusals

        with _usage_errors(config):
            subjects = list(ours.values())
            refused = refusals(stages.setup_for(config, subjects).engines.candidate.source, subjects)
        deselected += [item for item, subject in ours.items() if subject in refused]
        config.stash[DESELECTED] = sorted(set(refused.values()))
    for item, subject in ours.items():
        item.stash[SUBJECT] = subject
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        gone = set(deselected)
        items[:] = [item for item in items if item not in gone]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Plan the cells of the tests that are left, before the terminal reporter asks for the plan."""
    # Tests that are skipped, by their author or by --benchmark-only, take no GPU time.
    items = [item for item in session.items if SUBJECT in item.stash and item.get_closest_marker("skip") is None]
    if items and not is_worker(session.config):
        judged = any("baseline" in getattr(item, "fixturenames", ()) for item in items)
        with _usage_errors(session.config):
            stages.plan(session.config, [item.stash[SUBJECT] for item in items], judged=judged)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Print the plan, so that `--collect-only` is a dry run with a price."""
    if DEMAND not in config.stash:
        return []
    return stages.plan_lines(config) + [f"specdec: deselected: {reason}" for reason in config.stash[DESELECTED]]


# ---- measuring


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure the whole plan before the first test that needs it."""
    config = item.config
    if SUBJECT in item.stash and DEMAND in config.stash and RECORD not in config.stash and not is_worker(config):
        with _usage_errors(config):
            stages.measure(config)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the tests of a selftest: it measures what they ask for, and runs none of them."""
    if SUBJECT in item.stash and item.config.stash[SETTINGS].baselines.selftest:
        pytest.skip("a selftest compares the engine with itself")


# ---- end


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Store baselines and write reports, when asked for."""
    if RECORD in session.config.stash:
        finished = stages.finish(session.config, session.testsfailed)
        if finished.failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(tryfirst=True)  # pytest-benchmark raises from its own when a benchmark has regressed
def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Print the tables."""
    if RECORD not in config.stash:
        return
    from pytest_specdec.plugin.summary import summary_lines

    terminalreporter.section("speculative decoding")
    for line, markup in summary_lines(config):
        terminalreporter.write_line(line, **markup)


# ---- helpers


def _matrix(metafunc: pytest.Metafunc, tier: str) -> Matrix:
    from pytest_specdec.suite.matrix import Matrix

    markers = list(metafunc.definition.iter_markers("specdec"))
    if not markers:
        raise InvalidInputError(
            "it uses a specdec fixture and has no specdec marker: give it model, precision, sequence ..."
        )
    if any(marker.args for marker in markers):
        raise InvalidInputError("the specdec marker takes named arguments only: specdec(model=..., mtp=[0, 3], ...)")
    return Matrix.from_markers((marker.kwargs for marker in markers), tier, metafunc.definition.path.parent)


def _subjects(metafunc: pytest.Metafunc, matrix: Matrix) -> Sequence[Subject]:
    used = [name for name in _LEVELS if name in metafunc.fixturenames]
    if len(used) != 1:
        raise InvalidInputError(
            f"a test takes one of {', '.join(_LEVELS)}; this one takes {' and '.join(used) or 'none'}"
        )
    if used[0] == "comparison":
        return matrix.comparisons()
    if used[0] == "outputs":
        return matrix.outputs()
    return matrix.curves_over_concurrency() if used[0] == "curve" else matrix.cells()


@contextmanager
def _usage_errors(config: pytest.Config) -> Iterator[None]:
    """Show a user's mistake as pytest shows its own, without secrets and without a traceback."""
    try:
        yield
    except SpecdecError as error:
        raise pytest.UsageError(config.stash[SETTINGS].secrets().redact(str(error))) from error
