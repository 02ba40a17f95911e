"""Energy of GPUs over a window: by the difference of their counters, else by the integral of their power readings.

Both are functions of time that are fixed by the readings alone, so the parts of a window add up to the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CounterFault = Literal["reset", "stuck"]
EnergyOrigin = Literal["counter", "power"]
Floats = NDArray[np.float64]
Readings = Sequence[tuple[float, float | None]]
"""Moments in seconds and the value at each; None is unknown."""

_NEAR_S = 2.5
_EDGE_SHARE = 0.1
_GAP_SHARE = 0.25
_SPACING_S = 0.01
"""Of counters: they step by millijoules and more, so closer readings do not resolve the power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Energy and power readings of one GPU."""

    counted: Readings
    """Its counter, J since some unknown moment."""
    drawn: Readings
    """Its power, W."""


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy of all GPUs together and where it comes from; None is unknown."""

    joules: float | None = None
    origin: EnergyOrigin | None = None
    fault: CounterFault | None = None
    """Fault of a counter, for which none was used."""


def energy_of(tracks: Sequence[Track], start_s: float, end_s: float) -> Energy:
    """Energy of all GPUs by their counters, else by their power readings, else unknown."""
    counted = [_by_counter(_series(track.counted), start_s, end_s) for track in tracks]
    joules = [found for found in counted if isinstance(found, float)]
    if len(joules) == len(tracks):
        return Energy(math.fsum(joules), "counter")
    fault: CounterFault | None = "reset" if "reset" in counted else "stuck" if "stuck" in counted else None
    powers = [_by_power(_series(track.drawn), start_s, end_s) for track in tracks]
    joules = [found for found in powers if found is not None]
    if len(joules) == len(tracks):
        return Energy(math.fsum(joules), "power", fault)
    return Energy(fault=fault)


def _by_counter(series: tuple[Floats, Floats], start_s: float, end_s: float) -> float | CounterFault | None:
    times, joules = series
    if len(times) < 2:
        return None
    first, last = _touching(times, start_s, end_s)
    steps = np.diff(joules[first : last + 1])
    if (steps < 0).any():
        return "reset"
    if not _edges_known(times, start_s, end_s):
        return None
    if len(steps) and not steps.any():
        return "stuck"
    apart = _spaced(times)
    if len(apart) < 2:
        return None
    spaced = times[apart], joules[apart]
    return _extended(end_s, *spaced) - _extended(start_s, *spaced)


def _spaced(times: Floats) -> list[int]:
    """Indices of readings that are not so close together that rounding would make their slope."""
    kept: list[int] = []
    for i, at in enumerate(times):
        if not kept or at - times[kept[-1]] >= _SPACING_S:
            kept.append(i)
    return kept


def _by_power(series: tuple[Floats, Floats], start_s: float, end_s: float) -> float | None:
    """Trapezoids between the readings; before the first and after the last one, power is held."""
    times, watts = series
    if len(times) == 0 or not _edges_known(times, start_s, end_s):
        return None
    if longest_gap(times.tolist(), start_s, end_s) > max(_NEAR_S, _GAP_SHARE * (end_s - start_s)):
        return None
    inside = (times > start_s) & (times < end_s)
    knots = np.concatenate([[start_s], times[inside], [end_s]])
    values = np.interp(knots, times, watts)
    return float((np.diff(knots) * (values[1:] + values[:-1])).sum() / 2)


def _series(pairs: Iterable[tuple[float, float | None]]) -> tuple[Floats, Floats]:
    """Known values over strictly rising times; of two values at one time the later one counts."""
    known = sorted({at: value for at, value in pairs if value is not None}.items())
    return np.array([at for at, _ in known], dtype=np.float64), np.array([v for _, v in known], dtype=np.float64)


def _touching(times: Floats, start_s: float, end_s: float) -> tuple[int, int]:
    """Indices of the last reading before the window (else the first), and of the first one after it (else the last)."""
    first = max(int(np.searchsorted(times, start_s, side="right")) - 1, 0)
    last = min(int(np.searchsorted(times, end_s, side="left")), len(times) - 1)
    return first, last


def _edges_known(times: Floats, start_s: float, end_s: float) -> bool:
    """True if readings lie so close around both edges that linear interpolation is sound."""
    near = max(_NEAR_S, _EDGE_SHARE * (end_s - start_s))
    first, last = _touching(times, start_s, end_s)
    inside = times[(times >= start_s) & (times <= end_s)]
    if len(inside) == 0:
        return bool(times[first] <= start_s and times[last] >= end_s and times[last] - times[first] <= near)
    before, after = min(float(times[first]), start_s), max(float(times[last]), end_s)
    return bool(inside[0] - before <= near and after - inside[-1] <= near)


def _extended(at_s: float, times: Floats, values: Floats) -> float:
    """Linear interpolation; outside the readings, the nearest two of them continue."""
    i = min(max(int(np.searchsorted(times, at_s)) - 1, 0), len(times) - 2)
    slope = (values[i + 1] - values[i]) / (times[i + 1] - times[i])
    return float(values[i] + slope * (at_s - times[i]))


def longest_gap(times: Iterable[float], start_s: float, end_s: float) -> float:
    """Longest time between neighbours among the moments inside a window and its edges."""
    knots = [start_s, *sorted(t for t in times if start_s < t < end_s), end_s]
    return max(later - earlier for earlier, later in pairwise(knots))
