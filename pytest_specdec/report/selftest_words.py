"""A selftest -> a table of what the gate can find, and what that rests on."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_specdec.gate.decision import Evidence, Outcome, SuiteDecision
from pytest_specdec.gate.prediction import Reach, reach_sentences
from pytest_specdec.metric import METRICS
from pytest_specdec.report.render import Table


def selftest_table(found: Sequence[Reach], last_session: SuiteDecision | None) -> Table:
    """One row per metric of a cell: its noise, the smallest loss that is found, the pairs that a large one takes."""
    rows = [
        [
            one.cell,
            METRICS[one.metric].title,
            f"{one.run_sd:.2%}",
            f"{one.session_sd:.2%}",
            f"{one.detectable:.1%}",
            "" if one.pairs_of_double is None else str(one.pairs_of_double),
            "advisory" if one.advisory else "yes" if one.gateable else "too noisy",
        ]
        for one in found
    ]
    headers = ("cell", "metric", "run to run", "start to start", "finds", "pairs for twice that", "gated")
    sentences = reach_sentences(found)
    if last_session is not None:
        failed = [d for d in last_session.decisions if d.outcome is Outcome.FAIL]
        open_ones = [d for d in last_session.decisions if d.outcome is Outcome.INCONCLUSIVE]
        judged = [d for d in last_session.decisions if d.evidence is Evidence.SCREEN]
        words = f"{len(failed)} FAIL, {len(open_ones)} open of {len(judged)}"
        sentences.append(f"the last session judged against the others, as if it were a new engine: {words}")
        if failed:
            sentences.append("a FAIL without a change: this machine is less steady than its sessions say; measure more")
    return Table(title="what the gate can find here (A/A)", headers=headers, rows=rows, sentences=sentences)
