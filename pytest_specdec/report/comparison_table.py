"""Tables of a comparison: two curves at matched interactivity, at matched concurrency, and beside published values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pytest_specdec.domain.comparison import Comparison, Level
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.published import PublishedTable
from pytest_specdec.errors import NotMeasuredError
from pytest_specdec.report.render import Table, with_uncertainty

NOT_MEASURED = "not measured"


def comparison_frame(comparison: Comparison, levels: Sequence[float] | None = None) -> pd.DataFrame:
    """Tidy rows, one per level and side, numbers only; levels outside the measured range have `measured` False."""
    rows: list[dict[str, Any]] = []
    try:
        wanted = comparison.levels() if levels is None else levels
    except NotMeasuredError as error:
        return pd.DataFrame([{"measured": False, "reason": str(error)}])
    for level in wanted:
        try:
            rows.extend(_level_rows(comparison.at(level)))
        except NotMeasuredError as error:
            rows.append({"interactivity_tok_s_user": level, "measured": False, "reason": str(error)})
    return pd.DataFrame(rows)


def comparisons_frame(comparisons: Sequence[Comparison], levels: Sequence[float] | None = None) -> pd.DataFrame:
    """Tidy rows of several comparisons, each with the identity of its curves."""
    frames = []
    for comparison in comparisons:
        frame = comparison_frame(comparison, levels)
        identity = comparison.candidate.identity
        for position, name in enumerate(("model", "hardware", "engine", "precision", "parallelism", "sequence")):
            frame.insert(position, name, getattr(identity, name))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def comparison_table(comparison: Comparison, levels: Sequence[float] | None = None) -> Table:
    """Table at matched interactivity, two rows per level.

    Raises:
        NotMeasuredError: no level was named and the two ranges overlap nowhere, or too little for a level.
    """
    rows = []
    notes = list(comparison.cautions)
    if levels is None:
        levels = comparison.levels()
    if not levels:
        low, high = comparison.overlap
        raise NotMeasuredError(
            f"{comparison.names[0]} and {comparison.names[1]} share only {low:.1f} to {high:.1f} tok/s/user, "
            "too little for a comparison at matched interactivity; measure more concurrencies"
        )
    for level in levels:
        try:
            read = comparison.at(level)
        except NotMeasuredError as error:
            rows.append([f"{level:g}", NOT_MEASURED])
            notes.append(str(error))
            continue
        rows.extend(_display_rows(read))
    if any("WIDE" in cell for row in rows for cell in row):
        notes.append(
            "WIDE: interpolated across more than one doubling of concurrency; a point in between may move it by 10 % "
            "and more"
        )
    if comparison.price is not None:
        notes.append(f"price: {comparison.price}")
    return Table(
        title=f"{comparison.names[0]} against {comparison.names[1]} at matched interactivity: {_subject(comparison)}",
        headers=("tok/s/user", "mode", "tok/s/GPU", "ratio", "$/M tok", "tok/s/MW", "concurrency", "between"),
        rows=rows,
        sentences=sentences(comparison, levels),
        notes=notes,
    )


def matched_tables(comparison: Comparison, levels: Sequence[float] | None = None) -> tuple[list[Table], list[str]]:
    """Tables at matched interactivity and at matched concurrency, and the reason where one is missing."""
    tables: list[Table] = []
    remarks: list[str] = []
    try:
        tables.append(comparison_table(comparison, levels))
    except NotMeasuredError as error:
        remarks.append(str(error))
    matched = concurrency_table(comparison)
    return [*tables, *([] if matched is None else [matched])], remarks


def concurrency_table(comparison: Comparison) -> Table | None:
    """Table at matched concurrency, measured points only; None when the two sides share no concurrency."""
    rows = []
    for concurrency in comparison.shared_concurrencies():
        level = comparison.at_concurrency(concurrency)
        sides = (level.candidate, level.reference)
        row = [str(concurrency), *(f"{side.interactivity:.1f}" for side in sides)]
        row += [f"{level.interactivity_ratio.value:.2f}x", *(f"{side.throughput.value:.1f}" for side in sides)]
        rows.append([*row, f"{level.throughput_ratio.value:.2f}x"])
    if not rows:
        return None
    mine, theirs = comparison.names
    return Table(
        title=f"{mine} against {theirs} at matched concurrency: {_subject(comparison)}",
        headers=("concurrency", f"tok/s/user {mine}", theirs, "ratio", f"tok/s/GPU {mine}", theirs, "ratio"),
        rows=rows,
        starts=(1, 4),
        # Also where the table of matched interactivity has them: without an overlap this is the only table.
        notes=comparison.cautions,
    )


def sentences(comparison: Comparison, levels: Sequence[float] | None = None) -> list[str]:
    """One sentence per level that both curves reach."""
    said = []
    for level in comparison.levels() if levels is None else levels:
        try:
            said.append(comparison.at(level).sentence())
        except NotMeasuredError:
            continue
    return said


def against_published(comparison: Comparison, published: PublishedTable) -> Table:
    """Measured values beside published ones, with their differences."""
    rows = []
    for level in published.levels:
        for side, name in enumerate(comparison.names):
            row = [f"{level.interactivity_tok_s_user:g}", name]
            try:
                reading = comparison.at(level.interactivity_tok_s_user)
            except NotMeasuredError:
                rows.append([*row, NOT_MEASURED])
                continue
            read = (reading.candidate, reading.reference)[side]
            cost, power = reading.cost(read), reading.tok_s_mw(read)
            theirs = (level.mtp, level.off)[side]
            row += _beside(read.throughput.value, theirs.total_tok_s_gpu, 1)
            row += _beside(None if cost is None else cost.value, theirs.cost_usd_mtok, 3)
            row += _beside(None if power is None else power.value, theirs.tok_s_mw, 0)
            row += [f"{read.concurrency:.0f}", f"{theirs.concurrency:.0f}"]
            rows.append(row)
    return Table(
        title=f"beside the published table: {_subject(comparison)}",
        headers=(
            *("tok/s/user", "mode"),
            *("tok/s/GPU", "published", "diff"),
            *("$/M tok", "published", "diff"),
            *("tok/s/MW", "published", "diff"),
            *("conc.", "published"),
        ),
        rows=rows,
        starts=(2, 5, 8, 11),
        notes=(f"published: {published.title}; price {published.price}", f"source: {published.source}"),
    )


def _level_rows(level: Level) -> list[dict[str, Any]]:
    rows = []
    for name, side, ratio in (
        (level.names[0], level.candidate, level.throughput_ratio),
        (level.names[1], level.reference, Estimate(1.0)),
    ):
        cost, power = level.cost(side), level.tok_s_mw(side)
        rows.append(
            {
                "interactivity_tok_s_user": level.level,
                "measured": True,
                "matched_by": level.matched_by,
                "mode": name,
                "total_tok_s_gpu": side.throughput.value,
                "total_tok_s_gpu_half_width": side.throughput.half_width,
                "throughput_ratio": ratio.value,
                "throughput_ratio_half_width": ratio.half_width,
                "cost_usd_mtok": None if cost is None else cost.value,
                "tok_s_mw": None if power is None else power.value,
                "concurrency": side.concurrency,
                "interpolated": not side.bracket.measured,
                "bracket_low_concurrency": side.bracket.upper.concurrency,
                "bracket_high_concurrency": side.bracket.lower.concurrency,
                "bracket_wide": side.bracket.wide,
                "sentence": level.sentence(),
            }
        )
    return rows


def _display_rows(level: Level) -> list[list[str]]:
    rows = []
    for name, side, ratio in (
        (level.names[0], level.candidate, with_uncertainty(level.throughput_ratio, 2) + "x"),
        (level.names[1], level.reference, ""),
    ):
        cost, power = level.cost(side), level.tok_s_mw(side)
        rows.append(
            [
                f"{level.level:g}",
                name,
                with_uncertainty(side.throughput, 1),
                ratio,
                "" if cost is None else f"{cost.value:.3f}",
                "" if power is None else f"{power.value:.0f}",
                f"~{side.concurrency:.0f}",
                str(side.bracket),
            ]
        )
    return rows


def _beside(mine: float | None, theirs: float, digits: int) -> list[str]:
    if mine is None:
        return ["", f"{theirs:.{digits}f}", ""]
    return [f"{mine:.{digits}f}", f"{theirs:.{digits}f}", f"{mine / theirs - 1:+.1%}"]


def _subject(comparison: Comparison) -> str:
    a, b = comparison.candidate.identity, comparison.reference.identity
    shared = (
        getattr(a, name) or getattr(b, name)
        for name in ("model", "hardware", "engine", "version", "parallelism", "precision", "sequence")
        if not (getattr(a, name) and getattr(b, name)) or getattr(a, name) == getattr(b, name)
    )
    return " ".join(part for part in shared if part)
