"""Files for benchmark trackers: Bencher Metric Format, and the custom formats of github-action-benchmark.

One series per cell, engine, hardware and parallelism: results of unlike things never share a line, and a simulated
engine has `simulated` in the name of its series.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.metric import Better, metrics_as
from pytest_specdec.report.flat import SIMULATED, series
from pytest_specdec.report.formats import Session
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Run


class GithubRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of `customBiggerIsBetter` or `customSmallerIsBetter`."""

    name: str
    unit: str
    value: float
    range: str = ""
    """`± half-width`, empty when it is unknown."""
    extra: str = ""
    """Text of the tooltip of a point."""


def bencher(run: Run, _session: Session | None = None) -> str:
    """Bencher Metric Format (`bencher run --adapter json`): all metrics, bounded by their 95 % intervals."""
    return _text(
        {
            series(measurement): {key: _bounded(estimate) for key, estimate in measurement.values.items()}
            for measurement in run.measurements
        }
    )


def github_bigger(run: Run, _session: Session | None = None) -> str:
    """Metrics for which higher is better, for `tool: customBiggerIsBetter`."""
    return _text(list(_github_rows(run, "higher")))


def github_smaller(run: Run, _session: Session | None = None) -> str:
    """Metrics for which lower is better, for `tool: customSmallerIsBetter`."""
    return _text(list(_github_rows(run, "lower")))


def _github_rows(run: Run, better: Better) -> Iterator[GithubRow]:
    for measurement in run.measurements:
        for metric in metrics_as("tracker"):
            estimate = measurement.values.get(metric.key)
            if estimate is None or metric.better != better:
                continue
            half = estimate.half_width
            yield GithubRow(
                name=f"{series(measurement)}: {metric.title}",
                unit=metric.unit,
                value=estimate.value,
                range="" if half is None else f"± {half:.{metric.digits}f}",
                extra="\n".join(_hover(measurement, metric.formula)),
            )


def _hover(measurement: Measurement, formula: str) -> Iterator[str]:
    environment = measurement.environment
    if environment.simulated:
        yield SIMULATED
    yield f"{environment.engine} {environment.version}"
    yield formula
    yield from measurement.notes


def _bounded(estimate: Estimate) -> dict[str, float]:
    if estimate.half_width is None:
        return {"value": estimate.value}
    return {"value": estimate.value, "lower_value": estimate.low, "upper_value": estimate.high}


def _text(content: object) -> str:
    return msgspec.json.format(msgspec.json.encode(content), indent=1).decode() + "\n"
