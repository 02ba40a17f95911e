"""Start commands with placeholders, by release: a flag of one release stops the server of another.

Each engine's file computes what an engine specification becomes in its flags, so that a command of the user's own can
take the same values.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytest_specdec.domain.cell import EngineSpec, parallel_degrees
from pytest_specdec.errors import InvalidInputError

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Shell commands that start and stop one engine; `{name}` is a placeholder for a value of this start."""

    start: str
    stop: str = ""
    """For what does not end with its process, such as the container of `docker run`."""

    def filled(self, values: Mapping[str, str]) -> Template:
        """Put values in the place of the placeholders.

        Raises:
            InvalidInputError: a placeholder that does not exist.
        """
        return Template(start=_filled(self.start, values), stop=_filled(self.stop, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Surroundings of one start of a server."""

    host: str
    port: int
    python: str
    """Of the environment that has the engine."""
    arguments: str
    """The user's own, as a shell takes them."""
    scratch: str
    """Beginning of a path for files of this start."""

    def values(self, engine: EngineSpec) -> dict[str, str]:
        """Placeholders that do not depend on the kind of engine, quoted for the shell where the user's text goes in."""
        return {
            "model": shlex.quote(engine.model),
            "precision": engine.precision,
            "parallelism": engine.parallelism,
            "mtp": str(engine.mtp),
            "acceptance": engine.acceptance,
            **{short: str(degree) for short, degree in parallel_degrees(engine.parallelism).items()},
            "host": self.host,
            "port": str(self.port),
            "name": f"specdec-{self.port}",
            "python": shlex.quote(self.python),
            "arguments": self.arguments,
            "scratch": shlex.quote(self.scratch),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Start command of the releases from one on."""

    since: tuple[int, ...]
    start: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Start commands of one kind of engine."""

    distributions: tuple[str, ...]
    """Names under which its package may be installed."""
    recipes: tuple[Recipe, ...]
    """The newest first."""
    values: Callable[[EngineSpec, Start], Mapping[str, str]]
    """Placeholders in this engine's own flags; their names begin with the engine's."""

    def choose(self, version: str) -> Recipe:
        """Recipe of a release; the newest for an unknown one, the oldest for one that is older than all."""
        numbers = release(version)
        fitting = [recipe for recipe in self.recipes if not numbers or recipe.since <= numbers]
        return (fitting or list(self.recipes[-1:]))[0]


def release(version: str) -> tuple[int, ...]:
    """Numbers of a release, such as (0, 5, 23); empty for an unknown one."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def degree_flags(engine: EngineSpec, **flags: str) -> str:
    """Flags of the degrees of parallelism above 1, such as `degree_flags(engine, pp="--pp-size")`."""
    degrees = parallel_degrees(engine.parallelism)
    return " ".join(f"{flag} {degrees[short]}" for short, flag in flags.items() if degrees[short] > 1)


def _filled(command: str, values: Mapping[str, str]) -> str:
    unknown = sorted({name for name in _PLACEHOLDER.findall(command) if name not in values})
    if unknown:
        raise InvalidInputError(
            f"launch command: unknown placeholder {{{unknown[0]}}}; there are: {', '.join(sorted(values))}"
        )
    # Not str.format: a command may hold JSON.
    return _PLACEHOLDER.sub(lambda match: values[match[1]], command).strip()
