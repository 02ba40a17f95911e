"""The files in `baselines/`: one per curve, small, reviewable, in a stable order.

`<hardware>/<model>/<engine>-<parallelism>-<precision>-<sequence>-<mode>.json`, points by concurrency, every run kept as
`[value, half-width]` with four significant digits. A baseline moves only when someone asks for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np
from scipy import stats

from pytest_specdec.cell import Cell, EngineSpec, Workload, short_model
from pytest_specdec.cost import Price
from pytest_specdec.errors import BrokenFileError
from pytest_specdec.estimate import Estimate
from pytest_specdec.files import write_whole
from pytest_specdec.measurement import STORED, UNKNOWN, Environment, Measurement, RequestCounts, workload_words
from pytest_specdec.metric import METRICS

BASELINE_SCHEMA = 1
_DIGITS = 4


class BaselineRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measurement of one point, as it was accepted."""

    measured_at: str
    version: str
    """Engine version that was measured."""
    values: dict[str, Estimate]


class BaselineFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One curve on disk."""

    schema: int = BASELINE_SCHEMA
    engine: EngineSpec
    workload: Workload
    environment: Environment
    price: Price
    points: dict[str, list[BaselineRun]]
    """Runs by concurrency, or by rate: `16`, `2.5rps`."""


class BaselinePoint(msgspec.Struct, frozen=True, kw_only=True):
    """The stored runs of one cell."""

    cell: Cell
    environment: Environment
    price: Price
    runs: tuple[BaselineRun, ...]
    path: Path

    def values(self) -> dict[str, Estimate]:
        """Each metric over the stored runs: the mean, with the t interval of the runs where there are several."""
        return {
            key: _joined([run.values[key] for run in self.runs])
            for key in METRICS
            if all(key in run.values for run in self.runs)
        }

    def measurement(self) -> Measurement:
        """The stored values in the shape of a measurement, for comparisons with a stored Off."""
        return Measurement(
            cell=self.cell,
            environment=self.environment,
            price=self.price,
            window_s=0.0,
            requests=RequestCounts(finished=0, failed=0, cut=0, observed=0),
            values=self.values(),
            measured_at=self.runs[-1].measured_at,
            notes=(STORED,),
        )


class Baselines:
    """The folder of baseline files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[Path, BaselineFile | None] = {}

    def path_of(self, cell: Cell, environment: Environment) -> Path:
        """File in which a cell's baseline belongs."""
        engine = cell.engine
        shape = cell.workload.shape
        name = f"{environment.engine}-{engine.parallelism}-{engine.precision}-{shape}-{engine.mode}"
        return self.folder / _safe(environment.hardware) / short_model(engine.model) / f"{_safe(name)}.json"

    def find(self, cell: Cell, environment: Environment) -> BaselinePoint | None:
        """Return what is stored for a cell, None if nothing is.

        Raises:
            BrokenFileError: the file exists and cannot be read.
        """
        path = self.path_of(cell, environment)
        if path not in self._files:
            self._files[path] = load_baseline(path) if path.exists() else None
        file = self._files[path]
        runs = file.points.get(cell.level) if file else None
        if not file or not runs:
            return None
        return BaselinePoint(
            cell=Cell(file.engine, file.workload, cell.concurrency, cell.rate),
            environment=file.environment,
            price=file.price,
            runs=tuple(runs),
            path=path,
        )

    def update(self, measurements: Iterable[Measurement], *, replace: bool) -> dict[Path, list[Cell]]:
        """Store measurements; an existing point is replaced only when `replace` is true.

        Returns the cells written per file; files in which nothing changed are not touched.
        """
        written: dict[Path, list[Cell]] = {}
        groups: dict[Path, list[Measurement]] = {}
        for measurement in sorted(measurements, key=lambda m: m.cell):
            groups.setdefault(self.path_of(measurement.cell, measurement.environment), []).append(measurement)
        for path, group in groups.items():
            old = load_baseline(path) if path.exists() else None
            stale = old is not None and any(why_not_comparable(m, _first_point(old, path)) for m in group)
            keep = {} if old is None or (stale and replace) else old.points
            fresh = {m.cell.level: m for m in group}
            taken = {key: m for key, m in fresh.items() if replace or key not in keep}
            if not taken or (stale and not replace):
                continue
            points = {**keep, **{key: [_accepted(m)] for key, m in taken.items()}}
            save_baseline(_file_of(group[0], points), path)
            self._files.pop(path, None)
            written[path] = [m.cell for m in taken.values()]
        return written


