"""Arguments of the `specdec` marker: how each is read for a tier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_specdec.domain.axes import AXES, whole
from pytest_specdec.errors import InvalidInputError

__all__ = ["ARGUMENTS", "AXES", "TIERS", "read_argument", "read_axis"]

TIERS = ("smoke", "nightly", "release")
"""Each tier includes the ones before it."""


def _one_of(words: str, *allowed: object) -> Callable[[object], object]:
    def read(value: object) -> object:
        if not any(value is one or (value == one and isinstance(one, str)) for one in allowed):
            raise ValueError(words)
        return value

    return read


def _maybe_empty(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("text")  # noqa: TRY004 - a reader of values raises one error
    return value


_flag = _one_of("True or False", True, False)
ARGUMENTS: Mapping[str, tuple[Callable[[object], object], str]] = {
    "arrivals": (_one_of("'poisson' or 'constant'", "poisson", "constant"), "of the requests of a rate, or 'constant'"),
    "prompts": (lambda value: value, "'my.jsonl' for sequence='file/256', 'text/code' for sequence='medium/256'"),
    "verification": (_maybe_empty, "the engine's lossy mode that the suite allows, such as 'fly'"),
    "hardware": (_maybe_empty, "GPU such as 'h200', for endpoints that do not tell"),
    "thinking": (_one_of("True, False or None", True, False, None), "chat_template_kwargs.enable_thinking"),
    "exact_lengths": (_flag, "of the sequence, in place of 0.8 to 1 times these"),
    "ignore_eos": (_flag, "False lets the model end its answers"),
    "seed": (whole(0), "of lengths and prompts"),
}
"""Arguments that have one value for all cells: reader, as of an axis, and help."""


def read_axis(name: str, value: object, tier: str) -> tuple[Any, ...]:
    """Read one value, several, or a dictionary of them per tier.

    Raises:
        InvalidInputError: a value is impossible, or the tier has none; the message names the axis.
    """
    values = _listed(name, _of_tier(name, value, tier) if isinstance(value, Mapping) else value)
    return tuple(_read(name, AXES[name].read, one) for one in values)


def read_argument(name: str, value: object) -> Any:  # noqa: ANN401 - the type is the argument's
    """Read an argument that is not an axis.

    Raises:
        InvalidInputError: the value is impossible; the message names the argument.
    """
    return _read(name, ARGUMENTS[name][0], value)


def _read(name: str, read: Callable[[Any], Any], value: object) -> Any:  # noqa: ANN401 - the type is the reader's
    try:
        return read(value)
    except ValueError as error:
        raise InvalidInputError(f"{name} of the specdec marker must be {error}: {value!r}") from error


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
