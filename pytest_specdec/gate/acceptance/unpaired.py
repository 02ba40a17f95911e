"""Acceptance of one run against a baseline's sessions, where the engine does not count by prompt.

Two runs of different length see different prompts, and an engine started anew accepts a little more or less. How much
that is, only several sessions of the baseline tell; with fewer of them the difference is shown and decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from pytest_specdec.domain.acceptance import Acceptance
from pytest_specdec.gate.acceptance.check import LENGTH, LIMITS, POSITION, AcceptanceCheck, CheckName, tested
from pytest_specdec.gate.acceptance.loss import unpaired_loss
from pytest_specdec.gate.holm import holm

FEWEST_SESSIONS = 3
"""With fewer sessions the scatter is not estimated."""


def unpaired_checks(
    measured: Acceptance, lengths: Sequence[float], positions: Sequence[Sequence[float]], why: str
) -> Iterator[AcceptanceCheck]:
    """Length and positions against the mean of each session (start of the server) of the baseline.

    `lengths` has shape (sessions,), `positions` (sessions, positions) and may be of fewer sessions or none; `why` says
    what keeps from pairing.
    """
    because = f"by run, because {why}"
    if lengths:
        before, now = float(np.mean(lengths)), measured.length
        words = f"acceptance length {before:.2f} -> {now:.2f}, {because}"
        if len(lengths) < FEWEST_SESSIONS:
            yield _shown("acceptance_length", len(lengths), 1 - now / before, words)
        else:
            loss = unpaired_loss(lengths, now, _noise(measured), LENGTH)
            yield tested("acceptance_length", "unpaired", len(lengths), loss, words)
    found = min((len(session) for session in (measured.per_position, *positions)), default=0)
    if positions and found > 1:
        yield _positions(measured, np.array([session[:found] for session in positions]), because)


def _positions(measured: Acceptance, sessions: np.ndarray, because: str) -> AcceptanceCheck:
    """As paired: the smallest p-value after Holm, and the largest one of holding."""
    count, positions = sessions.shape
    # Half a draft accepted and half a draft not keep a rate of nothing finite.
    before, now = (
        (rates * measured.steps + 0.5) / (measured.steps + 1)
        for rates in (sessions, np.array(measured.per_position[:positions]))
    )
    means = before.mean(axis=0)
    rates = ", ".join(f"{then:.3f} -> {rate:.3f}" for then, rate in zip(means, now, strict=True))
    if count < FEWEST_SESSIONS:
        worst = int(np.argmin(now / means))
        loss_there = float(1 - now[worst] / means[worst])
        return _shown("acceptance_positions", count, loss_there, f"acceptance by position {rates}, {because}")
    losses = [
        unpaired_loss(before[:, i].tolist(), float(now[i]), math.sqrt((1 - now[i]) / now[i] / measured.steps), POSITION)
        for i in range(positions)
    ]
    worst = int(np.argmin([loss.p_value for loss in losses]))
    words = f"acceptance by position {rates}, {because}; position {worst}"
    return msgspec.structs.replace(
        tested("acceptance_positions", "unpaired", count, losses[worst], words),
        p_value=holm([loss.p_value for loss in losses])[worst],
        p_holds=max(loss.p_holds for loss in losses),
    )


def _shown(name: CheckName, sessions: int, loss: float, words: str) -> AcceptanceCheck:
    """A comparison whose uncertainty is unknown: shown, and decides nothing."""
    limits = LIMITS[name]
    rests = f"unpaired, {sessions} of the {FEWEST_SESSIONS} baseline sessions that a test needs"
    return AcceptanceCheck(
        name=name,
        label="unpaired",
        count=sessions,
        tolerance=limits.tolerance,
        margin=limits.margin,
        estimate=loss,
        words=f"{words} ({-loss:+.1%}, {rests})",
    )


def _noise(measured: Acceptance) -> float:
    """Relative standard error of the length with its steps taken as independent; 0 where positions are unknown."""
    p = np.array(measured.per_position)
    if not len(p):
        return 0.0
    variance = float(((2 * np.arange(len(p)) + 1) * p).sum() - p.sum() ** 2)
    return math.sqrt(max(variance, 0.0) / measured.steps) / measured.length
