"""What the plugin keeps in pytest's config and items, for its hooks and its fixtures."""

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
"""What is wrong with markers, to be told all at once."""
SURFACES: pytest.StashKey[Surfaces] = pytest.StashKey()
SUBJECT: pytest.StashKey[Subject] = pytest.StashKey()
"""What a test is about; tests without it are not ours."""
JUDGED: pytest.StashKey[JudgedBaseline] = pytest.StashKey()
"""The baseline that a test has compared with."""


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of xdist's."""
    return hasattr(config, "workerinput")