def why_not_comparable(measured: Measurement, baseline: BaselinePoint) -> str:
    """Name the first field in which a measurement and a baseline are unlike; empty when they may be compared.

    The engine's version may differ: finding out what that does is what a baseline is for.
    """
    stored = baseline.cell
    fields = (
        ("model", measured.cell.engine.model, stored.engine.model),
        ("parallelism", measured.cell.engine.parallelism, stored.engine.parallelism),
        ("acceptance", measured.cell.engine.acceptance, stored.engine.acceptance),
        ("verification", measured.cell.engine.verification, stored.engine.verification),
        ("workload", workload_words(measured.cell.workload), workload_words(stored.workload)),
        ("hardware", measured.environment.hardware, baseline.environment.hardware),
        ("engine", measured.environment.engine, baseline.environment.engine),
        ("simulated preset", measured.environment.simulated, baseline.environment.simulated),
    )
    for name, now, then in fields:
        if now != then and UNKNOWN not in (now, then):
            return f"{name} differs: measured {now!r}, baseline {then!r}"
    return ""


def load_baseline(path: Path) -> BaselineFile:
    """Read one baseline file.

    Raises:
        BrokenFileError: it is not a baseline; the message says where it is wrong.
    """
    try:
        file = msgspec.json.decode(path.read_bytes(), type=BaselineFile)
    except OSError as error:
        raise BrokenFileError(f"cannot read baseline {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenFileError(
            f"broken baseline {path}: {error}; restore it from version control, or delete it and run with "
            "--specdec-update=new"
        ) from error
    if file.schema != BASELINE_SCHEMA:
        raise BrokenFileError(f"baseline {path} has schema {file.schema}; this version reads {BASELINE_SCHEMA}")
    return file


def save_baseline(file: BaselineFile, path: Path) -> None:
    """Write one baseline file, points by rising concurrency, a value and its half-width on one line."""
    ordered = msgspec.structs.replace(
        file, points=dict(sorted(file.points.items(), key=lambda item: float(item[0].removesuffix("rps"))))
    )
    text = msgspec.json.format(msgspec.json.encode(ordered), indent=1).decode()
    pair = re.compile(r"\[\s*(-?[0-9.eE+-]+),\s*(null|-?[0-9.eE+-]+)\s*\]")
    write_whole(path, pair.sub(r"[\1, \2]", text) + "\n")


def significant(number: float, digits: int = _DIGITS) -> float:
    """Round to significant digits; zero and non-finite numbers stay as they are."""
    if number == 0 or not math.isfinite(number):
        return number
    return float(f"{number:.{digits - 1}e}")


def _file_of(measurement: Measurement, points: Mapping[str, list[BaselineRun]]) -> BaselineFile:
    # Where the server answers is a fact of the run, not of the baseline.
    environment = msgspec.structs.replace(measurement.environment, endpoint="")
    return BaselineFile(
        engine=measurement.cell.engine,
        workload=measurement.cell.workload,
        environment=environment,
        price=measurement.price,
        points=dict(points),
    )


def _accepted(measurement: Measurement) -> BaselineRun:
    values = {
        key: Estimate(
            significant(estimate.value), None if estimate.half_width is None else significant(estimate.half_width, 2)
        )
        for key, estimate in measurement.values.items()
    }
    return BaselineRun(measured_at=measurement.measured_at, version=measurement.environment.version, values=values)


def _first_point(file: BaselineFile, path: Path) -> BaselinePoint:
    return BaselinePoint(
        cell=Cell(engine=file.engine, workload=file.workload, concurrency=1),
        environment=file.environment,
        price=file.price,
        runs=(),
        path=path,
    )


def _joined(runs: list[Estimate]) -> Estimate:
    if len(runs) == 1:
        return runs[0]
    values = np.array([run.value for run in runs])
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(float(values.mean()), half)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.").lower() or UNKNOWN
