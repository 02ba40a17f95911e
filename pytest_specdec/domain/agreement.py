"""The one rule of comparability: two sides may be compared where every field that both know agrees."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pytest_specdec.domain.environment import UNKNOWN
from pytest_specdec.errors import NotComparableError

Fields = Iterable[tuple[str, object, object]]
"""Name of a field with its value on either side."""
NOT_KNOWN = (None, "", UNKNOWN)


def differences(
    fields: Fields, *, sides: tuple[str, str] | None = None, unknown: Collection[object] = NOT_KNOWN
) -> list[str]:
    """Name every field on which two sides disagree, with both values.

    Args:
        fields: What must agree.
        sides: Names of the two sides for the message.
        unknown: Values that disagree with nothing; empty where a missing value is a difference.
    """
    form = f"{{}} differs: {sides[0]} {{!r}}, {sides[1]} {{!r}}" if sides else "{} differs, {!r} against {!r}"
    return [
        form.format(name, one, other)
        for name, one, other in fields
        if one != other and one not in unknown and other not in unknown
    ]


def refuse_different(fields: Fields, *, unknown: Collection[object] = NOT_KNOWN, what: str = "not comparable") -> None:
    """Refuse two sides that disagree.

    Raises:
        NotComparableError: the message has `what` and the first field with both values.
    """
    if found := differences(fields, unknown=unknown):
        raise NotComparableError(f"{what}: {found[0]}")
