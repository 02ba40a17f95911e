"""Comparability of two environments: an engine upgrade may change its bundle of versions, and nothing else.

Resolved settings are compared, not flags: an upgrade may rename a flag, but must not change the setting.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pytest_specdec.domain.agreement import differences
from pytest_specdec.domain.environment import UNKNOWN, Environment
from pytest_specdec.domain.facts import BUNDLE, Facts

SIDES = ("measured", "baseline")
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
    refused = _differences(now, then, {"hardware": "hardware", "engine": "engine", "simulated": "simulated preset"})
    refused += _facts(now, then, SEMANTICS)
    refused += [
        f"{name} is required (specdec_required_facts) and not known of {side}; declare it with --specdec-facts"
        for name in required
        for side, environment in (("this run", now), ("the baseline", then))
        if environment.facts.get(name) is None
    ]
    upgraded = _differences(now, then, {"version": "version"}) + _facts(now, then, sorted(BUNDLE))
    return Likeness(refused=tuple(refused), upgraded=tuple(upgraded), warned=tuple(_facts(now, then, sorted(HOST))))


def _differences(now: Environment, then: Environment, names: Mapping[str, str]) -> list[str]:
    fields = ((words, getattr(now, name), getattr(then, name)) for name, words in names.items())
    return differences(fields, sides=SIDES, unknown=(UNKNOWN,))


def _facts(now: Environment, then: Environment, names: Iterable[str]) -> list[str]:
    fields = ((name, now.facts.get(name), then.facts.get(name)) for name in names)
    return differences(fields, sides=SIDES, unknown=(None,))
