"""A saved run: every measurement of one invocation in one file, with the verdicts that were given.

The file is rewritten after each point, so an interrupted run keeps what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from pytest_specdec.cell import EngineSpec, Workload
from pytest_specdec.curve import Curve
from pytest_specdec.errors import BrokenFileError
from pytest_specdec.files import write_whole
from pytest_specdec.gate import Verdict
from pytest_specdec.measurement import Measurement, curve_of

RUN_SCHEMA = "specdec-run/1"


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that one invocation measured and decided."""

    schema: str = RUN_SCHEMA
    tool_version: str
    started_at: str
    command: str = ""
    complete: bool = False
    """False for an interrupted run and while it is being measured."""
    measurements: tuple[Measurement, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    not_measured: dict[str, str] = {}
    """Cell -> why it was planned and yet not measured."""
    swapped: tuple[Measurement, ...] = ()
    """The same cells with the servers exchanged between the hosts."""

    @property
    def simulated(self) -> bool:
        """Whether any of it comes from the simulated engine."""
        return any(m.environment.simulated for m in self.measurements)


def curves_by_key(measurements: Iterable[Measurement]) -> dict[tuple[EngineSpec, Workload], Curve]:
    """Group measurements into curves, in the order of engines and workloads."""
    groups: dict[tuple[EngineSpec, Workload], list[Measurement]] = {}
    for measurement in sorted(measurements, key=lambda m: m.cell):
        groups.setdefault(measurement.curve_key, []).append(measurement)
    return {key: curve_of(group) for key, group in groups.items()}


def save_run(run: Run, path: Path) -> None:
    """Write a run as JSON."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(run), indent=1).decode() + "\n")


def is_run(content: bytes) -> bool:
    """Whether a file's content claims to be a saved run."""
    return content.lstrip()[:200].replace(b" ", b"").replace(b"\n", b"").startswith(b'{"schema":"specdec-run')


def load_run(path: Path) -> Run:
    """Read a saved run.

    Raises:
        BrokenFileError: missing, cut off, or not a run of this version.
    """
    try:
        run = msgspec.json.decode(path.read_bytes(), type=Run)
    except OSError as error:
        raise BrokenFileError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenFileError(f"{path} is not a saved run: {error}") from error
    if run.schema != RUN_SCHEMA:
        raise BrokenFileError(f"{path} has schema {run.schema!r}; this version reads {RUN_SCHEMA!r}")
    return run
