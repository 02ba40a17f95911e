"""Stopping rules: a point ends when it is steady and precise enough, between a floor and a ceiling; a probe sooner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.traffic import Traffic
from pytest_specdec.errors import NotMeasuredError
from pytest_specdec.estimators.steady import trend
from pytest_specdec.estimators.summary import speeds

FLAT = 0.03
"""Relative difference of step times within one steady state."""
_DROPPED = 0.25
"""Share of a window that is dropped from its beginning when it drifts."""
_NOTHING_S = 0.05
"""Remaining time too short for another interim analysis."""
_SOONEST, _LATEST = 0.1, 0.5
"""Range of the wait for the next interim analysis, as share of the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """Length of the measurement of a point."""

    floor_s: float
    ceiling_s: float
    """Equal to the floor for a window of fixed length."""
    precision: float
    """Relative half-width of the 95 % interval that output throughput and TPOT must reach."""
    aim: Aim | None = None
    """Another value whose precision suffices as well; None: only the point's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Purpose of a point that is measured for another value."""

    precision: float
    """Requested relative half-width."""
    loosest: float
    """Of the point itself, whatever the aim: below it is no measurement."""
    reached: Callable[[Estimate, Estimate], float | None]
    """The one that output throughput and TPOT (s) so far come to; None while that is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Result of an interim analysis of the traffic so far."""

    window_start_s: float
    """Beginning of the window; moved later when its beginning was not steady."""
    done: bool
    wait_s: float = 0.0
    """Until the next interim analysis."""
    precision: float | None = None
    """Relative half-width that output throughput and TPOT have both reached; None while there is none."""
    drift: float = 0.0
    """Change of output throughput across the window where it is a trend, else 0."""
    aimed: bool = False
    """True if the rule's aim was reached."""


class Reviewer:
    """Repeated interim analyses of one point."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReview:
    """Ends a probe after a fixed time: too rough for a result, precise enough to locate an interactivity level."""

    seconds: float

    def __call__(self, traffic: Traffic) -> Review:
        """Judge the window so far."""
        left = self.seconds - traffic.window_s
        return Review(window_start_s=traffic.window_start_s, done=left <= _NOTHING_S, wait_s=max(left, 0.0))


def rough_interactivity(traffic: Traffic, concurrency: int) -> float:
    """Output tokens per second and stream in the window, tok/s/user: interactivity with the waiting in between.

    Raises:
        NotMeasuredError: no token came.
    """
    tokens = sum(int(s.chunk_tokens[traffic.inside(s.chunk_s)].sum()) for s in traffic.samples)
    if not tokens:
        raise NotMeasuredError(f"no token arrived within {traffic.window_s:.1f} s at concurrency {concurrency}")
    return tokens / traffic.window_s / concurrency


def _ahead(output: Estimate, tpot: Estimate, aim: Aim | None) -> float | None:
    """Half-width of the aim over the requested one; None without an aim, or while it is unknown."""
    reached = None if aim is None else aim.reached(output, tpot)
    return None if aim is None or reached is None else reached / aim.precision


def _aimed(ahead: float | None, precision: float | None, aim: Aim | None) -> bool:
    """True if the aim is reached and the point is a valid measurement by itself."""
    return aim is not None and ahead is not None and ahead <= 1 and precision is not None and precision <= aim.loosest


def median_gap_s(traffic: Traffic) -> float | None:
    """Median gap between chunks that arrived in the window: the engine's step time; None where none arrived."""
    gaps = [np.diff(s.chunk_s)[s.chunk_s[1:] >= traffic.window_start_s] for s in traffic.samples]
    joined = np.concatenate(gaps or [np.empty(0)])
    return float(np.median(joined)) if len(joined) else None


def is_flat(earlier: float | None, now: float | None) -> bool:
    """True if two step times belong to one steady state."""
    if earlier is None or now is None:
        return False
    return abs(now - earlier) <= FLAT * max(earlier, now)
