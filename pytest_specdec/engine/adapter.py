"""One engine as this package knows it: how to recognise, read and start it; a subclass overrides what is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pytest_specdec.domain.acceptance import SpecCounters, counters_of_histogram
from pytest_specdec.domain.environment import UNKNOWN
from pytest_specdec.domain.facts import Facts
from pytest_specdec.engine.counters import UNREADABLE, EngineReading, Samples
from pytest_specdec.engine.template import Launch

if TYPE_CHECKING:
    from pytest_specdec.engine.control import Control


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDetails:
    """Names under which an engine reports the acceptance of one request, on the last chunk of its stream."""

    extension: str
    """Field of the chunk; another engine may use it for something else."""
    table: str
    histogram: str
    """Verify steps by number of accepted drafts."""
    drafted: str
    steps: str

    def counters(self, extension: object) -> SpecCounters | None:
        """Counters of the request, with K = drafted / steps; None when the field holds something else."""
        found = extension.get(self.table) if isinstance(extension, dict) else None
        if not isinstance(found, dict):
            return None
        if found.get(self.steps) == 0:
            return SpecCounters(steps=0, drafted=0, accepted=0)  # speculation was off for all of this request
        if not all(found.get(key) for key in (self.histogram, self.drafted, self.steps)):
            return None
        drafted = found[self.drafted]
        counters = counters_of_histogram(found[self.histogram], round(drafted / found[self.steps]))
        # The engine's own number: a K that changed with the load is not whole.
        return msgspec.structs.replace(counters, drafted=drafted)


class Adapter:
    """The endpoints, the metric names and the habits of one engine; each default is of an engine that is not known."""

    name: str
    """Name in options, files and tables."""
    owner: str = ""
    """`owned_by` of its models, in lower case."""
    metrics_path: str = "/metrics"
    """Path of its Prometheus text."""
    metrics_prefix: str = ""
    """Beginning of its metric names, which no other engine has."""
    request_fields: Mapping[str, object] = {}
    """Fields to add to measured requests, with MTP on and off alike."""
    request_details: RequestDetails | None = None
    """Acceptance by request; None when the engine reports none."""
    gauges_lag_s: float = 0.0
    """Seconds after the last request for which its gauges may still show it."""
    launch: Launch | None = None
    """Start commands; None when only the user can start it."""

    async def recognises(self, control: Control) -> bool:  # noqa: ARG002 - the interface
        """Probe endpoints that no other engine has, for a server that neither `/metrics` nor the owner gave away."""
        return False

    def counts_cut_streams(self, version: str) -> bool:  # noqa: ARG002 - the interface
        """True when a release counts the tokens of a stream that its client cut; else streams are left to finish."""
        return True

    async def facts(self, control: Control, samples: Samples) -> tuple[str, Facts]:  # noqa: ARG002 - the interface
        """Version and settings as far as the server reports them; the rest stays unknown and is never guessed."""
        return str((await control.json("/version")).get("version") or UNKNOWN), Facts()

    def reading(self, samples: Samples) -> EngineReading:  # noqa: ARG002 - the interface
        """Values of its counters and gauges."""
        return UNREADABLE

    async def reset_prefix_cache(self, control: Control) -> bool:  # noqa: ARG002 - the interface
        """Empty the prefix cache; False when the server offers no way or refuses."""
        return False


def whole(value: object) -> int | None:
    """Whole number from JSON or from a label; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def switch(value: object) -> bool | None:
    """Boolean from JSON or from a label; None for anything else."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(str(value).lower())


def text(value: object) -> str | None:
    """Name from JSON or from a label; None for anything else, and for `none`."""
    return value if isinstance(value, str) and value and value.lower() != "none" else None
