"""Series of saved runs -> tables for a terminal: one per cell, or one line per cell where there are many."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.naming import plural
from pytest_specdec.report.render import Table, with_uncertainty
from pytest_specdec.results.history import HistoryPoint, Series

DETAILED = 4
"""With more series than this, one line each."""
_WIDE = 110
"""Columns from which the file of each run is shown."""
_BARS = "▁▂▃▄▅▆▇█"
_STARRED = "beyond the uncertainty within the two runs (two starts of one server may differ by more)"
_SPARKS = 16
"""Newest points of a series that its sparkline shows."""


def history_tables(series: Sequence[Series], *, width: int = 80, last: int = 20) -> list[Table]:
    """Tables no wider than `width` columns, the newest `last` points of each series."""
    if len(series) > DETAILED:
        return [_overview(series, width)]
    return [_detail(one, width, last) for one in series]


def sparkline(values: Sequence[float]) -> str:
    """Bars from the lowest to the highest value; all in the middle where they are equal."""
    low, high = min(values), max(values)
    if high == low:
        return _BARS[len(_BARS) // 2] * len(values)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in values)


def strip(point: HistoryPoint, low: float, high: float, width: int) -> str:
    """A point and its interval on an axis from `low` to `high`: `│  ─●─   │`, `width` columns and two edges."""

    def column(value: float) -> int:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(min(max(share, 0.0), 1.0) * (width - 1))

    cells = [" "] * width
    for at in range(column(point.value.low), column(point.value.high) + 1):
        cells[at] = "─"
    cells[column(point.value.value)] = "●"
    return f"│{''.join(cells)}│"


def _detail(series: Series, width: int, last: int) -> Table:
    shown = series.points[-last:]
    low, high = min(p.value.low for p in shown), max(p.value.high for p in shown)
    wide = width >= _WIDE
    rows = []
    for point in shown:
        row = [
            point.measured_at[:16].replace("T", " "),
            _cut(point.version, 24 if wide else 10),
            with_uncertainty(point.value, METRICS[series.metric].digits),
            change_words(point),
            strip(point, low, high, 40 if wide else 10),
            "" if point.outcome is None else point.outcome.value,
        ]
        rows.append([*row, point.run] if wide else row)
    notes = [f"{p.measured_at[:16].replace('T', ' ')}: {p.doubt}" for p in shown if p.doubt]
    if len(shown) < len(series.points):
        notes.append(f"the newest {len(shown)} of {len(series.points)} runs (--last)")
    if any(point.changed for point in shown):
        notes.append(f"*: {_STARRED}")
    return Table(
        title=series_title(series),
        headers=("measured", "version", METRICS[series.metric].unit or "value", "change", "", "verdict")
        + (("run",) if wide else ()),
        rows=rows,
        sentences=[series_sentence(series)],
        notes=notes,
    )


def _overview(series: Sequence[Series], width: int) -> Table:
    rows = []
    shared, names = _names(series)
    for one, name in zip(series, names, strict=True):
        newest = one.points[-1]
        rows.append(
            [
                name,
                str(len(one.points)),
                with_uncertainty(newest.value, METRICS[one.metric].digits),
                change_words(newest),
                sparkline([point.value.value for point in one.points[-(_SPARKS if width >= _WIDE else 8) :]]),
                "" if newest.outcome is None else newest.outcome.value,
            ]
        )
    info = METRICS[series[0].metric]
    notes = ["name a cell to see every run of it, such as: specdec history " + str(series[0].cell)]
    if any(one.points[-1].changed for one in series):
        notes.append(f"*: {_STARRED}")
    if any(one.simulated for one in series):
        notes.append("SIMULATED: these numbers come from the simulated engine, no hardware was measured")
    return Table(
        title=f"{info.title} of {len(series)} cells{f' of {shared}' if shared else ''}{_better(series[0])}",
        headers=("cell", "runs", f"newest {info.unit}".strip(), "change", "", "verdict"),
        rows=rows,
        notes=notes,
    )


def series_sentence(series: Series) -> str:
    """`5 runs, 4 versions, 2026-09-01 to 2026-11-23: 1218.8 -> 1273.6 tok/s/GPU (+4.5%)`, and a sparkline."""
    first, newest = series.points[0], series.points[-1]
    info = METRICS[series.metric]
    runs = f"{plural(len(series.points), 'run')}, {_counted(series.versions)}"
    if first is newest:
        return f"{runs}."
    whole = f" ({newest.value.value / first.value.value - 1:+.1%})" if first.value.value else ""
    return (
        f"{runs}, {first.measured_at[:10]} to {newest.measured_at[:10]}: {first.value.value:.{info.digits}f} -> "
        f"{newest.value.value:.{info.digits}f} {info.unit}".rstrip()
        + f"{whole}  {sparkline([point.value.value for point in series.points[-_SPARKS:]])}"
    )


def _counted(versions: Sequence[str]) -> str:
    return f"version {versions[0]}" if len(versions) == 1 else f"{len(versions)} versions"


def series_title(series: Series) -> str:
    """Metric, cell and engine of a series; a second line where it is simulated."""
    parts = [f"{METRICS[series.metric].title} of {series.cell} on {series.hardware}, {series.engine}"]
    if series.condition:
        parts.append(f"at {series.condition}")
    title = " ".join(parts) + _better(series)
    return f"{title}\nSIMULATED: preset {series.simulated}, no hardware was measured" if series.simulated else title


def _better(one: Series) -> str:
    better = METRICS[one.metric].better
    return "" if better is None else f" ({better} is better)"


def _names(series: Sequence[Series]) -> tuple[str, list[str]]:
    """Common beginning of all cells' names, and for each series the rest of its name with its distinguishing fields."""
    cells = [str(one.cell).split("-") for one in series]
    columns = zip(*(name[:-1] for name in cells), strict=False)
    shared = [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, columns)]
    places = {(one.hardware, one.engine, bool(one.simulated)) for one in series}
    names = []
    for one, parts in zip(series, cells, strict=True):
        place = f"{one.hardware} {one.engine}" if len(places) > 1 else ""
        names.append(" ".join(part for part in ("-".join(parts[len(shared) :]), place, one.condition) if part))
    return "-".join(shared), names


def change_words(point: HistoryPoint) -> str:
    """`+12.7%*`, the star where it is beyond the uncertainty; empty for the first point."""
    return "" if point.change is None else f"{point.change.value:+.1%}{'*' if point.changed else ''}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
