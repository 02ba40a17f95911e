"""The history as a page: one drawing and one table per series, without script or network access."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_specdec.domain.metric import METRICS
from pytest_specdec.report.history_table import change_words, series_sentence, series_title
from pytest_specdec.report.render import with_uncertainty
from pytest_specdec.report.template import asset, rendered
from pytest_specdec.results.history import HistoryPoint, Series

_WIDTH, _HEIGHT = 760, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 34
_LETTER = 6.5
"""Approximate width of a letter in pixels."""
_TICKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One point of a drawing, in its pixels."""

    x: float
    y: float
    low: float
    high: float
    words: str
    version: str
    """Engine version where it changes and the label fits, else empty."""
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Drawing of a series, with runs at even steps: their order and versions matter, not the time between them."""

    title: str
    simulated: str
    sentence: str
    unit: str
    marks: tuple[Mark, ...]
    line: str
    ticks: tuple[tuple[float, str], ...]
    rows: tuple[tuple[str, ...], ...]


def history_page(series: Sequence[Series], skipped: Sequence[str] = ()) -> str:
    """Render series as one HTML file; text of a run is escaped, and the page runs no script at all."""
    return rendered(
        "history.html.j2",
        style=asset("page.css") + asset("history.css"),
        drawings=[drawing(one) for one in series],
        skipped=skipped,
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        bottom=_HEIGHT - _BOTTOM,
    )


def drawing(series: Series) -> Drawing:
    """Place the points of a series; the vertical axis goes from the lowest to the highest end of an interval."""
    values = [point.value for point in series.points]
    low, high = min(value.low for value in values), max(value.high for value in values)
    if high == low:
        low, high = low - 1, high + 1

    def y(value: float) -> float:
        return round(_TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    step = (_WIDTH - _LEFT - _RIGHT) / len(values)
    marks = []
    before, free_from = "", 0.0
    for number, point in enumerate(series.points):
        x = round(_LEFT + step * (number + 0.5), 1)
        half = len(point.version) * _LETTER / 2
        named = point.version != before and x - half >= free_from
        free_from = x + half if named else free_from
        marks.append(
            Mark(
                x=x,
                y=y(point.value.value),
                low=y(point.value.low),
                high=y(point.value.high),
                words=" ".join(part for part in _row(series, point) if part),
                version=point.version if named else "",
                outcome="" if point.outcome is None else point.outcome.value.replace(" ", "-"),
            )
        )
        before = point.version
    title, _, simulated = series_title(series).partition("\n")
    digits = METRICS[series.metric].digits
    levels = [low + (high - low) * tick / _TICKS for tick in range(_TICKS + 1)]
    return Drawing(
        title=title,
        simulated=simulated,
        sentence=series_sentence(series).partition("  ")[0],  # the drawing says what the sparkline would
        unit=METRICS[series.metric].unit,
        marks=tuple(marks),
        line=" ".join(f"{mark.x},{mark.y}" for mark in marks),
        ticks=tuple((y(level), f"{level:.{digits}f}") for level in levels),
        rows=tuple(_row(series, point) for point in reversed(series.points)),
    )


def _row(series: Series, point: HistoryPoint) -> tuple[str, ...]:
    return (
        point.measured_at[:16].replace("T", " "),
        point.version,
        with_uncertainty(point.value, METRICS[series.metric].digits),
        change_words(point),
        "" if point.outcome is None else point.outcome.value,
        point.run,
        point.doubt,
    )
