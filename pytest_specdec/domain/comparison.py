"""MTP against Off (or any two curves) at matched interactivity and at matched concurrency, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_specdec.domain.agreement import refuse_different
from pytest_specdec.domain.curve import Bracket, Curve, CurveIdentity, Reading
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.price import Price, cost_usd_mtok, tok_s_mw
from pytest_specdec.domain.speculation_mode import mode_title
from pytest_specdec.errors import NotMeasuredError

_MUST_AGREE = ("model", "hardware", "precision", "parallelism", "sequence", "workload")
_CAUTION = ("engine", "version")
_QUARTILES = (0.25, 0.5, 0.75)
_TIE = 1.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Two curves read at one interactivity, or at one concurrency."""

    matched_by: str
    """`interactivity` or `concurrency`."""
    level: float
    """tok/s/user or requests in flight."""
    candidate: Reading
    reference: Reading
    names: tuple[str, str]
    """Names of candidate and reference, such as MTP 3 and Off."""
    price: Price | None

    @property
    def throughput_ratio(self) -> Estimate:
        """Candidate's total throughput per GPU over the reference's."""
        return self.candidate.throughput / self.reference.throughput

    @property
    def cost_ratio(self) -> Estimate:
        """Candidate's cost per token over the reference's, at one price: the inverse of the throughput ratio."""
        return self.throughput_ratio.inverse()

    @property
    def saving(self) -> float:
        """Fraction of the reference's cost per token that the candidate saves; negative when it costs more."""
        return 1 - self.cost_ratio.value

    @property
    def interactivity_ratio(self) -> Estimate:
        """Candidate's interactivity over the reference's; 1 by construction at matched interactivity."""
        keys = [side.readings.get("interactivity_tok_s_user") for side in (self.candidate, self.reference)]
        if self.matched_by == "interactivity" or keys[0] is None or keys[1] is None:
            return Estimate(self.candidate.interactivity / self.reference.interactivity)
        return keys[0] / keys[1]

    @property
    def wide(self) -> bool:
        """True if one side was interpolated across a missing point."""
        return self.candidate.bracket.wide or self.reference.bracket.wide

    def cost(self, side: Reading) -> Estimate | None:
        """$ per million tokens of one side; None without a price."""
        return None if self.price is None else cost_usd_mtok(self.price, side.throughput)

    def tok_s_mw(self, side: Reading) -> Estimate | None:
        """tok/s/MW of one side; None without a power."""
        return None if self.price is None else tok_s_mw(self.price, side.throughput)

    def sentence(self) -> str:
        """State the winner and its advantage, as ratio and as saving."""
        candidate, reference = self.names
        where = f"{self.level:g} tok/s/user" if self.matched_by == "interactivity" else f"concurrency {self.level:g}"
        ratio = self.throughput_ratio
        mine, theirs = self.candidate.throughput.value, self.reference.throughput.value
        if 1 / _TIE < ratio.value < _TIE:
            return f"At {where} {candidate} and {reference} are level: {mine:.1f} against {theirs:.1f} tok/s/GPU."
        winner, loser, factor = candidate, reference, ratio.value
        if factor < 1:
            winner, loser, factor, mine, theirs = reference, candidate, 1 / factor, theirs, mine
        served = f"{mine:.1f} against {theirs:.1f} tok/s/GPU"
        doubt = "" if _decided(ratio) else " The uncertainty does not exclude a tie."
        return (
            f"At {where} {winner} serves {factor:.2f}x the tokens per GPU of {loser} ({served}), "
            f"so a token costs {(1 - 1 / factor) * 100:.0f} % less.{doubt}"
        )


