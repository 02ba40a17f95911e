"""The gain of MTP at matched concurrency, and the concurrency at which it stops paying.

At one concurrency a stream gains AL tokens per step with MTP and 1 without, so MTP is as fast per user as Off when

    break-even AL = step time with MTP / step time without,

and the measured acceptance length over that is the headroom: how much acceptance may fall before MTP stops paying.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.results.measurement import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """MTP against Off at one concurrency."""

    cell: Cell
    """The MTP side."""
    throughput_ratio: Estimate
    break_even_length: Estimate | None
    """Acceptance length at which MTP is as fast per user as Off; None where step times were not measured."""
    length: Estimate | None
    """The measured acceptance length."""

    @property
    def headroom(self) -> float | None:
        """Measured over break-even acceptance length, minus 1; negative where MTP loses."""
        if self.break_even_length is None or self.length is None:
            return None
        return self.length.value / self.break_even_length.value - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Concurrency at which MTP stops paying."""

    concurrency: float | None
    """Between measured ones, by the power law between them; None where the ratio does not cross 1."""
    low: float | None = None
    high: float | None = None
    """Range that the ratios' uncertainty leaves."""
    pays_throughout: bool = False
    """Without a crossing: MTP pays at every measured concurrency, else at none."""

    def sentence(self, mode: str) -> str:
        """Return the limit in words."""
        if self.concurrency is None:
            return f"{mode} pays at every measured concurrency" if self.pays_throughout else f"{mode} pays nowhere here"
        span = "" if self.low is None or self.high is None else f" ({self.low:.0f} to {self.high:.0f})"
        return f"{mode} stops paying at about {self.concurrency:.0f}{span} requests in flight"


def gains(measurements: Iterable[Measurement]) -> dict[tuple[EngineSpec, Workload], list[Gain]]:
    """Return the gain of every MTP point with an Off point at its concurrency, by curve and rising concurrency.

    Points at a request rate are left out: there both sides serve the same requests per second.
    """
    found = [m for m in measurements if not m.cell.rate]
    off = {m.cell: m for m in found if not m.cell.engine.speculation.active}
    curves: dict[tuple[EngineSpec, Workload], list[Gain]] = {}
    for mtp in sorted((m for m in found if m.cell.engine.speculation.active), key=lambda m: m.cell):
        other = off.get(Cell(mtp.cell.engine.off(), mtp.cell.workload, mtp.cell.concurrency))
        if other is not None:
            curves.setdefault(mtp.curve_key, []).append(_gain(mtp, other))
    return curves


def limit(points: Sequence[Gain]) -> Limit:
    """Find the last concurrency at which the ratio falls through 1; `points` by rising concurrency."""
    crossing = _crossing([(p.cell.concurrency, p.throughput_ratio.value) for p in points])
    if crossing is None:
        return Limit(concurrency=None, pays_throughout=all(p.throughput_ratio.value >= 1 for p in points))
    low = _crossing([(p.cell.concurrency, p.throughput_ratio.low) for p in points])
    high = _crossing([(p.cell.concurrency, p.throughput_ratio.high) for p in points])
    return Limit(
        concurrency=crossing,
        low=low if low is not None else float(points[0].cell.concurrency),
        high=high if high is not None else float(points[-1].cell.concurrency),
    )


def best_draft_tokens(curves: Iterable[Sequence[Gain]]) -> dict[int, Gain]:
    """The MTP mode with the highest gain at each concurrency."""
    best: dict[int, Gain] = {}
    for gain in (gain for points in curves for gain in points):
        earlier = best.get(gain.cell.concurrency)
        if earlier is None or gain.throughput_ratio.value > earlier.throughput_ratio.value:
            best[gain.cell.concurrency] = gain
    return dict(sorted(best.items()))


def _gain(mtp: Measurement, off: Measurement) -> Gain:
    steps = [m.values.get("step_time_ms") for m in (mtp, off)]
    return Gain(
        cell=mtp.cell,
        throughput_ratio=mtp.throughput / off.throughput,
        break_even_length=steps[0] / steps[1] if steps[0] is not None and steps[1] is not None else None,
        length=mtp.values.get("acceptance_length"),
    )


def _crossing(ratios: Sequence[tuple[int, float]]) -> float | None:
    for (c0, r0), (c1, r1) in reversed(list(pairwise(ratios))):
        if r0 >= 1 > r1 > 0:
            share = math.log(r0) / math.log(r0 / r1)
            return float(c0 * (c1 / c0) ** share)
    return None
