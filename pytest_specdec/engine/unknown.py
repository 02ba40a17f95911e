"""An OpenAI-compatible server of an engine that is not known: no counters are read, and no fact but the version."""

from __future__ import annotations

from pytest_specdec.domain.environment import UNKNOWN
from pytest_specdec.engine.adapter import Adapter


class Unknown(Adapter):
    """Any server with OpenAI's API."""

    name = UNKNOWN
