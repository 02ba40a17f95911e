"""Runs or comparisons -> the document of the HTML page.

The page computes cost, power, frontiers and comparisons itself from the points of this document, by the rules of
`cost`, `curve` and `comparison`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.report.gate_words import fixed_sentence, gate_sentences
from pytest_specdec.report.page_builder import PageBuilder
from pytest_specdec.report.page_document import BASELINE, NOW, PageDocument, PageMetricVerdict, PageVerdict
from pytest_specdec.report.pull_request import headline
from pytest_specdec.report.run_report import output_table, paying_tables, run_remarks
from pytest_specdec.results.run import Run
from pytest_specdec.results.verdict import MetricVerdict, Verdict
from pytest_specdec.speculation.diagnosis import diagnose


def run_document(run: Run, levels: Sequence[float] | None = None, reference: Run | None = None) -> PageDocument:
    """Document of a run, with an earlier run beside it when there is one.

    A comparison that is not possible becomes a remark with the reason, never an error: the points are shown anyway.
    """
    page = PageBuilder(levels)
    runs = {NOW: run} if reference is None else {NOW: run, BASELINE: reference}
    for name, each in runs.items():
        page.add_run(name, (*each.measurements, *each.stored))
    for name in runs:
        page.compare_modes(name)
    changes = {} if reference is None else _changes(reference, run)
    if reference is not None:
        page.compare_runs()
    tables = [*page.published, *paying_tables((*run.measurements, *run.stored))]
    if run.outputs:
        tables.append(output_table(run.outputs))
    about = {
        (what if name == NOW else f"{name} {what}"): words
        for name, each in runs.items()
        for what, words in (
            ("run", f"{each.started_at}, pytest-specdec {each.tool_version}"),
            ("command", each.command),
        )
        if words
    }
    remarks = [*page.remarks, *run_remarks(run)]
    if not run.complete:
        remarks.insert(0, "This run is incomplete: points that were planned and not measured are missing.")
    return msgspec.structs.replace(
        page.document(tables, remarks),
        about=about,
        headline=headline(run),
        promises=_promises(run),
        verdicts=tuple(map(_verdict, run.verdicts)),
        changes=changes,
    )


def comparisons_document(
    comparisons: Iterable[Comparison], levels: Sequence[float] | None = None, remarks: Sequence[str] = ()
) -> PageDocument:
    """Document of comparisons that come from published or peers' results."""
    page = PageBuilder(levels)
    for comparison in comparisons:
        page.add_comparison(comparison)
    return page.document((), [*page.remarks, *remarks])


def _verdict(verdict: Verdict) -> PageVerdict:
    said = "" if verdict.diagnosis is None else f"output {verdict.diagnosis.sentence}"
    checks = (
        ": ".join((check.metric, ", ".join(filter(None, (check.outcome.value, check.reason)))))
        for check in verdict.checks
    )
    return PageVerdict(
        cell=str(verdict.cell),
        outcome=verdict.outcome.value,
        metrics=tuple(map(_metric_verdict, verdict.metrics)),
        why=tuple(filter(None, (verdict.reason, said, *checks, *verdict.notes))),
    )


def _metric_verdict(metric: MetricVerdict) -> PageMetricVerdict:
    return PageMetricVerdict(
        metric=metric.metric,
        baseline=metric.baseline,
        measured=metric.measured,
        change=None if metric.baseline.value == 0 else metric.measured / metric.baseline,
        tolerance=metric.tolerance,
        pairs=metric.pairs,
        outcome="" if metric.outcome is None else metric.outcome.value,
    )


def _promises(run: Run) -> tuple[str, ...]:
    if run.fixed is not None:
        return (fixed_sentence(run.fixed),)
    return () if run.decision is None else tuple(gate_sentences(run.decision, run.noise_source))


def _changes(old: Run, new: Run) -> dict[str, str]:
    """Cause of each change of output throughput, by cell that both runs have."""
    before = {m.cell: m for m in old.measurements}
    found = {}
    for measurement in new.measurements:
        earlier = before.get(measurement.cell)
        diagnosis = diagnose(earlier.values, measurement.values) if earlier else None
        if diagnosis is not None and diagnosis.cause != "none":
            found[str(measurement.cell)] = f"output {diagnosis.sentence}"
    return found
