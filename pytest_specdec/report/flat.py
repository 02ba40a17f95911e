"""A measurement as flat names and values, for JUnit, pytest-benchmark and trackers."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_specdec.domain.cell import Workload, workload_words
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.results.measurement import Measurement

SIMULATED = "SIMULATED: no hardware was measured"


def metric_values(measurement: Measurement) -> Iterator[tuple[str, float]]:
    """Each measured metric by its key, which ends in its unit, and its half-width where that is known."""
    for key, estimate in measurement.values.items():
        yield key, estimate.value
        if estimate.half_width is not None:
            yield f"{key}_half_width", estimate.half_width


def metric_units(measurement: Measurement) -> dict[str, str]:
    """Unit of each measured metric, in words; a share has none."""
    return {key: METRICS[key].unit for key in measurement.values if METRICS[key].unit}


def identity(measurement: Measurement) -> dict[str, str]:
    """Names of the cell, the engine and the hardware; `simulated` for a simulated engine only."""
    environment = measurement.environment
    known = {
        "cell": str(measurement.cell),
        "hardware": environment.hardware,
        "engine": environment.engine,
        "version": environment.version,
        "parallelism": measurement.cell.engine.parallelism,
        "workload": workload_words(measurement.cell.workload),
        "measured_at": measurement.measured_at,
    }
    return known | ({"simulated": SIMULATED} if environment.simulated else {})


def series(measurement: Measurement) -> str:
    """Name of a time series: the cell, engine and hardware, and unusual settings of the workload.

    The engine's version is what changes along a series, so it is no part of the name.
    """
    environment, workload = measurement.environment, measurement.cell.workload
    usual = workload == Workload(isl=workload.isl, osl=workload.osl, version=workload.version)
    words = f"v{workload.version}" if usual else workload_words(workload)
    where = f"{environment.engine} on {environment.hardware}, {measurement.cell.engine.parallelism}"
    return f"{measurement.cell} ({where}, workload {words})"
