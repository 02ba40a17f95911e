"""Content of the HTML page: one document, embedded in the page as JSON."""

from __future__ import annotations

import msgspec

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.price import Price
from pytest_specdec.domain.traffic import RequestCounts

NOW, BASELINE = "now", "baseline"
"""Names of the run that is shown and of the earlier one beside it."""


class PageMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A row of METRICS, in the order of every point's values."""

    key: str
    title: str
    unit: str
    better: str | None
    digits: int
    formula: str


class PageCurve(msgspec.Struct, frozen=True, kw_only=True):
    """Fields shared by the points of one curve, as text."""

    run: str
    """`now` or `baseline`."""
    label: str
    mode: str
    model: str
    sequence: str
    precision: str
    hardware: str
    parallelism: str
    engine: str
    version: str
    date: str
    simulated: bool
    environment: int
    """Position in `environments`."""
    price: Price | None
    speculates: bool
    identity: str
    """All of it in words, for messages."""


class PagePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One measured point."""

    curve: int
    cell: str
    load: str
    """Concurrency, or the rate of an open loop."""
    concurrency: int
    values: tuple[Estimate | None, ...]
    """In the order of `metrics`; None was not measured."""
    measured_at: str = ""
    window_s: float | None = None
    requests: RequestCounts | None = None
    notes: tuple[str, ...] = ()


class PageComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two curves that may be compared."""

    candidate: int
    reference: int
    names: tuple[str, str]
    of: str
    """`modes` of one run, or `runs`."""
    cautions: tuple[str, ...]
    levels: tuple[float, ...]
    why_no_levels: str
    price: Price | None


class PageMetricVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of one cell against its baseline."""

    metric: str
    baseline: Estimate
    measured: Estimate
    change: Estimate | None
    """Measured over baseline; None where the baseline is 0."""
    tolerance: float | None
    """Margin; None: shown, not gated."""
    pairs: int
    """Fresh pairs of reference and candidate engine behind it; 0: judged against the stored baseline."""
    outcome: str


class PageVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Verdict of one cell."""

    cell: str
    outcome: str
    metrics: tuple[PageMetricVerdict, ...]
    why: tuple[str, ...]
    """Reason, diagnosis and notes, in this order."""


class PageTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table that does not depend on the menus."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sentences: tuple[str, ...]
    notes: tuple[str, ...]


class PageEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """Environment that curves were measured in."""

    run: str
    facts: dict[str, str]


class PageDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on the page."""

    title: str
    about: dict[str, str] = {}
    """Version, date and command of each run."""
    simulated: bool
    metrics: tuple[PageMetric, ...]
    x_axes: tuple[str, ...]
    """Metrics that the menu of horizontal axes offers, of those that any point has."""
    y_axes: dict[str, tuple[str, ...]]
    """Group of the menu of vertical axes -> metrics, likewise."""
    curves: tuple[PageCurve, ...]
    points: tuple[PagePoint, ...]
    comparisons: tuple[PageComparison, ...]
    headline: str = ""
    """The verdict on the whole run; empty where nothing is judged."""
    promises: tuple[str, ...] = ()
    """Promise of the gate for this suite, and losses that it may have missed."""
    verdicts: tuple[PageVerdict, ...] = ()
    changes: dict[str, str] = {}
    """Cell -> cause of the change of its output throughput against the baseline run."""
    tables: tuple[PageTable, ...]
    environments: tuple[PageEnvironment, ...]
    remarks: tuple[str, ...]
    prices: dict[str, dict[str, Price]]
    """Price book and tier -> hardware -> price, of the hardware on the page."""
