"""Published points -> the curves that a user asked for, in pairs of MTP and Off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.domain.curve import Curve, CurveIdentity
from pytest_specdec.domain.price import PRICE_BOOKS, Price, list_price
from pytest_specdec.errors import InvalidInputError, NotComparableError
from pytest_specdec.importers.inferencex import PublishedPoint

FILTERS = ("model", "hardware", "precision", "parallelism", "sequence", "engine", "version", "date")
_MOST_NAMED = 12
_WORKLOAD = ("model", "hardware", "precision", "sequence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Filter of rows: the accepted values per field, for both sides and for one side only."""

    both: Mapping[str, Sequence[str]] = field(default_factory=dict)
    off: Mapping[str, Sequence[str]] = field(default_factory=dict)
    mtp: Mapping[str, Sequence[str]] = field(default_factory=dict)


def published_comparisons(
    points: Iterable[PublishedPoint], selection: Selection, price: Price | None = None
) -> tuple[list[Comparison], list[str]]:
    """Pair Off and MTP per workload.

    Returns the comparisons and, for each workload with one side only, the reason why there is none.

    Raises:
        InvalidInputError: no row passes the filters; the message lists the values in the files.
        NotComparableError: one side mixes engines, versions, parallelisms or dates; the message names the options.
    """
    everything = list(points)
    taken = [p for p in everything if _wanted(p.identity, selection)]
    if not taken:
        raise InvalidInputError(f"no result passes the filters; the files have {_inventory(everything)}")
    groups: dict[tuple[str, ...], list[PublishedPoint]] = {}
    for point in taken:
        groups.setdefault(tuple(getattr(point.identity, name) for name in _WORKLOAD), []).append(point)
    comparisons, one_sided = [], []
    for key, group in sorted(groups.items()):
        sides = {side: [p for p in group if _side(p.identity) == side] for side in ("off", "mtp")}
        missing = [side for side, found in sides.items() if not found]
        if missing:
            one_sided.append(f"{' '.join(key)}: no {' and no '.join(missing)} points")
            continue
        off, mtp = (_curve(sides[side], side) for side in ("off", "mtp"))
        comparisons.append(Comparison(mtp, off, price=price or price_at(off.identity)))
    if not comparisons:
        raise InvalidInputError("nothing to compare: " + "; ".join(one_sided))
    return comparisons, one_sided


def price_at(identity: CurveIdentity) -> Price | None:
    """List price of the hardware at the time of the measurement; None if it is not listed."""
    books = [book for book in PRICE_BOOKS if book <= (identity.date or PRICE_BOOKS[-1])] or PRICE_BOOKS[:1]
    try:
        return list_price(identity.hardware, book=books[-1])
    except InvalidInputError:
        return None


def _curve(points: Sequence[PublishedPoint], side: str) -> Curve:
    identity = points[0].identity
    for point in points[1:]:
        try:
            identity = identity.merged(point.identity)
        except NotComparableError as error:
            raise NotComparableError(
                f"{' '.join(getattr(identity, name) for name in _WORKLOAD)}, {side} side: {error}. "
                f"There are: {_inventory(points)}. Choose with --where FIELD=VALUE or --{side} FIELD=VALUE"
            ) from error
    found = [published.point for published in points]  # two files may both have a row
    return Curve([point for i, point in enumerate(found) if point not in found[:i]], identity)


def _side(identity: CurveIdentity) -> str:
    return "off" if identity.mode == "off" else "mtp"


def _wanted(identity: CurveIdentity, selection: Selection) -> bool:
    own = selection.off if _side(identity) == "off" else selection.mtp
    return all(getattr(identity, name) in values for wanted in (selection.both, own) for name, values in wanted.items())


def _inventory(points: Sequence[PublishedPoint]) -> str:
    parts = []
    for name in (*FILTERS, "mode"):
        values = sorted({getattr(p.identity, name) for p in points} - {""})
        if len(values) > 1 or name in _WORKLOAD:
            more = [f"and {len(values) - _MOST_NAMED} more"] if len(values) > _MOST_NAMED else []
            parts.append(f"{name} {', '.join(values[:_MOST_NAMED] + more)}")
    return "; ".join(parts)