class Comparison:
    """Two comparable curves, with the price and the cautions of their comparison."""

    def __init__(
        self,
        candidate: Curve,
        reference: Curve,
        *,
        price: Price | None = None,
        names: tuple[str, str] | None = None,
        cautions: Sequence[str] = (),
    ) -> None:
        refuse_different(
            (name, getattr(candidate.identity, name), getattr(reference.identity, name)) for name in _MUST_AGREE
        )
        self.candidate = candidate
        self.reference = reference
        self.price = price
        self.names = names or curve_names(candidate.identity, reference.identity)
        self.cautions = (*cautions, *_cautions(candidate.identity, reference.identity))

    @property
    def overlap(self) -> tuple[float, float]:
        """Range of interactivity that both curves cover, tok/s/user.

        Raises:
            NotMeasuredError: the two ranges do not meet.
        """
        (a, b), (c, d) = self.candidate.range, self.reference.range
        low, high = max(a, c), min(b, d)
        if low > high:
            raise NotMeasuredError(
                f"no overlap: {self.names[0]} covers {a:.1f} to {b:.1f} tok/s/user and {self.names[1]} "
                f"{c:.1f} to {d:.1f}; measure more concurrencies so that the ranges meet"
            )
        return low, high

    def levels(self) -> tuple[int, ...]:
        """Three levels at 25, 50 and 75 % of the overlap, rounded to whole tok/s/user as on the published page."""
        low, high = self.overlap
        rounded = (math.floor(low + q * (high - low) + 0.5) for q in _QUARTILES)
        return tuple(dict.fromkeys(level for level in rounded if low <= level <= high))

    def at(self, interactivity: float) -> Level:
        """Compare at matched interactivity in tok/s/user.

        Raises:
            NotMeasuredError: one of the curves does not reach it.
        """
        sides = (curve.at(interactivity) for curve in (self.candidate, self.reference))
        return self._level("interactivity", interactivity, *sides)

    def at_concurrency(self, concurrency: int) -> Level:
        """Compare at matched concurrency, between two measured points.

        Raises:
            NotMeasuredError: one of the curves was not run at it.
        """
        sides = (_point_reading(curve, concurrency) for curve in (self.candidate, self.reference))
        return self._level("concurrency", concurrency, *sides)

    def _level(self, matched_by: str, level: float, candidate: Reading, reference: Reading) -> Level:
        return Level(
            matched_by=matched_by,
            level=level,
            candidate=candidate,
            reference=reference,
            names=self.names,
            price=self.price,
        )

    def shared_concurrencies(self) -> tuple[int, ...]:
        """Concurrencies that were run on both sides, rising."""
        return tuple(
            sorted({p.concurrency for p in self.candidate.points} & {p.concurrency for p in self.reference.points})
        )


def curve_names(candidate: CurveIdentity, reference: CurveIdentity) -> tuple[str, str]:
    """Short names that tell two curves apart."""
    names = tuple(mode_title(identity.mode) or "curve" for identity in (candidate, reference))
    if names[0] != names[1]:
        return names[0], names[1]
    for field in ("version", "engine", "date"):
        mine, theirs = getattr(candidate, field), getattr(reference, field)
        if mine != theirs:
            return f"{names[0]} ({mine or 'unknown'})", f"{names[1]} ({theirs or 'unknown'})"
    return f"{names[0]} (candidate)", f"{names[1]} (reference)"


def _cautions(candidate: CurveIdentity, reference: CurveIdentity) -> list[str]:
    cautions = []
    for name in _CAUTION:
        mine, theirs = getattr(candidate, name), getattr(reference, name)
        if mine and theirs and mine != theirs:
            cautions.append(
                f"{name} differs ({mine} against {theirs}): the difference is not MTP's alone, "
                "and engines differ in how they draft and verify"
            )
    if candidate.date and reference.date and candidate.date != reference.date:
        cautions.append(f"measured on different days: {candidate.date} against {reference.date}")
    return cautions


def _point_reading(curve: Curve, concurrency: int) -> Reading:
    point = curve.at_concurrency(concurrency)
    return Reading(
        interactivity=point.interactivity.value,
        throughput=point.throughput,
        concurrency=concurrency,
        bracket=Bracket(lower=point, upper=point),
        readings={**point.readings, "interactivity_tok_s_user": point.interactivity},
    )


def _decided(ratio: Estimate) -> bool:
    return ratio.low > 1 or ratio.high < 1
