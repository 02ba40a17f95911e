"""Several repeats of one cell -> one measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from scipy import stats

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.traffic import RequestCounts
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.speculation.prompt_acceptance import joined

_ENOUGH = 3
"""Repeats from which their scatter counts."""


def usable(runs: Sequence[Measurement]) -> list[Measurement]:
    """Return the repeats in which the client kept up; all of them where it never did, so that this is reported."""
    return [run for run in runs if not run.client_limited] or list(runs)


def merge_runs(every: Sequence[Measurement]) -> Measurement:
    """Average the usable repeats of one cell; all other fields are those of the first.

    A value's half-width is that of the repeats in quadrature over their number, or the t interval of the repeats where
    that is wider: a window cannot see the scatter between repeats.
    """
    if len(every) == 1:
        return every[0]
    runs = usable(every)
    left_out = len(every) - len(runs)
    said = (f"{left_out} of {len(every)} runs left out: the client was the limit",) if left_out else ()
    # A finding about the server holds also where the client was the limit.
    findings = tuple(dict.fromkeys(finding for run in every for finding in run.findings))
    first = runs[0]
    if len(runs) == 1:
        return msgspec.structs.replace(first, notes=(*said, *first.notes), findings=findings)
    keys = [key for key in first.values if all(key in run.values for run in runs)]
    counts = [run.requests for run in runs]
    return msgspec.structs.replace(
        first,
        values={key: mean([run.values[key] for run in runs]) for key in keys},
        window_s=sum(run.window_s for run in runs),
        by_prompt=joined([run.by_prompt for run in runs]),
        requests=RequestCounts(
            **{name: sum(getattr(c, name) for c in counts) for name in RequestCounts.__struct_fields__}
        ),
        findings=findings,
        client=max((run for run in runs), key=lambda run: bool(run.client_limited)).client,
        notes=(f"mean of {len(runs)} runs", *said, *_notes(runs)),
    )


def _notes(runs: Sequence[Measurement]) -> list[str]:
    """Return each kind of note once, with the number of repeats that have it."""
    kinds: dict[str, list[str]] = {}
    for run in runs:
        for kind in dict.fromkeys(note.split(":")[0] for note in run.notes):
            kinds.setdefault(kind, []).extend(note for note in run.notes if note.startswith(kind))
    return [
        f"{found[0]} (in {count} of {len(runs)} runs)"
        for kind, found in kinds.items()
        if (count := sum(any(note.startswith(kind) for note in run.notes) for run in runs))
    ]


def mean(values: Sequence[Estimate]) -> Estimate:
    """Mean of independent estimates of one quantity."""
    numbers = np.array([value.value for value in values])
    within = [value.half_width for value in values if value.half_width is not None]
    half = math.hypot(*within) / len(values) if len(within) == len(values) else None
    if len(values) >= _ENOUGH:
        quantile = float(stats.t.ppf(0.975, len(values) - 1))
        half = max(half or 0.0, quantile * float(numbers.std(ddof=1)) / math.sqrt(len(values)))
    return Estimate(float(numbers.mean()), half)
