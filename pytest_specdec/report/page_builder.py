"""Curves of runs or of comparisons -> curves, points and comparisons of the page's document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from pytest_specdec.domain.cell import EngineSpec, Workload, short_model
from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.domain.curve import Curve, CurveIdentity, Point
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.metric import CHART_GROUPS, METRICS, keys_as
from pytest_specdec.domain.price import PRICE_BOOKS, TIERS, Price, list_price
from pytest_specdec.domain.published import published_for
from pytest_specdec.errors import InvalidInputError, NotMeasuredError, SpecdecError
from pytest_specdec.report.comparison_table import against_published
from pytest_specdec.report.page_document import (
    BASELINE,
    NOW,
    PageComparison,
    PageCurve,
    PageDocument,
    PageEnvironment,
    PageMetric,
    PagePoint,
    PageTable,
)
from pytest_specdec.report.render import Table
from pytest_specdec.results.measurement import STORED, Measurement, curve_of
from pytest_specdec.results.run import by_curve, mode_title, mtp_against_off, over_concurrency

_TELLS_APART = ("model", "sequence", "precision", "hardware", "parallelism", "engine", "version")
"""Fields of a curve that its label names where they differ among the curves."""


class PageBuilder:
    """Collects curves and numbers them."""

    def __init__(self, levels: Sequence[float] | None) -> None:
        self.levels = levels
        self.curves: list[PageCurve] = []
        self.points: list[PagePoint] = []
        self.comparisons: list[PageComparison] = []
        self.environments: list[PageEnvironment] = []
        self.published: list[Table] = []
        self.remarks: list[str] = []
        self._groups: dict[tuple[str, EngineSpec, Workload], tuple[int, list[Measurement]]] = {}

    def add_run(self, run: str, measurements: Iterable[Measurement]) -> None:
        """Add the curves of a run."""
        for (engine, workload), group in by_curve(measurements).items():
            number = self._add_curve(run, group[0].identity(), group[0].environment, group[0].price, engine)
            self._groups[run, engine, workload] = number, group
            self.points += [_measured_point(number, m) for m in group]

    def add_comparison(self, comparison: Comparison) -> None:
        """Add the two curves of a comparison of published or peers' results."""
        sides = []
        for name, curve in zip(comparison.names, (comparison.candidate, comparison.reference), strict=True):
            number = self._add_curve(NOW, curve.identity, None, comparison.price, name)
            self.points += [_published_point(number, curve, point) for point in curve.points]
            sides.append(number)
        self._compared(comparison, (sides[0], sides[1]), "modes")

    def compare_modes(self, run: str) -> None:
        """Compare MTP with Off wherever a run has both; a remark gives the reason where they are not comparable."""
        for (name, engine, workload), (number, group) in self._groups.items():
            reference = self._groups.get((name, engine.off(), workload))
            if name != run or not engine.speculation.active or reference is None or not over_concurrency(group):
                continue
            try:
                comparison = mtp_against_off(group, reference[1])
            except SpecdecError as error:
                self.remarks.append(str(error))
                continue
            if run == BASELINE:
                comparison.names = (f"{comparison.names[0]} (baseline)", f"{comparison.names[1]} (baseline)")
            self._compared(comparison, (number, reference[0]), "modes")

    def compare_runs(self) -> None:
        """Compare every curve that both runs have."""
        for (name, engine, workload), (number, group) in self._groups.items():
            before = self._groups.get((BASELINE, engine, workload))
            if name != NOW or before is None or not over_concurrency(group):
                continue
            mode = mode_title(engine)
            try:
                comparison = Comparison(
                    curve_of(group),
                    curve_of(before[1]),
                    price=group[0].price,
                    names=(f"{mode} now", f"{mode} baseline"),
                    cautions=["SIMULATED: no hardware was measured"] if group[0].environment.simulated else [],
                )
            except SpecdecError as error:
                self.remarks.append(str(error))
                continue
            self._compared(comparison, (number, before[0]), "runs")

    def document(self, tables: Iterable[Table], remarks: Iterable[str]) -> PageDocument:
        """The document of everything added; a metric that no point has is left out."""
        keys = [k for k in METRICS if k in _ALWAYS or any(p.values[_PLACE[k]] is not None for p in self.points)]
        places = [_PLACE[key] for key in keys]
        points = [
            msgspec.structs.replace(point, values=tuple(point.values[place] for place in places))
            for point in self.points
        ]
        models = ", ".join(dict.fromkeys(short_model(curve.model) for curve in self.curves)) or "nothing was measured"
        return PageDocument(
            title=models,
            simulated=any(curve.simulated for curve in self.curves),
            metrics=_pages([METRICS[key] for key in keys], PageMetric),
            x_axes=keys_as("x axis"),
            y_axes={group: keys_as(group) for group in CHART_GROUPS},
            curves=tuple(_labelled(self.curves)),
            points=tuple(points),
            comparisons=tuple(self.comparisons),
            tables=_pages(list(tables), PageTable),
            environments=tuple(self.environments),
            remarks=tuple(dict.fromkeys(remarks)),
            prices=_prices({curve.hardware for curve in self.curves}),
        )

    def _add_curve(
        self,
        run: str,
        identity: CurveIdentity,
        environment: Environment | None,
        price: Price | None,
        mode: EngineSpec | str,
    ) -> int:
        facts = PageEnvironment(run=run, facts=_facts(identity, environment))
        if facts not in self.environments:
            self.environments.append(facts)
        self.curves.append(
            PageCurve(
                run=run,
                label="",
                mode=mode if isinstance(mode, str) else mode_title(mode),
                **{name: getattr(identity, name) for name in (*_TELLS_APART, "date")},
                simulated=bool(environment and environment.simulated),
                environment=self.environments.index(facts),
                price=price,
                speculates=identity.mode != "off",
                identity=str(identity),
            )
        )
        return len(self.curves) - 1

    def _compared(self, comparison: Comparison, sides: tuple[int, int], of: str) -> None:
        published = published_for(comparison.candidate.identity) if of == "modes" else None
        why = ""
        levels: Sequence[float] = self.levels or ()
        if not levels and published is not None:
            levels = [level.interactivity_tok_s_user for level in published.levels]
        if not levels:
            try:
                levels = comparison.levels()
            except NotMeasuredError as error:
                why = str(error)
        # A published table of K draft tokens says nothing about another K.
        if published is not None and comparison.candidate.identity.mode == published.mtp_mode:
            self.published.append(against_published(comparison, published))
        self.comparisons.append(
            PageComparison(
                candidate=sides[0],
                reference=sides[1],
                names=comparison.names,
                of=of,
                cautions=tuple(dict.fromkeys(comparison.cautions)),
                levels=tuple(float(level) for level in levels),
                why_no_levels=why,
                price=comparison.price,
            )
        )


