"""Two runs -> the tables that compare them, curve by curve."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_specdec.domain.cell import cell_prefix
from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.errors import NotComparableError, SpecdecError
from pytest_specdec.report.comparison_table import matched_tables
from pytest_specdec.report.render import Table
from pytest_specdec.results.measurement import Measurement, curve_of
from pytest_specdec.results.run import Run, by_curve, over_concurrency
from pytest_specdec.speculation.diagnosis import diagnose


def compare_runs(
    old: Run, new: Run, levels: Sequence[float] | None = None
) -> tuple[list[Comparison], list[Table], list[str]]:
    """Compare every curve that both runs have, at matched interactivity and at matched concurrency.

    A curve that cannot be compared is a remark, as long as another one can.

    Raises:
        NotComparableError: the runs share no curve over concurrency, or none of those that can be compared.
    """
    before, after = (by_curve(over_concurrency(run.measurements)) for run in (old, new))
    shared = [key for key in after if key in before]
    if not shared:
        raise NotComparableError(
            "not comparable: the two runs share no curve over concurrency (model, precision, mode and workload)"
        )
    comparisons: list[Comparison] = []
    tables: list[Table] = []
    remarks: list[str] = []
    for key in shared:
        try:
            comparison = Comparison(
                curve_of(after[key]), curve_of(before[key]), price=after[key][0].price, names=("new", "old")
            )
        except SpecdecError as error:
            remarks.append(f"{cell_prefix(*key)}: {error}")
            continue
        comparisons.append(comparison)
        matched, why_not = matched_tables(comparison, levels)
        tables += matched
        remarks += why_not
        tables += _why(before[key], after[key])
    if not comparisons:
        raise NotComparableError("; ".join(remarks))
    remarks += _not_compared(old, new)
    if old.simulated or new.simulated:
        remarks.append("SIMULATED: at least one of the runs comes from the simulated engine.")
    return comparisons, tables, remarks


def _not_compared(old: Run, new: Run) -> list[str]:
    """Remarks on curves of one run only, and on measurements at a request rate, which form no curve."""
    before, after = by_curve(old.measurements), by_curve(new.measurements)
    only = {"old": before.keys() - after.keys(), "new": after.keys() - before.keys()}
    remarks = [
        f"only in the {name} run: {engine} {workload}"
        for name, keys in only.items()
        for engine, workload in sorted(keys)
    ]
    at_rates = [key for key in after if key in before and any(m.cell.rate for m in after[key])]
    return remarks + [
        f"not compared: {cell_prefix(*key)} was measured at a request rate, which gives no curve" for key in at_rates
    ]


def _why(before: Sequence[Measurement], after: Sequence[Measurement]) -> list[Table]:
    """Cause of each change of output throughput, by concurrency; no table where none changed."""
    old = {m.cell.level: m for m in before}
    rows = []
    for measurement in after:
        earlier = old.get(measurement.cell.level)
        diagnosis = diagnose(earlier.values, measurement.values) if earlier else None
        if diagnosis is not None and diagnosis.cause != "none":
            rows.append([str(measurement.cell), diagnosis.sentence])
    title = "why output throughput changed, new against old"
    return [Table(title=title, headers=("cell", "diagnosis"), rows=rows)] if rows else []
