"""Arguments of the `specdec` marker: how each is read for a tier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_specdec.domain.axes import AXES
from pytest_specdec.errors import InvalidInputError

__all__ = ["ARGUMENTS", "AXES", "TIERS", "Argument", "read_argument", "read_axis"]

TIERS = ("smoke", "nightly", "release")
"""Each tier includes the ones before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """An argument of the marker that is not an axis: one value for all cells."""

    accepts: Callable[[object], bool]
    words: str
    """What the marker takes, for messages."""
    help: str


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


ARGUMENTS: Mapping[str, Argument] = {
    "arrivals": Argument(
        accepts=lambda value: value in ("poisson", "constant"),
        words="'poisson' or 'constant'",
        help="how requests arrive at a rate, 'poisson' or 'constant'",
    ),
    "prompts": Argument(
        accepts=lambda _: True,  # read_prompts has messages of its own
        words="a file or categories",
        help="a file such as 'my.jsonl' with sequence='file/256', or 'text/code' with sequence='medium/256'",
    ),
    "verification": Argument(
        accepts=_is_text, words="text", help="name of the engine's lossy mode that the suite allows, such as 'fly'"
    ),
    "hardware": Argument(accepts=_is_text, words="text", help="GPU such as 'h200', for endpoints that do not tell"),
    "thinking": Argument(
        accepts=lambda value: value is None or _is_flag(value),
        words="True, False or None",
        help="sent as chat_template_kwargs.enable_thinking unless None",
    ),
    "exact_lengths": Argument(
        accepts=_is_flag, words="True or False", help="exact sequence lengths instead of 0.8 to 1 times these"
    ),
    "ignore_eos": Argument(accepts=_is_flag, words="True or False", help="False lets the model end its answers"),
    "seed": Argument(
        accepts=lambda value: isinstance(value, int) and not _is_flag(value) and value >= 0,
        words="a whole number from 0",
        help="seed of lengths and prompts",
    ),
}


def read_axis(name: str, value: object, tier: str) -> tuple[Any, ...]:
    """Read one value, several, or a dictionary of them per tier.

    Raises:
        InvalidInputError: a value is impossible, or the tier has none; the message names the axis.
    """
    axis = AXES[name]
    values = _listed(name, _of_tier(name, value, tier) if isinstance(value, Mapping) else value)
    try:
        return tuple(axis.read(value) for value in values)
    except ValueError as error:
        raise InvalidInputError(f"{name} of the specdec marker must be {axis.words}: {list(values)}") from error


def read_argument(name: str, value: object) -> object:
    """Check an argument that is not an axis.

    Raises:
        InvalidInputError: the value is impossible; the message names the argument.
    """
    argument = ARGUMENTS[name]
    if not argument.accepts(value):
        raise InvalidInputError(f"{name} of the specdec marker must be {argument.words}: {value!r}")
    return value


def _listed(name: str, value: object) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, Sequence | set | range) and not isinstance(value, str) else (value,)
    if not values:
        raise InvalidInputError(f"{name} of the specdec marker is empty: the matrix has no cells")
    if any(isinstance(v, Mapping | set) or (isinstance(v, Sequence) and not isinstance(v, str)) for v in values):
        raise InvalidInputError(f"{name} of the specdec marker takes one value or a flat list: {list(values)}")
    if len(set(values)) < len(values):
        raise InvalidInputError(f"{name} of the specdec marker names a value twice: {list(values)}")
    return values


def _of_tier(name: str, per_tier: Mapping[Any, Any], tier: str) -> object:
    unknown = [key for key in per_tier if key not in TIERS]
    if unknown:
        raise InvalidInputError(f"{name} of the specdec marker: unknown tier {unknown[0]!r}; tiers: {', '.join(TIERS)}")
    for candidate in reversed(TIERS[: TIERS.index(tier) + 1]):
        if candidate in per_tier:
            return per_tier[candidate]
    raise InvalidInputError(
        f"{name} of the specdec marker has no values for tier {tier!r}; it has {', '.join(per_tier)}"
    )
