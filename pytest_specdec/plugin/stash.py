"""Keys of the plugin's state in pytest's config and items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_specdec.pipeline.invocation import SpecdecSession
    from pytest_specdec.plugin.judged_baseline import JudgedBaseline
    from pytest_specdec.plugin.other_plugins import Surfaces
    from pytest_specdec.suite.subjects import Subject

SESSION: pytest.StashKey[SpecdecSession] = pytest.StashKey()
PROBLEMS: pytest.StashKey[list[str]] = pytest.StashKey()
"""Errors in markers, reported together after collection."""
SURFACES: pytest.StashKey[Surfaces] = pytest.StashKey()
SUBJECT: pytest.StashKey[Subject] = pytest.StashKey()
"""The subject of a test; tests without one do not belong to the plugin."""
JUDGED: pytest.StashKey[JudgedBaseline] = pytest.StashKey()
"""The baseline that a test compares with."""


def is_worker(config: pytest.Config) -> bool:
    """Tell whether this process is an xdist worker."""
    return hasattr(config, "workerinput")
