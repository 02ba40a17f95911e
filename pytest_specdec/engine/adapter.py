"""What the suite asks of every engine; one module per engine answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from pytest_specdec.domain.environment import UNKNOWN
from pytest_specdec.domain.facts import Facts
from pytest_specdec.engine.control import Control
from pytest_specdec.engine.counters import UNREADABLE, EngineReading, Samples


class Adapter(Protocol):
    """Knows the endpoints, the metric names and the habits of one engine."""

    @property
    def name(self) -> str:
        """Name of the engine in files and tables."""

    @property
    def metrics_path(self) -> str:
        """Where its Prometheus text is."""

    @property
    def request_fields(self) -> Mapping[str, object]:
        """Fields to add to measured requests, in every mode alike."""

    @property
    def gauges_lag_s(self) -> float:
        """How long after the last request its gauges may still show it."""

    def counts_cut_streams(self, version: str) -> bool:
        """Whether a release counts the tokens of a stream that its client cut; else streams are left to finish."""

    async def facts(self, control: Control, samples: Samples) -> tuple[str, Facts]:
        """Version and settings as far as the server tells them; the rest stays unknown and is never guessed."""

    def reading(self, samples: Samples) -> EngineReading:
        """What its counters say."""

    async def reset_prefix_cache(self, control: Control) -> bool:
        """Empty the prefix cache; False when the server does not let us."""


class UnknownEngine:
    """An OpenAI-compatible server of which nothing else is known."""

    name = UNKNOWN
    metrics_path = "/metrics"
    request_fields: Mapping[str, object] = {}
    gauges_lag_s = 0.0

    def counts_cut_streams(self, version: str) -> bool:  # noqa: ARG002 - the interface
        """It is taken for one that does, and its counters are not read."""
        return True

    async def facts(self, control: Control, samples: Samples) -> tuple[str, Facts]:  # noqa: ARG002 - the interface
        """At most a version."""
        return str((await control.json("/version")).get("version") or UNKNOWN), Facts()

    def reading(self, samples: Samples) -> EngineReading:  # noqa: ARG002 - the interface
        """Nothing."""
        return UNREADABLE

    async def reset_prefix_cache(self, control: Control) -> bool:  # noqa: ARG002 - the interface
        """There is no common way."""
        return False


def release(version: str) -> tuple[int, ...]:
    """The numbers of a release, such as (0, 5, 23); empty when it is not known."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def whole(value: object) -> int | None:
    """A whole number from JSON or from a label; None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def switch(value: object) -> bool | None:
    """A switch from JSON or from a label; None when it is none."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(str(value).lower())


def text(value: object) -> str | None:
    """A name from JSON or from a label; None when there is none."""
    return value if isinstance(value, str) and value and value.lower() != "none" else None
