"""Acceptance that is lost on long prompts and not on short ones: one engine's cells of several input lengths together.

A drafter that reads its context wrongly is as good as ever at 1k and worse with every thousand tokens. Inside one cell
the context hardly varies; between the cells of a suite it does. So the loss at the longest input is set against the
loss at the shortest, everything else equal. Each of the two is tested by itself already: this one says what is behind
them.

An engine that has become better on short prompts has lost nothing on long ones. So the longest cell must have lost by
itself too: an intersection-union test (Berger, Technometrics 24, 1982), whose p-value is the larger one of the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
from scipy import stats

from pytest_specdec.domain.cell import Cell
from pytest_specdec.gate.acceptance.check import TREND, AcceptanceCheck, tested
from pytest_specdec.gate.acceptance.loss import loss_of


def context_decay(lengths: Mapping[Cell, AcceptanceCheck]) -> dict[tuple[Cell, Cell], AcceptanceCheck]:
    """Loss at the longest input beyond the loss at the shortest, by those two cells; paired checks of length only.

    Cells are joined that differ in nothing but the input length. A small p-value says that the longest has lost, and
    more than the shortest.
    """
    groups: dict[object, list[Cell]] = {}
    for cell, check in lengths.items():
        if check.name == "acceptance_length" and check.label == "paired by prompt" and check.interval is not None:
            workload = cell.workload
            rest = {name: getattr(workload, name) for name in workload.__struct_fields__ if name != "isl"}
            groups.setdefault((cell.engine, cell.level, tuple(rest.items())), []).append(cell)
    found = {}
    for cells in groups.values():
        short, long = (choose(cells, key=lambda cell: cell.workload.isl) for choose in (min, max))
        if short.workload.isl < long.workload.isl:
            found[short, long] = _contrast(short, long, lengths)
    return found


def _contrast(short: Cell, long: Cell, lengths: Mapping[Cell, AcceptanceCheck]) -> AcceptanceCheck:
    (near, near_se), (far, far_se) = (_logarithmic(lengths[cell]) for cell in (short, long))
    count = min(lengths[short].count, lengths[long].count)
    loss = loss_of(far - near, math.hypot(near_se, far_se), count - 1, TREND)
    words = (
        f"acceptance length at {long.workload.isl} tokens of input against {short.workload.isl}, beyond the baseline's "
        "own fall"
    )
    check = tested("acceptance_over_sequences", "paired by prompt", count, loss, words)
    itself = lengths[long].p_value
    assert itself is not None, "unreachable because only tested checks are joined"
    return msgspec.structs.replace(check, p_value=max(loss.p_value, itself))


def _logarithmic(check: AcceptanceCheck) -> tuple[float, float]:
    """Mean and standard error of the logarithmic loss, read back from its interval."""
    assert check.interval is not None, "unreachable because only tested checks are joined"
    low, high = (-math.log1p(-end) for end in check.interval)
    return (low + high) / 2, (high - low) / 2 / float(stats.t.ppf(0.975, check.count - 1))
