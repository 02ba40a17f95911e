"""A value with its uncertainty, and comparisons that answer only where the interval decides.

`comparison.at(75).throughput_ratio > 1.5` is true when the whole 95 % interval lies above 1.5, false when the whole
interval lies below, and otherwise raises `InconclusiveError`: neither pass nor fail would be honest.
"""

from __future__ import annotations

import math

import msgspec

from pytest_specdec.errors import InconclusiveError


class Estimate(msgspec.Struct, frozen=True, array_like=True):
    """A value and the half-width of its 95 % confidence interval, in the same unit; None when it is unknown.

    An estimate of unknown uncertainty (a published single run) is compared by its value alone.
    In files it is the pair `[value, half_width]`.
    """

    value: float
    half_width: float | None = None

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - (self.half_width or 0.0)

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + (self.half_width or 0.0)

    @property
    def relative(self) -> float | None:
        """Half-width as a fraction of the value; None when unknown."""
        if self.half_width is None or self.value == 0:
            return None
        return self.half_width / abs(self.value)

    def scaled(self, factor: float) -> Estimate:
        """The same quantity in another unit."""
        return Estimate(self.value * factor, None if self.half_width is None else self.half_width * abs(factor))

    def inverse(self, numerator: float = 1.0) -> Estimate:
        """`numerator / self`, with the relative uncertainty kept (first order)."""
        value = numerator / self.value
        return Estimate(value, None if self.relative is None else abs(value) * self.relative)

    def __truediv__(self, other: Estimate) -> Estimate:
        """Ratio of two independent estimates: relative half-widths add in quadrature (first order)."""
        value = self.value / other.value
        known = [r for r in (self.relative, other.relative) if r is not None]
        return Estimate(value, abs(value) * math.hypot(*known) if known else None)

    def __gt__(self, bound: float) -> bool:
        """True if the value exceeds `bound`."""
        return self._decide(">", bound, yes=self.low > bound, no=self.high <= bound)

    def __ge__(self, bound: float) -> bool:
        """True if the value is at least `bound`."""
        return self._decide(">=", bound, yes=self.low >= bound, no=self.high < bound)

    def __lt__(self, bound: float) -> bool:
        """True if the value is below `bound`."""
        return self._decide("<", bound, yes=self.high < bound, no=self.low >= bound)

    def __le__(self, bound: float) -> bool:
        """True if the value is at most `bound`."""
        return self._decide("<=", bound, yes=self.high <= bound, no=self.low > bound)

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        return f"{self.value:.4g}" if self.half_width is None else f"{self.value:.4g} ± {self.half_width:.2g}"

    def __repr__(self) -> str:
        return f"Estimate({self})"

    def _decide(self, sign: str, bound: float, *, yes: bool, no: bool) -> bool:
        if yes or no:
            return yes
        raise InconclusiveError(
            f"inconclusive: {self} {sign} {bound:g} is not decided by the 95 % interval "
            f"[{self.low:.4g}, {self.high:.4g}]; measure longer or more often"
        )
