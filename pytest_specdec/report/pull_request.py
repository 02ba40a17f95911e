"""A run -> one page of Markdown from which a reviewer decides in ten seconds.

Verdict first, then only what changed, then MTP against Off, and everything else folded. The page always fits into one
comment.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence

from pytest_specdec.domain.comparison import Comparison, Level
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.naming import plural
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import NotMeasuredError
from pytest_specdec.report.formats import Compared, Session
from pytest_specdec.report.mermaid import frontier_chart
from pytest_specdec.report.render import Table, escaped, markdown, markdown_page, with_uncertainty
from pytest_specdec.report.run_report import report_run, wanted_levels
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Run
from pytest_specdec.results.verdict import MetricVerdict, Verdict

COMMENT_BYTES = 65_536
"""Longest text of one comment on GitHub."""
_MOST_ROWS = 20
"""Rows of changes; the folded table of verdicts has all."""
_LONGEST = 300
"""Characters of one reason."""
_WORST_FIRST = (
    *(Outcome.UNHEALTHY, Outcome.REGRESSED, Outcome.NO_BASELINE, Outcome.NOT_COMPARABLE, Outcome.INCONCLUSIVE),
    *(Outcome.WARN, Outcome.IMPROVED, Outcome.PASS),
)


def pull_request_page(
    run: Run, levels: Sequence[float] | None = None, *, failed_tests: int = 0, accepted: bool = False
) -> str:
    """Render a run as Markdown of at most `COMMENT_BYTES`; tables that do not fit are left out and counted.

    Args:
        run: Measurements and verdicts.
        levels: Interactivity levels of the comparisons in tok/s/user.
        failed_tests: Failed tests of the session; a saved run does not hold them.
        accepted: The session stored its measurements as the new baselines.
    """
    comparisons, tables, remarks = report_run(run, levels)
    parts = [
        f"## {headline(run, failed_tests, accepted=accepted)}",
        *_banner(run),
        *_changed(run.verdicts),
        *_promise(run),
    ]
    parts += _unmeasured(run)
    parts += _outputs(run) + _pays(comparisons, levels)
    parts += [frontier_chart(comparison, _subject(comparison)) for comparison in comparisons[:1]]
    rest = [_details(table.title, _bare(table)) for table in tables]
    rest += [_folded_chart(comparison) for comparison in comparisons[1:]]
    if remarks:
        rest.append(_details("remarks", "\n".join(f"- {escaped(remark)}" for remark in remarks)))
    return _fitting([part for part in parts if part], [part for part in rest if part])


def of_run(run: Run, session: Session) -> str:
    """The page of a pytest session."""
    return pull_request_page(run, session.levels, failed_tests=session.failed_tests, accepted=session.accepted)


def of_compared(compared: Compared) -> str:
    """The page of one run; of anything else all tables and remarks."""
    if compared.run is not None and compared.before is None:
        return pull_request_page(compared.run, compared.levels)
    return markdown_page(compared.tables, compared.remarks)


def headline(run: Run, failed_tests: int = 0, *, accepted: bool = False) -> str:
    """`FAIL: 2 regressed, 10 pass of 12 cells; 2 tests failed (SIMULATED)`."""
    counts = Counter(verdict.outcome for verdict in run.verdicts)
    said = [f"{counts[outcome]} {outcome.value}" for outcome in sorted(counts, key=_rank)]
    if run.verdicts:
        said[-1] += f" of {plural(len(run.verdicts), 'cell')}"
    else:
        said.append(f"{plural(len(run.measurements), 'point')} measured, none judged against a baseline")
    parts = [", ".join(said)]
    broken = [v for found in run.outputs.values() for v in found if v.outcome is Outcome.FAILED]
    for number, thing, what in (
        (len(broken), "output check", "failed"),
        (len(run.not_measured), "cell", "not measured"),
        (failed_tests, "test", "failed"),
    ):
        if number:
            parts.append(f"{plural(number, thing)} {what}")
    grades = {outcome.grade for outcome in counts}
    if accepted and not failed_tests:
        word = "ACCEPTED"
        parts.append("stored as baselines")
    elif failed_tests or broken or "FAIL" in grades:
        word = "FAIL"
    else:
        word = "PASS" if run.complete and grades <= {"PASS", "WARN"} else "UNDECIDED"
    return f"{word}: {'; '.join(parts)}{' (SIMULATED)' if run.simulated else ''}"


def _banner(run: Run) -> list[str]:
    if run.simulated:
        return ["> **SIMULATED**: these numbers come from the simulated engine, no hardware was measured."]
    old = [raw.measurement for raw in run.raw if raw.arm == "reference"]
    beside = f"; confirmed beside {_engines(old)}" if old else ""
    return [escaped(f"{_engines(run.measurements)}{beside}")]


def _engines(measurements: Sequence[Measurement]) -> str:
    places = {(m.environment.engine, m.environment.version, m.environment.hardware) for m in measurements}
    return "; ".join(f"{engine} {version} on {hardware}" for engine, version, hardware in sorted(places))


def _changed(verdicts: Sequence[Verdict]) -> list[str]:
    """One row per changed gated metric, the worst first, with the causes."""
    moved = sorted((v for v in verdicts if v.outcome is not Outcome.PASS), key=lambda v: (_rank(v.outcome), v.cell))
    if not moved:
        return ["Nothing changed beyond its tolerance."] if verdicts else []
    rows: list[list[str]] = []
    alike: dict[tuple[Outcome, str], list[str]] = {}
    said: list[str] = []
    for verdict in moved:
        metrics = [m for m in verdict.metrics if m.matters]
        rows += [[str(verdict.cell), m.outcome.value, *_metric_row(m)] for m in metrics if m.outcome is not None]
        if verdict.reason or not metrics:
            alike.setdefault((verdict.outcome, verdict.reason), []).append(str(verdict.cell))
        said += [f"- {verdict.cell}: {_reason(text)}" for text in _why(verdict)]
    said[:0] = [f"- {_cells(cells)}: {_worded(outcome, reason)}" for (outcome, reason), cells in alike.items()]
    parts = ["### What changed"]
    if rows:
        headers = ("cell", "verdict", "metric", "baseline", "now", "loss (95 % CI)", "margin")
        parts.append(_bare(Table(title="", headers=headers, rows=rows[:_MOST_ROWS])))
    if said:
        parts.append("\n".join(said[:_MOST_ROWS]))
    left = max(len(rows) - _MOST_ROWS, 0) + max(len(said) - _MOST_ROWS, 0)
    return [*parts, f"and {left} more: all verdicts are below"] if left else parts


def _why(verdict: Verdict) -> list[str]:
    """Reasons of a verdict beside its metrics."""
    checks = [f"{c.metric}: {c.outcome.value}: {c.reason}" for c in verdict.checks if c.outcome is not Outcome.PASS]
    why = [] if verdict.diagnosis is None else [f"output {verdict.diagnosis.sentence}"]
    return [*why, *checks, *verdict.notes]


def _promise(run: Run) -> list[str]:
    """The promise of the gate, and the cost of the run."""
    said = []
    if run.decision is not None:
        said.append(f"Judged as one suite: at most {run.decision.alpha:.1%} false alarms")
        largest = run.decision.largest_missable_loss
        said += [] if largest is None else [f"a cell that passed may have lost up to {max(largest, 0):.1%}"]
        if run.decision.stopped:
            said.append(run.decision.stopped)
        if run.decision.noisy_runner:
            said.append("this job was noisier than its baselines")
    said += [] if run.cost is None else [run.cost.words()]
    return [escaped("; ".join(said) + ".")] if said else []


def _metric_row(metric: MetricVerdict) -> list[str]:
    info = METRICS[metric.metric]
    half = metric.loss.half_width
    loss = f"{metric.loss.value:+.1%}" + ("" if half is None else f" ± {half:.1%}")
    before, now = (f"{side.value:.{info.digits}f}" for side in (metric.baseline, metric.measured))
    return [
        info.title,
        before,
        f"{now} {info.unit}",
        loss,
        ("" if metric.tolerance is None else f"{metric.tolerance:.0%}")
        + (f", {metric.pairs} pairs" if metric.pairs else ""),
    ]


def _unmeasured(run: Run) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for cell, reason in run.not_measured.items():
        reasons.setdefault(reason, []).append(cell)
    said = [f"- {_cells(cells)}: {_reason(reason)}" for reason, cells in reasons.items()]
    return ["### Not measured", "\n".join(said[:_MOST_ROWS])] if said else []


def _outputs(run: Run) -> list[str]:
    said = [
        f"- {escaped(subject)}: {verdict.check} {verdict.outcome.value}: {_reason('; '.join(verdict.reasons))}"
        for subject, verdicts in run.outputs.items()
        for verdict in verdicts
        if verdict.outcome is not Outcome.PASS
    ]
    return ["### Outputs of MTP against Off", "\n".join(said[:_MOST_ROWS])] if said else []


def _pays(comparisons: Sequence[Comparison], levels: Sequence[float] | None) -> list[str]:
    """At matched interactivity; at matched concurrency where the two curves share no speed per user."""
    rows, notes = [], []
    for comparison in comparisons:
        subject = _subject(comparison)
        try:
            wanted = wanted_levels(comparison, levels)
            read_at = comparison.levels() if wanted is None else wanted
            rows += [[subject, f"{level:g} tok/s/user", *_level_row(comparison, level)] for level in read_at]
        except NotMeasuredError as error:
            notes.append(f"- {escaped(subject)}: {escaped(str(error))}")
            rows += [
                [subject, f"concurrency {c}", *_row_of(comparison.at_concurrency(c))]
                for c in comparison.shared_concurrencies()
            ]
    headers = ("curve", "matched at", "mode", "tok/s/GPU", "against", "ratio", "cost per token", "between")
    table = [_bare(Table(title="", headers=headers, rows=rows))] if rows else []
    return ["### MTP against Off", *table, "\n".join(notes)] if rows or notes else []


def _level_row(comparison: Comparison, level: float) -> list[str]:
    try:
        return _row_of(comparison.at(level))
    except NotMeasuredError:
        return [" against ".join(comparison.names), "not measured"]


def _row_of(read: Level) -> list[str]:
    sides = (read.candidate, read.reference)
    return [
        " against ".join(read.names),
        *(with_uncertainty(side.throughput, 1) for side in sides),
        f"{with_uncertainty(read.throughput_ratio, 2)}x",
        f"{-read.saving:+.0%}",
        " / ".join(dict.fromkeys(str(side.bracket) for side in sides)),
    ]


def _fitting(parts: Sequence[str], rest: Sequence[str]) -> str:
    """Join the page; folded parts that would make it too long for a comment are left out and counted."""
    kept, left = list(parts), 0
    for part in rest:
        if len("\n\n".join([*kept, part]).encode()) > COMMENT_BYTES - 200:
            left += 1
        else:
            kept.append(part)
    if left:
        kept.append(f"{left} more tables are too long for a comment: `specdec report RUN` prints them.")
    return "\n\n".join(kept) + "\n"


def _folded_chart(comparison: Comparison) -> str:
    drawn = frontier_chart(comparison, _subject(comparison))
    return _details(f"chart: {_subject(comparison)}", drawn) if drawn else ""


def _details(summary: str, content: str) -> str:
    line = html.escape(" ".join(summary.split())).replace("@", "@&#8203;").replace("[", "&#91;")
    return f"<details><summary>{line}</summary>\n\n{content}\n\n</details>"


def _bare(table: Table) -> str:
    """A table without its heading."""
    return markdown(table).partition("\n\n")[2].strip()


def _cells(cells: Sequence[str]) -> str:
    return escaped(cells[0]) if len(cells) == 1 else f"{len(cells)} cells, such as {escaped(cells[0])}"


def _worded(outcome: Outcome, reason: str) -> str:
    return _reason(reason) if reason.startswith(outcome.value) else f"{outcome.value}: {_reason(reason)}"


def _reason(reason: str) -> str:
    return escaped(reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}…")


def _subject(comparison: Comparison) -> str:
    identity = comparison.candidate.identity
    known = (identity.model.rsplit("/", 1)[-1], identity.precision, identity.sequence)
    return " ".join(part for part in known if part)


def _rank(outcome: Outcome) -> int:
    return _WORST_FIRST.index(outcome)
