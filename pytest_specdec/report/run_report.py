"""A run -> its tables: MTP against Off, beside published values, verdicts, points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pytest_specdec.domain.cell import EngineSpec, Workload, cell_prefix
from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.domain.facts import Facts
from pytest_specdec.domain.metric import METRICS, keys_as, metrics_as
from pytest_specdec.domain.published import published_for
from pytest_specdec.outputs.verdict import OutputVerdict
from pytest_specdec.report.comparison_table import against_published, matched_tables
from pytest_specdec.report.gate_words import fixed_sentence, gate_sentences
from pytest_specdec.report.render import Table, with_uncertainty
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.payoff import Gain, best_draft_tokens, gains, limit
from pytest_specdec.results.run import Run, compare_modes, mode_title
from pytest_specdec.results.verdict import Verdict

_HEADLINE = keys_as("headline")


def report_run(run: Run, levels: Sequence[float] | None = None) -> tuple[list[Comparison], list[Table], list[str]]:
    """Comparisons of a run, its tables, and the remarks that belong to no table."""
    comparisons, tables, remarks = mode_tables((*run.measurements, *run.stored), levels)
    tables += paying_tables((*run.measurements, *run.stored))
    if run.verdicts:
        said = () if run.decision is None else tuple(gate_sentences(run.decision, run.noise_source))
        if run.fixed is not None:
            said = (fixed_sentence(run.fixed),)
        tables.append(verdict_table(run.verdicts, said))
    if run.outputs:
        tables.append(output_table(run.outputs))
    if run.measurements:
        tables.append(point_table(run.measurements))
    remarks += run_remarks(run)
    if run.cost is not None:
        remarks.append(f"cost of the run: {run.cost.words()}{' (at the price of real GPUs)' if run.simulated else ''}")
    if run.simulated:
        remarks.append("SIMULATED: these numbers come from the simulated engine, no hardware was measured.")
    return comparisons, tables, remarks


def mode_tables(
    measurements: Iterable[Measurement], levels: Sequence[float] | None = None
) -> tuple[list[Comparison], list[Table], list[str]]:
    """MTP against Off wherever both were measured: at matched interactivity, at matched concurrency, as published."""
    tables: list[Table] = []
    comparisons, remarks = compare_modes(measurements)
    for comparison in comparisons:
        published = published_for(comparison.candidate.identity)
        matched, why_not = matched_tables(comparison, wanted_levels(comparison, levels))
        tables += matched
        remarks += why_not
        # A published table of K draft tokens says nothing about another K.
        if published is not None and comparison.candidate.identity.mode == published.mtp_mode:
            tables.append(against_published(comparison, published))
    return comparisons, tables, remarks


def wanted_levels(comparison: Comparison, levels: Sequence[float] | None) -> Sequence[float] | None:
    """Interactivity levels of a comparison: the given ones, else those of the published table, else None."""
    published = published_for(comparison.candidate.identity)
    return levels or ([level.interactivity_tok_s_user for level in published.levels] if published else None)


def verdict_table(verdicts: Sequence[Verdict], sentences: Sequence[str] = ()) -> Table:
    """One row per cell with its headline metrics and problems; below, the sentences of the gate on the suite."""
    rows = []
    for verdict in verdicts:
        changes = [
            f"{METRICS[m.metric].title} {m.measured.value / m.baseline.value - 1:+.1%}"
            for m in verdict.metrics
            if m.tolerance is not None and (m.metric in _HEADLINE or m.matters)
        ]
        rows.append([str(verdict.cell), verdict.outcome.value, ", ".join(changes) or verdict.reason])
    why = [f"{v.cell}: output {v.diagnosis.sentence}" for v in verdicts if v.diagnosis is not None]
    why += [f"{v.cell}: {v.reason}" for v in verdicts if v.reason and v.metrics]
    why += [f"{v.cell}: {note}" for v in verdicts for note in v.notes]
    headers = ("cell", "verdict", "notes")
    title = "verdicts against the stored baselines"
    return Table(title=title, headers=headers, rows=rows, sentences=sentences, notes=why)


def paying_tables(measurements: Iterable[Measurement]) -> list[Table]:
    """Gain by MTP over Off at matched concurrency, one table per model and workload."""
    curves = gains(measurements)
    groups: dict[tuple[EngineSpec, Workload], list[list[Gain]]] = {}
    for (engine, workload), points in curves.items():
        groups.setdefault((engine.off(), workload), []).append(points)
    return [_paying_table(engine, workload, found) for (engine, workload), found in groups.items()]


def _paying_table(engine: EngineSpec, workload: Workload, curves: Sequence[Sequence[Gain]]) -> Table:
    rows, sentences = [], []
    for points in curves:
        mode = mode_title(points[0].cell.engine)
        sentences.append(f"{limit(points).sentence(mode)}.")
        for gain in points:
            length, least, headroom = gain.length, gain.break_even_length, gain.headroom
            rows.append(
                [
                    gain.cell.level,
                    mode,
                    f"{with_uncertainty(gain.throughput_ratio, 2)}x",
                    "" if length is None else with_uncertainty(length, 2),
                    "" if least is None else with_uncertainty(least, 2),
                    "" if headroom is None else f"{headroom:+.0%}",
                ]
            )
    if len(curves) > 1:
        best = best_draft_tokens(curves)
        sentences.append(f"Best K: {', '.join(f'{g.cell.engine.mtp} at {c}' for c, g in best.items())} in flight.")
    headers = ("concurrency", "mode", "throughput", "accept. length", "breaks even at", "headroom")
    title = f"where MTP pays, at matched concurrency: {cell_prefix(engine, workload).removesuffix('-off')}"
    return Table(title=title, headers=headers, rows=rows, sentences=sentences)


def output_table(outputs: Mapping[str, Sequence[OutputVerdict]]) -> Table:
    """Verdicts of the output checks, each with its deciding reason."""
    rows = [
        [subject, verdict.check, verdict.outcome.value, verdict.reasons[0] if verdict.reasons else ""]
        for subject, verdicts in outputs.items()
        for verdict in verdicts
    ]
    return Table(title="outputs of MTP against Off", headers=("engine", "check", "verdict", "why"), rows=rows)


def verdict_lines(verdict: Verdict) -> list[str]:
    """A verdict as a table of metrics, for an assertion's explanation; its first line is the summary."""
    gated = [m for m in verdict.metrics if m.tolerance is not None]
    bad = [m for m in gated if m.outcome == verdict.outcome]
    summary = f"{verdict.cell}: {verdict.outcome.value}"
    if not verdict.metrics:
        return [f"{summary}: {verdict.reason}"]
    lines = [f"{summary}: {len(bad)} of {len(gated)} gated metrics{f'; {verdict.reason}' if verdict.reason else ''}"]
    for metric in verdict.metrics:
        info = METRICS[metric.metric]
        limit = "not gated" if metric.tolerance is None else f"margin {metric.tolerance:.0%}"
        limit += f"; {metric.pairs} pairs" if metric.pairs else ""
        change = metric.measured.value / metric.baseline.value - 1
        half = metric.loss.half_width
        spread = "" if half is None else f" ± {half:.1%}"
        outcome = "" if metric.outcome is None else f" {metric.outcome.value}"
        lines.append(
            f"{info.title:<18}{metric.baseline.value:>12.{info.digits}f} -> {metric.measured.value:>12.{info.digits}f} "
            f"{info.unit:<11} {change:+.1%}{spread} ({limit}){outcome}"
        )
    if verdict.diagnosis is not None:
        lines.append(f"output {verdict.diagnosis.sentence}")
    return lines


