"""CSV: tidy rows of a run's points, or of comparisons."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pandas as pd

from pytest_specdec.domain.metric import METRICS
from pytest_specdec.report.comparison_table import comparisons_frame
from pytest_specdec.report.formats import Compared, Session
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Run

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BESIDE = {
    "client": ("clock", "arrival_lag_p99_ms", "send_lag_p99_ms", "lost_load", "loop_lag_p99_ms", "cpu_share"),
    "gpu": ("source", "mean_power_w", "sm_clock_mean_mhz", "temperature_max_c", "energy_j"),
}
"""Columns of the client's health and of the GPUs' sensors."""


def of_run(run: Run, _session: Session) -> str:
    """One row per measured point."""
    return frame_csv(point_frame(run.measurements))


def of_compared(compared: Compared) -> str:
    """Rows of all comparisons."""
    return frame_csv(comparisons_frame(compared.comparisons, compared.levels))


def point_frame(measurements: Iterable[Measurement]) -> pd.DataFrame:
    """Tidy rows, one per measured point, every metric with its half-width; a missing number stays empty."""
    rows = []
    for measurement in sorted(measurements, key=lambda m: m.cell):
        engine, workload = measurement.cell.engine, measurement.cell.workload
        row: dict[str, object] = {
            "model": engine.model,
            "precision": engine.precision,
            "parallelism": engine.parallelism,
            "mtp": engine.mtp,
            "sequence": workload.sequence,
            "concurrency": measurement.cell.concurrency,
            "hardware": measurement.environment.hardware,
            "engine": measurement.environment.engine,
            "version": measurement.environment.version,
            "simulated": bool(measurement.environment.simulated),
            "measured_at": measurement.measured_at,
            "window_s": measurement.window_s,
            "requests_finished": measurement.requests.finished,
            "requests_failed": measurement.requests.failed,
            "rate_req_s": measurement.cell.rate or None,
            "slo": measurement.slo,
            "precision_reached": measurement.certainty.reached if measurement.certainty else None,
            "client_limited": measurement.client_limited,
        }
        for prefix, record in (("client", measurement.client), ("gpu", measurement.gpu)):
            found = {} if record is None else msgspec.structs.asdict(record)
            row |= {f"{prefix}_{key}": found.get(key) for key in _BESIDE[prefix]}
        for key in METRICS:
            estimate = measurement.values.get(key)
            row[key] = None if estimate is None else estimate.value
            row[f"{key}_half_width"] = None if estimate is None else estimate.half_width
        row["notes"] = "; ".join(measurement.notes)
        rows.append(row)
    return pd.DataFrame(rows)


def frame_csv(frame: pd.DataFrame) -> str:
    """CSV of a frame; text that begins like a formula gets a quote, or a spreadsheet would evaluate it."""
    inert = frame.copy()
    for name in frame.select_dtypes(exclude="number"):
        inert[name] = frame[name].map(_inert)
    return inert.to_csv(index=False)


def _inert(value: object) -> object:
    """Text with a leading quote where it begins like a formula, as in the page's export (report/page/points.js)."""
    if not isinstance(value, str):
        return value
    # A bare carriage return would begin a row, and with it perhaps a formula: only a line feed is quoted.
    quote = "'" if value.startswith(_FORMULA) else ""
    return f"{quote}{value}".replace("\r", "\n")
