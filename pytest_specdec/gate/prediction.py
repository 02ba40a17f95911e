"""Minimum detectable losses on a noise model, before anything is compared, and the pairs that they take."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pytest_specdec.domain.metric import METRICS
from pytest_specdec.gate.family import detectable_logs, family_of
from pytest_specdec.gate.noise import SuiteNoise
from pytest_specdec.gate.presets import PRESETS
from pytest_specdec.gate.terms import Terms
from pytest_specdec.results.cost import Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Power of the gate for one hypothesis."""

    cell: str
    metric: str
    run_sd: float
    """Run to run on one start of the server, relative."""
    session_sd: float
    """Start to start beyond that, relative."""
    detectable: float
    """Minimum detectable loss, with every pair that the gate takes."""
    pairs_of_double: int | None
    """Pairs until a loss of twice that is found; None where the last interim analysis may miss it."""
    gateable: bool
    advisory: str


def reach(noise: SuiteNoise, terms: Terms | None = None) -> list[Reach]:
    """Power of the gate for every hypothesis of a noise model."""
    terms = terms or Terms()
    family = family_of(noise, terms)
    rows = sorted((row for row in noise.hypotheses if row.metric in PRESETS), key=lambda row: (row.cell, row.metric))
    interims = terms.pair_interims(len(rows))
    found = []
    for i, row in enumerate(rows):
        detectable, variance = float(family.detectable[i]), float(family.pair_variance[i])
        double = -np.log1p(-min(2 * detectable, 0.99))
        logs = detectable_logs(terms, len(rows), float(family.near[i]), variance, row.freedom)
        found.append(
            Reach(
                cell=row.cell,
                metric=row.metric,
                run_sd=row.run_sd,
                session_sd=row.session_sd,
                detectable=detectable,
                pairs_of_double=next((n for n, log in zip(interims, logs, strict=True) if log <= double), None),
                gateable=bool(family.gateable[i]),
                advisory=family.advisory[i],
            )
        )
    return found


def reach_sentences(found: Sequence[Reach]) -> list[str]:
    """The gateable part of a suite in sentences."""
    judged = [one for one in found if not one.advisory]
    noisy = [one for one in judged if not one.gateable]
    if not judged:
        return ["nothing can be gated: every metric is advisory"]
    best, worst = (pick(judged, key=lambda one: one.detectable) for pick in (min, max))
    sentences = [
        (
            f"{len(judged) - len(noisy)} of {len(judged)} metrics can be gated at their margin; minimum detectable "
            f"losses are {best.detectable:.1%} ({METRICS[best.metric].title} of {best.cell}) to {worst.detectable:.1%} "
            f"({METRICS[worst.metric].title} of {worst.cell}) at 80 % power"
        )
    ]
    if noisy:
        names = ", ".join(f"{METRICS[one.metric].title} of {one.cell} ({one.detectable:.0%})" for one in noisy[:3])
        more = f" and {len(noisy) - 3} more" if len(noisy) > 3 else ""
        sentences.append(f"too noisy to gate: {names}{more}")
    return sentences


def seconds_on_a_fresh_start(cost: Cost, begun_s: Collection[Sequence[float]]) -> float:
    """Seconds of one run on a server start of its own, estimated from a campaign with several runs per start.

    Args:
        cost: Of that campaign.
        begun_s: When the runs of each start began, in order, seconds; at least one run of one start.
    """
    run_s = [later - earlier for moments in begun_s for earlier, later in pairwise(moments)]
    further = sum(len(moments) - 1 for moments in begun_s) / len(begun_s)
    return cost.seconds / len(begun_s) - further * (float(np.median(run_s)) if run_s else 0.0)
