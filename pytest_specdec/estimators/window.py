"""When has a point been measured for long enough? When it is steady and sure, between a floor and a ceiling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.traffic import Traffic
from pytest_specdec.errors import NotMeasuredError
from pytest_specdec.estimators.steady import Floats, trend
from pytest_specdec.estimators.summary import speeds

FLAT = 0.03
"""Two slices whose step times are so near are of one steady state."""
_DROPPED = 0.25
"""Share of a window that is dropped from its beginning when it drifts."""
_NOTHING_S = 0.05
"""Time left that is not worth another look."""
_SOONEST, _LATEST = 0.1, 0.5
"""The next look comes after so much of the window's length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """How long to measure."""

    floor_s: float
    ceiling_s: float
    """Equal to the floor for a window of fixed length."""
    precision: float
    """Relative half-width of the 95 % interval that output throughput and TPOT must reach."""
    aim: Aim | None = None
    """Something else to be sure of, which is enough as well; None: nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a point is measured for, where that is not the point itself."""

    precision: float
    """Relative half-width that is asked for."""
    loosest: float
    """Of the point itself, whatever the aim: below it is no measurement."""
    reached: Callable[[Estimate, Estimate], float | None]
    """The one that output throughput and TPOT (s) so far come to; None while that is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a look at the traffic so far says."""

    window_start_s: float
    """Where the window begins; later than it did when its beginning was not steady."""
    done: bool
    wait_s: float = 0.0
    """Until the next look."""
    precision: float | None = None
    """Relative half-width that output throughput and TPOT have both reached; None while there is none."""
    drift: float = 0.0
    """Change of output throughput across the window where it is a trend, else 0."""
    aimed: bool = False
    """Whether the rule's aim was reached, and so was enough."""


class Reviewer:
    """Looks at one point again and again."""

    def __init__(self, rule: StopRule, workload: Workload) -> None:
        self.rule = rule
        self.workload = workload
        self._opened_s: float | None = None

    def __call__(self, traffic: Traffic) -> Review:
        """Judge the window so far."""
        start, now = traffic.window_start_s, traffic.window_end_s
        if self._opened_s is None:
            self._opened_s = start
        left = self._opened_s + self.rule.ceiling_s - now
        seconds = now - start
        if seconds < self.rule.floor_s - _NOTHING_S and left > _NOTHING_S:
            return Review(window_start_s=start, done=False, wait_s=min(self.rule.floor_s - seconds, left))
        try:
            found = speeds(traffic, self.workload)
        except NotMeasuredError:
            wait = min(max(seconds, 1.0) * _LATEST, left)
            return Review(window_start_s=start, done=left <= _NOTHING_S, wait_s=wait)
        reached = [found.output.relative, found.tpot.relative]
        precision = None if None in reached else max(r for r in reached if r is not None)
        drift = trend(found.batches)
        if left <= _NOTHING_S:
            return Review(window_start_s=start, done=True, precision=precision, drift=drift)
        if abs(drift) > self.rule.precision:
            start += _DROPPED * seconds
            wait = max(self.rule.floor_s - (now - start), _SOONEST * seconds)
            return Review(window_start_s=start, done=False, wait_s=min(wait, left), precision=precision, drift=drift)
        ahead = _ahead(found.output, found.tpot, self.rule.aim)
        aimed = _aimed(ahead, precision, self.rule.aim)
        if aimed or (precision is not None and precision <= self.rule.precision):
            return Review(window_start_s=start, done=True, precision=precision, drift=drift, aimed=aimed)
        short = [short for short in (ahead, precision and precision / self.rule.precision) if short is not None]
        missing = min(short) ** 2 - 1 if short else _LATEST
        wait = seconds * min(max(missing, _SOONEST), _LATEST)
        return Review(window_start_s=start, done=False, wait_s=min(wait, left), precision=precision, drift=drift)


def _ahead(output: Estimate, tpot: Estimate, aim: Aim | None) -> float | None:
    """How many times the asked half-width of the aim there still is; None without an aim, or while that is unknown."""
    reached = None if aim is None else aim.reached(output, tpot)
    return None if aim is None or reached is None else reached / aim.precision


def _aimed(ahead: float | None, precision: float | None, aim: Aim | None) -> bool:
    """Whether the aim is reached, and the point is a measurement by itself."""
    return aim is not None and ahead is not None and ahead <= 1 and precision is not None and precision <= aim.loosest


def median_gap_s(traffic: Traffic) -> float | None:
    """Median gap between chunks that arrived in the window: the engine's step time; None where none arrived."""
    gaps: list[Floats] = []
    for sample in traffic.samples:
        found = np.diff(sample.chunk_s)
        gaps.append(found[sample.chunk_s[1:] >= traffic.window_start_s])
    joined = np.concatenate(gaps) if gaps else np.empty(0)
    return float(np.median(joined)) if len(joined) else None


def is_flat(earlier: float | None, now: float | None) -> bool:
    """Whether two step times are of one steady state."""
    if earlier is None or now is None:
        return False
    return abs(now - earlier) <= FLAT * max(earlier, now)
