"""Sources of engines: attached endpoints and the simulated engine; `launch` has the third."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from msgspec.structs import replace as replace_fields

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.domain.speculation_mode import LOSSLESS, METHODS, MTP, NATURAL, Speculation
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.engine.simulated import simulated_engine
from pytest_specdec.errors import EngineError

Say = Callable[[str], None]
"""Shows a line to the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An engine that is up."""

    endpoint: Endpoint
    died: Callable[[], str] = str
    """Gives the cause of the engine's end; empty while it runs, and for attached engines."""


class EngineSource(Protocol):
    """Gives the endpoint of an engine specification."""

    @property
    def simulated(self) -> bool:
        """True when no hardware is involved."""

    @property
    def start_s(self) -> float:
        """Typical seconds of a start, for the plan's estimate."""

    @property
    def restarts(self) -> bool:
        """True when opening an engine starts a server of its own."""

    def refusal(self, engine: EngineSpec) -> str:
        """Reason for which this source has no such engine; empty when it has."""

    @contextmanager
    def open(self, engine: EngineSpec, said: Say) -> Iterator[Running]:
        """Have the engine up while the context lasts; a slow start is told to `said`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An attached endpoint and the MTP mode that it serves."""

    model: str | None
    """Model of the suite that it serves; None for any."""
    speculation: Speculation
    endpoint: Endpoint

    def serves(self, engine: EngineSpec) -> bool:
        """True when cells of this engine may be sent here."""
        # Verification is no part of the option; the facts of the endpoint are checked against it.
        wanted = replace_fields(engine.speculation, verification=LOSSLESS)
        return self.speculation == wanted and self.model in (None, engine.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedEngines:
    """Running servers that the user named."""

    attachments: Sequence[Attachment]
    simulated: bool = False
    start_s: float = 0.0
    restarts: bool = False

    def refusal(self, engine: EngineSpec) -> str:
        """Reason for which no endpoint serves this engine; empty when one does."""
        if any(attachment.serves(engine) for attachment in self.attachments):
            return ""
        modes = ", ".join(
            dict.fromkeys(a.speculation.mode for a in self.attachments if a.model in (None, engine.model))
        )
        return f"no endpoint serves {engine.mode} of {engine.model} (endpoints: {modes or 'of other models'})"

    @contextmanager
    def open(self, engine: EngineSpec, said: Say) -> Iterator[Running]:  # noqa: ARG002 - it starts nothing
        """Give the endpoint; the user starts and stops its server.

        Raises:
            EngineError: no endpoint, or several.
        """
        found = [attachment for attachment in self.attachments if attachment.serves(engine)]
        # An endpoint named for this very model beats one for any model.
        named = [attachment for attachment in found if attachment.model] or found
        if len(named) != 1:
            urls = ", ".join(attachment.endpoint.shown for attachment in named)
            raise EngineError(
                self.refusal(engine) or f"several endpoints serve {engine}: {urls}; name the model of each"
            )
        yield Running(endpoint=named[0].endpoint)

    def exchanged(self) -> AttachedEngines:
        """The same two endpoints with their modes exchanged."""
        first, second = self.attachments
        return AttachedEngines(
            attachments=(
                replace(first, endpoint=second.endpoint),
                replace(second, endpoint=first.endpoint),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedEngines:
    """A simulated engine of its own for each specification."""

    preset_of: Callable[[str], str | None]
    """Preset for a model; None where none is known."""
    fault: str | None = None
    """Id of a published regression (`specdec simulate --fault list`)."""
    simulated: bool = True
    start_s: float = 2.0
    restarts: bool = True

    def refusal(self, engine: EngineSpec) -> str:
        """Reason for which a model cannot be simulated; empty when it can."""
        if self.preset_of(engine.model) is not None:
            return ""
        return f"no simulated preset for {engine.model}: name one with --specdec-simulate, or give --specdec-endpoint"

    @contextmanager
    def open(self, engine: EngineSpec, said: Say) -> Iterator[Running]:  # noqa: ARG002 - it is up at once
        """Start the simulated engine, and stop it at the end."""
        preset = self.preset_of(engine.model)
        if preset is None:
            raise EngineError(self.refusal(engine))
        with simulated_engine(preset, engine, fault=self.fault) as endpoint:
            yield Running(endpoint=endpoint)


def detect_mode(endpoint: Endpoint, model: str, alias: str | None, engine: str | None = None) -> Speculation:
    """Ask an endpoint for the speculation mode that it serves.

    Raises:
        EngineError: it cannot be reached, or does not report whether it speculates.
    """
    facts = asyncio.run(endpoint.introspect(model, alias, engine)).facts
    if facts.draft_tokens is None:
        raise EngineError(
            f"{endpoint.shown} does not report whether it speculates; name its mode: "
            f"--specdec-endpoint off={endpoint.shown} or mtp=K={endpoint.shown}"
        )
    if not facts.draft_tokens:
        return Speculation()
    # The check of the facts refuses a method that no suite can ask for.
    method = facts.method if facts.method in METHODS else MTP
    return Speculation(method=method, draft_tokens=facts.draft_tokens, acceptance=facts.acceptance or NATURAL)
