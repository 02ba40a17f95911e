"""Comparability of two environments: an engine upgrade may change its bundle of versions, and nothing else.

Resolved settings are compared, not flags: an upgrade may rename a flag, but must not change the setting.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pytest_specdec.domain.environment import UNKNOWN, Environment
from pytest_specdec.domain.facts import BUNDLE, Facts

HOST = frozenset({"driver", "gpu_clock_mhz", "power_cap_w"})
"""Facts of the machine: a difference is reported and does not prevent the comparison."""
SEMANTICS = tuple(name for name in Facts.__struct_fields__ if name not in BUNDLE | HOST)
"""Facts that must be equal: otherwise the comparison measures more than the upgrade of the engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Differences of two environments, by their consequence for a comparison."""

    refused: tuple[str, ...] = ()
    """Differences that make the comparison invalid."""
    upgraded: tuple[str, ...] = ()
    """Differences of the bundle: the subject of the comparison."""
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
