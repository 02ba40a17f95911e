"""Acceptance of a measurement against its baseline: by prompt where both sides know their prompts, else run by run.

Step rate, the other factor of speed, is a metric of its own (`step_rate_s`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_specdec.gate.acceptance.check import AcceptanceCheck
from pytest_specdec.gate.acceptance.paired import paired_checks
from pytest_specdec.gate.acceptance.unpaired import unpaired_checks
from pytest_specdec.results.baseline import BaselineRun
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.speculation.prompt_acceptance import Pairs, PromptAcceptance, joined, pair

FEWEST_PROMPTS = 20
"""Below, one odd answer decides."""


def acceptance_checks(measured: Measurement, baseline_runs: Sequence[BaselineRun]) -> tuple[AcceptanceCheck, ...]:
    """Every check that the evidence allows.

    None for Off, for a pinned acceptance, which is a setting and no finding, and for an engine that tells it by a gauge
    only: a gauge is of some interval that the engine chose.
    """
    engine, acceptance = measured.cell.engine, measured.acceptance
    if (
        not engine.speculation.active
        or engine.speculation.pinned_length is not None
        or acceptance is None
        or acceptance.source == "gauge"
    ):
        return ()
    found = _pairs(measured.by_prompt, baseline_runs)
    if isinstance(found, Pairs):
        return tuple(paired_checks(found))
    lengths: dict[str, list[float]] = {}
    rates: dict[str, list[tuple[float, ...]]] = {}
    for run in baseline_runs:
        if "acceptance_length" in run.values:
            lengths.setdefault(run.session, []).append(run.values["acceptance_length"].value)
        if run.acceptance is not None and len(run.acceptance.per_position) == acceptance.draft_tokens:
            rates.setdefault(run.session, []).append(run.acceptance.per_position)
    by_length = [float(np.mean(session)) for session in lengths.values()]
    by_position = [[float(p) for p in np.mean(session, axis=0)] for session in rates.values()]
    return tuple(unpaired_checks(acceptance, by_length, by_position, why=found))


def _pairs(after: PromptAcceptance | None, runs: Sequence[BaselineRun]) -> Pairs | str:
    """The prompts that both sides have, or why there are no pairs of them."""
    stored = [run.by_prompt for run in runs]
    if after is None:
        return "the engine does not count by request"
    if not any(stored):
        return "the baseline has no counts by request"
    before = joined(stored, after.wording)
    if before is None:
        return "its prompts are put together from other pieces"
    found = pair(before, after)
    if len(found) < FEWEST_PROMPTS:
        return f"{len(found)} prompts are in both runs and {FEWEST_PROMPTS} are needed"
    return found
