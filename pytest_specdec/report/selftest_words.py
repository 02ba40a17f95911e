"""A selftest -> a table of minimum detectable effects, with the noise behind them."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.gate.prediction import Reach, reach_sentences
from pytest_specdec.report.render import Table
from pytest_specdec.results.decision import Evidence, SuiteDecision

_GATED = {True: "yes", False: "too noisy"}


def selftest_table(found: Sequence[Reach], last_session: SuiteDecision | None, run_s: float) -> Table:
    """One row per metric of a cell: noise, minimum detectable effect (MDE), pairs and minutes to find twice that.

    `run_s`: seconds of one repeat on a server start of its own.
    """
    rows = [
        [
            one.cell,
            METRICS[one.metric].title,
            f"{one.run_sd:.2%}",
            f"{one.session_sd:.2%}",
            f"{one.detectable:.1%}",
            *_effort(one.pairs_of_double, run_s),
            "advisory" if one.advisory else _GATED[one.gateable],
        ]
        for one in found
    ]
    headers = ("cell", "metric", "run to run", "start to start", "MDE", "pairs for 2x MDE", "minutes", "gated")
    sentences = reach_sentences(found)
    sentences.append(f"minutes: for one cell, reference and candidate engine in turn, {run_s:.0f} s per start and run")
    if last_session is not None:
        failed = [d for d in last_session.decisions if d.outcome is Outcome.FAIL]
        open_ones = [d for d in last_session.decisions if d.outcome is Outcome.INCONCLUSIVE]
        judged = [d for d in last_session.decisions if d.evidence is Evidence.SCREEN]
        words = f"{len(failed)} FAIL, {len(open_ones)} open of {len(judged)}"
        sentences.append(f"the last session, judged against the others as if it were a candidate engine: {words}")
        if failed:
            sentences.append(
                "a FAIL without a change: this machine is noisier than its sessions show; measure more sessions"
            )
    return Table(title="minimum detectable effect of the gate (A/A)", headers=headers, rows=rows, sentences=sentences)


def _effort(pairs: int | None, run_s: float) -> tuple[str, str]:
    if pairs is None:
        return "", ""
    minutes = 2 * pairs * run_s / 60
    return str(pairs), f"{minutes:.1f}" if minutes < 10 else f"{minutes:.0f}"
