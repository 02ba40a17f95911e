"""What the plugin keeps in pytest's config and items, for its hooks and its fixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_specdec.judged import JudgedBaseline
    from pytest_specdec.session import SpecdecSession
    from pytest_specdec.subjects import Subject
    from pytest_specdec.surfaces import Surfaces

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
