"""The files in `baselines/`: one per curve, small, reviewable, in a stable order.

`<hardware>/<model>/<engine>-<parallelism>-<precision>-<sequence>-<mode>.json`, points by concurrency, every
repeat of every session (one server start) as `[value, half-width]` with four significant digits. A baseline moves only
when the user asks for it (`baseline_update`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from pytest_specdec.domain.acceptance import Acceptance
from pytest_specdec.domain.agreement import differences
from pytest_specdec.domain.cell import Cell, EngineSpec, Workload, short_model, workload_words
from pytest_specdec.domain.environment import UNKNOWN, Environment
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.likeness import SIDES, likeness
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.price import Price
from pytest_specdec.domain.traffic import RequestCounts
from pytest_specdec.errors import BrokenFileError
from pytest_specdec.results.files import write_whole
from pytest_specdec.results.measurement import ESTIMATOR_VERSION, STORED, Measurement
from pytest_specdec.results.merge import mean
from pytest_specdec.speculation.prompt_acceptance import PromptAcceptance

BASELINE_SCHEMA = 1
_DIGITS = 4
T = TypeVar("T")


class BaselineRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One accepted repeat of one point."""

    measured_at: str
    version: str
    """Engine version that was measured."""
    session: str = ""
    """Server start; repeats of one start share its offset."""
    requests: int = 0
    """Finished requests."""
    values: dict[str, Estimate]
    acceptance: Acceptance | None = None
    """Acceptance of the whole repeat, by position."""
    by_prompt: PromptAcceptance | None = None
    """By prompt, where the engine counts by request."""


class Anchor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First stored values of a point; they stay when the baseline moves, so that small losses add up."""

    measured_at: str
    version: str
    values: dict[str, Estimate]


class Accepted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Log entry of a moved baseline."""

    when: str
    who: str
    reason: str
    points: dict[str, str]
    """Changes by concurrency: `total -6.2 %`."""


class BaselineFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One curve on disk."""

    schema: int = BASELINE_SCHEMA
    engine: EngineSpec
    workload: Workload
    environment: Environment
    price: Price
    estimator: str = "1"
    """Version of the estimator, see `measurement.ESTIMATOR_VERSION`; files of the first one do not say it."""
    points: dict[str, list[BaselineRun]]
    """Repeats by concurrency, or by rate: `16`, `2.5rps`."""
    anchors: dict[str, Anchor] = {}
    """First values by concurrency."""
    accepted: list[Accepted] = []
    """Log of the file, the newest entry last."""


class BaselinePoint(msgspec.Struct, frozen=True, kw_only=True):
    """The stored repeats of one cell."""

    cell: Cell
    environment: Environment
    price: Price
    runs: tuple[BaselineRun, ...]
    path: Path
    anchor: Anchor | None = None
    estimator: str = ESTIMATOR_VERSION

    def values(self) -> dict[str, Estimate]:
        """Return each metric over the stored repeats, see `values_of`."""
        return values_of(self.runs)

    def measurement(self) -> Measurement:
        """Return the stored values as a measurement, for comparisons with a stored Off."""
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
        name = safe_name(f"{environment.engine}-{curve_name(cell)}")
        return self.folder / safe_name(environment.hardware) / short_model(cell.engine.model) / f"{name}.json"

    def find(self, cell: Cell, environment: Environment) -> BaselinePoint | None:
        """Return the baseline of a cell, None where there is none.

        Raises:
            BrokenFileError: the file exists and cannot be read.
        """
        path = self.path_of(cell, environment)
        file = self._load(path)
        runs = file.points.get(cell.level) if file else None
        if not file or not runs:
            return None
        return BaselinePoint(
            cell=Cell(file.engine, file.workload, cell.concurrency, cell.rate),
            environment=file.environment,
            price=file.price,
            runs=tuple(runs),
            path=path,
            anchor=file.anchors.get(cell.level),
            estimator=file.estimator,
        )

    def of_any_environment(self, cell: Cell) -> list[BaselinePoint]:
        """Return the baselines of a cell on any hardware and engine, for planning before an engine is asked.

        Raises:
            BrokenFileError: a file of the model's cannot be read.
        """
        found = []
        for path in sorted(self.folder.glob(f"*/{short_model(cell.engine.model)}/*.json")):
            file = self._load(path)
            if file is not None and (file.engine, file.workload) == (cell.engine, cell.workload):
                found.append(self.find(cell, file.environment))
        return [point for point in found if point is not None]

    def all(self) -> list[tuple[Path, BaselineFile]]:
        """Every file, by path.

        Raises:
            BrokenFileError: one of them cannot be read.
        """
        return [(path, load_baseline(path)) for path in sorted(self.folder.glob("*/*/*.json"))]

    def forget(self, path: Path) -> None:
        """Read a file anew when it is wanted again."""
        self._files.pop(path, None)

    def _load(self, path: Path) -> BaselineFile | None:
        if path not in self._files:
            self._files[path] = load_baseline(path) if path.exists() else None
        return self._files[path]


def curve_name(cell: Cell) -> str:
    """Part of the file name of a cell, beside model, engine and hardware."""
    engine = cell.engine
    return f"{engine.parallelism}-{engine.weights}-{cell.workload.shape}-{engine.mode}"


def why_not_comparable(measured: Measurement, baseline: BaselinePoint, required: Collection[str] = ()) -> str:
    """Name the first difference that forbids a comparison; empty when there is none.

    The engine's version may differ, and what comes with it: a baseline is there to show the effect.
    """
    stored = baseline.cell
    fields = (
        *((f, getattr(measured.cell.engine, f), getattr(stored.engine, f)) for f in EngineSpec.__struct_fields__),
        ("workload", workload_words(measured.cell.workload), workload_words(stored.workload)),
        ("estimator", measured.estimator, baseline.estimator),
    )
    unlike = differences(fields, sides=SIDES, unknown=())
    unlike += likeness(measured.environment, baseline.environment, required).refused
    return unlike[0] if unlike else ""


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
    """Write one baseline file, points by rising concurrency, a list of numbers on one line."""
    ordered = msgspec.structs.replace(
        file,
        points=_by_level(file.points),
        anchors=_by_level(file.anchors),
        accepted=[msgspec.structs.replace(entry, points=_by_level(entry.points)) for entry in file.accepted],
    )
    text = msgspec.json.format(msgspec.json.encode(ordered), indent=1).decode()
    numbers = re.compile(r"\[([\s0-9,.eE+-]+(?:null\s*)?)\]")
    write_whole(path, numbers.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n")


def _by_level(found: Mapping[str, T]) -> dict[str, T]:
    return dict(sorted(found.items(), key=lambda item: float(item[0].removesuffix("rps"))))


def significant(number: float, digits: int = _DIGITS) -> float:
    """Round to significant digits; zero and non-finite numbers stay as they are."""
    if number == 0 or not math.isfinite(number):
        return number
    return float(f"{number:.{digits - 1}e}")


def by_session(runs: Iterable[BaselineRun]) -> list[list[BaselineRun]]:
    """Group repeats by server start, in the order in which they were stored."""
    found: dict[str, list[BaselineRun]] = {}
    for run in runs:
        found.setdefault(run.session, []).append(run)
    return list(found.values())


def values_of(runs: Sequence[BaselineRun]) -> dict[str, Estimate]:
    """Mean of the means of the server starts by metric, with their t interval from three server starts on."""
    sessions = by_session(runs)
    return {
        key: mean([mean([run.values[key] for run in session]) for session in sessions])
        for key in METRICS
        if all(key in run.values for run in runs)
    }


def baseline_run(measurement: Measurement) -> BaselineRun:
    """Return a measurement as it is stored."""
    values = {
        key: Estimate(
            significant(estimate.value), None if estimate.half_width is None else significant(estimate.half_width, 2)
        )
        for key, estimate in measurement.values.items()
    }
    return BaselineRun(
        measured_at=measurement.measured_at,
        version=measurement.environment.version,
        session=measurement.session,
        requests=measurement.requests.finished,
        values=values,
        acceptance=measurement.acceptance and _rounded(measurement.acceptance),
        by_prompt=measurement.by_prompt,
    )


def _rounded(acceptance: Acceptance) -> Acceptance:
    return msgspec.structs.replace(
        acceptance,
        length=significant(acceptance.length),
        rate=significant(acceptance.rate),
        per_position=tuple(significant(rate) for rate in acceptance.per_position),
    )


def safe_name(name: str) -> str:
    """Make a name fit for files."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.").lower() or UNKNOWN
