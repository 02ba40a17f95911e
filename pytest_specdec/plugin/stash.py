"""Values that the plugin keeps in pytest's config and items: each stage puts its own in, the next ones read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_specdec.pipeline.finish import Finished
    from pytest_specdec.pipeline.record import Record
    from pytest_specdec.pipeline.settings import Settings
    from pytest_specdec.pipeline.setup import Setup
    from pytest_specdec.plugin.judged_baseline import JudgedBaseline
    from pytest_specdec.plugin.progress import TerminalProgress
    from pytest_specdec.suite.demand import Declared, Demand
    from pytest_specdec.suite.subjects import Subject

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
COMMAND: pytest.StashKey[str] = pytest.StashKey()
"""The command line, without secrets."""
PROBLEMS: pytest.StashKey[list[str]] = pytest.StashKey()
"""Errors of markers, reported together after collection."""
DECLARED: pytest.StashKey[Declared] = pytest.StashKey()
"""Declarations of the markers collected so far."""
SETUP: pytest.StashKey[Setup] = pytest.StashKey()
"""Missing until a subject needs an engine."""
DESELECTED: pytest.StashKey[list[str]] = pytest.StashKey()
"""Reasons why tests were deselected."""
DEMAND: pytest.StashKey[Demand] = pytest.StashKey()
"""Missing where no selected test needs a measurement."""
RECORD: pytest.StashKey[Record] = pytest.StashKey()
"""Missing until the measuring has begun."""
ATTEMPTS: pytest.StashKey[dict[str, list[str]]] = pytest.StashKey()
"""Outcomes of each attempt of the tests that were rerun."""
PROGRESS: pytest.StashKey[list[TerminalProgress]] = pytest.StashKey()
"""Displays of this process; they know how long the points took."""
FINISHED: pytest.StashKey[Finished] = pytest.StashKey()
"""Missing until the tests are over."""

SUBJECT: pytest.StashKey[Subject] = pytest.StashKey()
"""Subject of a test; tests without one are not the plugin's."""
JUDGED: pytest.StashKey[JudgedBaseline] = pytest.StashKey()
"""The baseline that a test has compared with."""


def is_worker(config: pytest.Config) -> bool:
    """Tell if this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")
