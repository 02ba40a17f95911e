"""The decision rules of other tools on the runs that our gate gets.

A row is a tool's rule, not its product: "inference-doctor" is the interval test of its comparison with a threshold of
5 %, "benchmatrix" what its corrected bootstrap gives for five runs and many cells (the extreme ratios). Peers get one
earlier session of the baseline, as they do, and a row of days where they use one.

`python tests/support/peer_rules.py` prints the tables of docs/gate.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from pytest_specdec.gate.study.contenders import LANDED, Contender, Trial
from pytest_specdec.gate.study.job import Cost
from pytest_specdec.gate.study.table import render, study
from pytest_specdec.gate.study.world import Suite
from pytest_specdec.gate.variances import Array

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A rule that sees so many stored and new runs, and calls cells red or green; neither is inconclusive."""

    stored: int
    runs: int
    rule: Callable[[Array, Array], tuple[Flags, Flags]]
    days: bool = False
    """Each stored run is of another session."""

    def __call__(self, suite: Suite, hit: int) -> Trial:
        """Judge a suite."""
        stored = [suite.session(1)[:, 0] for _ in range(self.stored)] if self.days else suite.session(self.stored).T
        common = suite.world.common_sd * suite.random.standard_normal()
        noise = suite.noise(suite.every, self.runs, scale=suite.world.gate_noise)
        new = common + (suite.starts() + suite.drift() - suite.loss)[:, None] + noise
        red, green = self.rule(np.column_stack(list(stored)), new)
        return Trial(
            failed=bool(red.any()),
            hit_failed=bool(red[hit]),
            hit_passed=bool(green[hit]),
            inconclusive=bool((~red & ~green).any() and not red.any()),
            cost=Cost(runs=self.runs * len(suite.names), starts=suite.world.engines),
        )


def _fixed(base: Array, new: Array, *, limit: float) -> tuple[Flags, Flags]:
    red = np.median(new, axis=1) - np.median(base, axis=1) < np.log1p(-limit)
    return red, ~red


def _welch(base: Array, new: Array) -> tuple[Flags, Flags]:
    red = np.asarray(stats.ttest_ind(new, base, axis=1, equal_var=False).pvalue < 0.05)
    red &= new.mean(axis=1) < base.mean(axis=1)
    return red, ~red


def _mann_whitney(base: Array, new: Array) -> tuple[Flags, Flags]:
    red = np.asarray(stats.mannwhitneyu(new, base, axis=1, method="exact").pvalue < 0.05)
    red &= np.median(new, axis=1) < np.median(base, axis=1)
    return red, ~red


def _one_threshold(base: Array, new: Array, *, limit: float) -> tuple[Flags, Flags]:
    """Interval of the loss, 90 % two-sided, wholly beyond or wholly within the limit."""
    parts = [np.var(side, axis=1, ddof=1) / side.shape[1] for side in (base, new)]
    variance = parts[0] + parts[1]
    freedom = variance**2 / sum(part**2 / (side.shape[1] - 1) for part, side in zip(parts, (base, new), strict=True))
    loss = base.mean(axis=1) - new.mean(axis=1)
    half, bound = special.stdtrit(freedom, 0.95) * np.sqrt(variance), -np.log1p(-limit)
    return loss - half >= bound, loss + half < bound


def _extreme_ratios(base: Array, new: Array, *, limit: float) -> tuple[Flags, Flags]:
    bound = np.log1p(-limit)
    return new.max(axis=1) - base.min(axis=1) < bound, new.min(axis=1) - base.max(axis=1) > bound


def _rolling_p95(base: Array, new: Array, *, limit: float) -> tuple[Flags, Flags]:
    rolling = np.lib.stride_tricks.sliding_window_view(base, 3, axis=1).mean(axis=2)
    red = np.median(new, axis=1) - np.percentile(rolling, 95, axis=1) < np.log1p(-limit)
    return red, ~red


PEERS: Mapping[str, Contender] = {
    "fixed 5 %, one run": Peer(stored=1, runs=1, rule=partial(_fixed, limit=0.05)),
    "fixed 10 %, one run": Peer(stored=1, runs=1, rule=partial(_fixed, limit=0.10)),
    "fixed 5 %, medians of 3": Peer(stored=3, runs=3, rule=partial(_fixed, limit=0.05)),
    "Welch 0.05, 5 runs": Peer(stored=5, runs=5, rule=_welch),
    "Mann-Whitney 0.05, 5 runs": Peer(stored=5, runs=5, rule=_mann_whitney),
    "inference-doctor 5 %, 5 runs": Peer(stored=5, runs=5, rule=partial(_one_threshold, limit=0.05)),
    "benchmatrix-type 5 %, 5 runs": Peer(stored=5, runs=5, rule=partial(_extreme_ratios, limit=0.05)),
    "TRT-LLM P95 5 %, 30 days": Peer(stored=30, runs=1, days=True, rule=partial(_rolling_p95, limit=0.05)),
    "TRT-LLM P95 10 %, 30 days": Peer(stored=30, runs=1, days=True, rule=partial(_rolling_p95, limit=0.10)),
}


if __name__ == "__main__":
    rows = study(suites=300, rules={**LANDED, **PEERS}, progress=lambda row: print(row, file=sys.stderr))  # noqa: T201
    sys.stdout.write(render(rows))