_Part = TypeVar("_Part", PageMetric, PageTable)


def _pages(things: Sequence[object], kind: type[_Part]) -> tuple[_Part, ...]:
    """The page's part of each thing: the fields of the same names."""
    return tuple(msgspec.convert(thing, kind, from_attributes=True) for thing in things)


_PLACE = {key: place for place, key in enumerate(METRICS)}
_DERIVED = frozenset(key for key, metric in METRICS.items() if metric.needs == "price")
"""Metrics that the page computes from throughput, at the price that its reader chooses."""
_ALWAYS = _DERIVED | {"interactivity_tok_s_user", "total_tok_s_gpu"}
"""Metrics of the page's own axes, also where nothing was measured."""


def _measured_point(curve: int, measurement: Measurement) -> PagePoint:
    return PagePoint(
        curve=curve,
        cell=str(measurement.cell),
        load=measurement.cell.level,
        concurrency=measurement.cell.concurrency,
        values=tuple(None if key in _DERIVED else measurement.values.get(key) for key in METRICS),
        measured_at=measurement.measured_at,
        window_s=measurement.window_s,
        requests=None if STORED in measurement.notes else measurement.requests,
        notes=tuple(dict.fromkeys((*_unnoted(measurement), *measurement.notes))),
    )


def _unnoted(measurement: Measurement) -> list[str]:
    """Findings without a note; a note stands for all repeats with one kind of finding, and counts them."""
    notes = measurement.notes
    return [f.words for f in measurement.findings if not any(note.startswith(f.words.split(":")[0]) for note in notes)]


def _published_point(curve: int, of: Curve, point: Point) -> PagePoint:
    values: Mapping[str, Estimate] = {
        **point.readings,
        "interactivity_tok_s_user": point.interactivity,
        "total_tok_s_gpu": point.throughput,
    }
    return PagePoint(
        curve=curve,
        cell=f"{of.identity} c{point.concurrency}",
        load=str(point.concurrency),
        concurrency=point.concurrency,
        values=tuple(values.get(key) for key in METRICS),
        measured_at=of.identity.date,
    )


def _labelled(curves: Sequence[PageCurve]) -> list[PageCurve]:
    """Label each curve by its mode and the fields in which the curves differ."""
    differing = [name for name in _TELLS_APART if len({getattr(curve, name) for curve in curves}) > 1]
    two_runs = len({curve.run for curve in curves}) > 1
    labelled = []
    for curve in curves:
        parts = [short_model(curve.model) if name == "model" else getattr(curve, name) for name in differing]
        # A published curve's name tells its version already.
        words = [curve.mode, *(part for part in parts if part and part not in curve.mode)]
        label = " ".join([*words, *([f"· {curve.run}"] if two_runs else [])])
        labelled.append(msgspec.structs.replace(curve, label=label))
    return labelled


def _facts(identity: CurveIdentity, environment: Environment | None) -> dict[str, str]:
    if environment is None:
        names = ("hardware", "engine", "version", "parallelism", "precision", "date")
        return {name: getattr(identity, name) or "unknown" for name in names}
    facts = {
        "hardware": environment.hardware,
        "engine": environment.engine,
        "version": environment.version,
        "endpoint": environment.endpoint,
        "served model": environment.served_model,
        "parallelism": identity.parallelism,
        "precision": identity.precision,
        "workload": identity.workload,
        **({"simulated preset": environment.simulated} if environment.simulated else {}),
    }
    for name, value in environment.facts.items():
        facts[name.replace("_", " ")] = f"{value} (declared)" if name in environment.declared else value
    return facts


def _prices(hardware: Iterable[str]) -> dict[str, dict[str, Price]]:
    """Price of the GPUs on the page, by published list and tier."""
    books: dict[str, dict[str, Price]] = {}
    for book in reversed(PRICE_BOOKS):
        for tier in TIERS:
            listed = {}
            for name in sorted(hardware):
                try:
                    listed[name] = list_price(name, book=book, tier=tier)
                except InvalidInputError:
                    continue
            if listed:
                books[f"{tier}, {book}"] = listed
    return books
