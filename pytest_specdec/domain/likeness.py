"""Are two environments alike enough to compare? An engine upgrade may change a bundle of things, and nothing else.

Resolved semantics are compared, not spellings: what a flag is called belongs to the bundle, what it comes to does not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pytest_specdec.domain.environment import UNKNOWN, Environment
from pytest_specdec.domain.facts import BUNDLE, Facts

HOST = frozenset({"driver", "gpu_clock_mhz", "power_cap_w"})
"""What belongs to the machine: another one is told, and does not refuse the comparison."""
SEMANTICS = tuple(name for name in Facts.__struct_fields__ if name not in BUNDLE | HOST)
"""What must resolve to the same, or it is not the engine's upgrade that is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """What differs between two environments, sorted by what it means for a comparison."""

    refused: tuple[str, ...] = ()
    """Differences that make the comparison invalid."""
    upgraded: tuple[str, ...] = ()
    """Differences of the bundle: what the comparison is about."""
    warned: tuple[str, ...] = ()
    """Differences of the host."""


def likeness(now: Environment, then: Environment, required: Collection[str] = ()) -> Likeness:
    """Compare two environments fact by fact; a fact that one side does not know differs from nothing.

    Facts in `required` may not be unknown, on either side.
    """
    refused = [
        f"{name} differs: measured {a!r}, baseline {b!r}"
        for name, a, b in (
            ("hardware", now.hardware, then.hardware),
            ("engine", now.engine, then.engine),
            ("simulated preset", now.simulated, then.simulated),
        )
        if a != b and UNKNOWN not in (a, b)
    ]
    refused += [words for name in SEMANTICS if (words := _difference(name, now, then))]
    refused += [
        f"{name} is required (specdec_required_facts) and not known of {side}; declare it with --specdec-facts"
        for name in required
        for side, environment in (("this run", now), ("the baseline", then))
        if environment.facts.get(name) is None
    ]
    upgraded = [words for name in sorted(BUNDLE) if (words := _difference(name, now, then))]
    if now.version != then.version and UNKNOWN not in (now.version, then.version):
        upgraded.insert(0, f"version differs: measured {now.version!r}, baseline {then.version!r}")
    warned = [words for name in sorted(HOST) if (words := _difference(name, now, then))]
    return Likeness(refused=tuple(refused), upgraded=tuple(upgraded), warned=tuple(warned))


def _difference(name: str, now: Environment, then: Environment) -> str:
    a, b = now.facts.get(name), then.facts.get(name)
    return f"{name} differs: measured {a!r}, baseline {b!r}" if None not in (a, b) and a != b else ""