def point_table(measurements: Sequence[Measurement]) -> Table:
    """Every measured point with its window and its requests."""
    rows = []
    both_ttft = any(m.server_ttft is not None for m in measurements)
    shown = [
        metric
        for metric in metrics_as("point")
        if metric.needs not in ("SLO", "GPU sensors") or any(metric.key in m.values for m in measurements)
    ]
    for measurement in sorted(measurements, key=lambda m: m.cell):
        row = [str(measurement.cell)]
        for metric in shown:
            estimate = measurement.values.get(metric.key)
            row.append("" if estimate is None else with_uncertainty(estimate, metric.digits))
        counts = measurement.requests
        if both_ttft:
            row.append(_both_ttft(measurement))
        reached = measurement.certainty.reached if measurement.certainty else None
        row += [f"{measurement.window_s:.0f}", "" if reached is None else f"±{reached:.1%}"]
        row += [str(counts.observed), str(counts.failed)]
        rows.append(row)
    return Table(
        title="measured points (± is the half-width of the 95 % interval within the run)",
        headers=(
            "cell",
            *(metric.heading for metric in shown),
            *(["mean TTFT here / by server"] if both_ttft else []),
            *("window s", "95 % CI", "streams", "failed"),
        ),
        rows=rows,
        notes=tuple(sorted({f"{m.cell}: {note}" for m in measurements for note in m.notes})),
    )


def _both_ttft(measurement: Measurement) -> str:
    ttft = measurement.server_ttft
    return "" if ttft is None else f"{ttft.client_mean_ms:.1f} / {ttft.server_mean_ms:.1f}"


def run_remarks(run: Run) -> list[str]:
    """Cells that were not measured and the reasons, reruns, and unknown facts."""
    return _not_measured(run) + _reruns(run) + _unknown_facts(run)


def _reruns(run: Run) -> list[str]:
    """Every attempt of rerun tests: a pass after a failed attempt differs from a plain pass."""
    return [f"rerun: {test}: {', then '.join(attempts)}" for test, attempts in run.attempts.items()]


def _unknown_facts(run: Run) -> list[str]:
    """Facts that no server stated and no user declared; a simulated engine has none."""
    real = [m.environment.facts for m in run.measurements if not m.environment.simulated]
    unknown = [name for name in Facts.__struct_fields__ if any(name not in facts for facts in real)]
    return (
        [f"unknown facts of the engines (declare them with --specdec-facts): {', '.join(unknown)}"] if unknown else []
    )


def _not_measured(run: Run) -> list[str]:
    """One remark per reason: one unavailable server affects many cells."""
    cells: dict[str, list[str]] = {}
    for cell, reason in run.not_measured.items():
        cells.setdefault(reason, []).append(cell)
    return [f"not measured: {', '.join(names)}: {reason}" for reason, names in cells.items()]
