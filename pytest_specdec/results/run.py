"""A saved run: every measurement of one invocation in one file, with its verdicts.

The file is rewritten after each point, so an interrupted run keeps what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from pytest_specdec.domain.cell import EngineSpec, Workload, cell_prefix
from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import BrokenFileError, SpecdecError
from pytest_specdec.outputs.verdict import OutputVerdict
from pytest_specdec.results.cost import Cost
from pytest_specdec.results.decision import FixedDecision, SuiteDecision
from pytest_specdec.results.files import write_whole
from pytest_specdec.results.measurement import STORED, Measurement, curve_of
from pytest_specdec.results.verdict import Verdict

RUN_SCHEMA = "specdec-run/1"

Arm = Literal["candidate", "reference"]
Stage = Literal["sessions", "screen", "confirm"]


class RawRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One repeat of one cell, before anything is averaged."""

    measurement: Measurement
    arm: Arm = "candidate"
    """Engine: the candidate, which is judged, or the reference."""
    stage: Stage = "screen"
    """Purpose: server starts of a baseline, the screen, or the confirmation."""
    block: int = 0
    """Number of the server start, or of the block of pairs."""
    place: int = 0
    """Position in a block: reference, candidate, candidate, reference."""


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Measurements and decisions of one invocation."""

    schema: str = RUN_SCHEMA
    tool_version: str
    started_at: str
    command: str = ""
    complete: bool = False
    """False for an interrupted run and while it is being measured."""
    measurements: tuple[Measurement, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    decision: SuiteDecision | None = None
    """Decision of the gate over the whole suite, with its error rates."""
    noise_source: str = ""
    """Origin of the noise that the gate judged by: measured, selftest or assumed."""
    fixed: FixedDecision | None = None
    """Decision of a fixed margin, where the user chose one, with its error rates."""
    not_measured: dict[str, str] = {}
    """Planned cell without a measurement -> reason."""
    raw: tuple[RawRun, ...] = ()
    """Every repeat by itself."""
    cost: Cost | None = None
    """Total cost; None until the run finishes."""
    swapped: tuple[Measurement, ...] = ()
    """The same cells with the servers exchanged between the hosts."""
    stored: tuple[Measurement, ...] = ()
    """Baselines that stood in for an Off mode that no endpoint served."""
    attempts: dict[str, tuple[str, ...]] = {}
    """Rerun test -> outcome of each attempt."""
    outputs: dict[str, tuple[OutputVerdict, ...]] = {}
    """Engine, with details where names are equal -> verdicts on its answers against Off's."""

    @property
    def simulated(self) -> bool:
        """True where a measurement comes from the simulated engine."""
        return any(m.environment.simulated for m in self.measurements)


def by_curve(measurements: Iterable[Measurement]) -> dict[tuple[EngineSpec, Workload], list[Measurement]]:
    """Group measurements by curve, in the order of engines and workloads."""
    groups: dict[tuple[EngineSpec, Workload], list[Measurement]] = {}
    for measurement in sorted(measurements, key=lambda m: m.cell):
        groups.setdefault(measurement.curve_key, []).append(measurement)
    return groups


def over_concurrency(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Keep the points of a closed loop: points at request rates have no curve to be read between them."""
    return [m for m in measurements if not m.cell.rate]


def compare_modes(measurements: Iterable[Measurement]) -> tuple[list[Comparison], list[str]]:
    """Compare each MTP curve with the Off curve of the same model, precision, parallelism and workload.

    Returns the comparisons, and the reasons why others are impossible. Points at a request rate are left out.
    """
    groups = by_curve(over_concurrency(measurements))
    comparisons, why_not = [], []
    for (engine, workload), group in groups.items():
        reference = groups.get((engine.off(), workload))
        if engine.speculation.active and reference:
            try:
                comparisons.append(mtp_against_off(group, reference))
            except SpecdecError as error:
                why_not.append(f"{cell_prefix(engine, workload)}: {error}")
    return comparisons, why_not


def mtp_against_off(mtp: Sequence[Measurement], off: Sequence[Measurement]) -> Comparison:
    """Compare two groups of measurements, with cautions where the difference may not come from MTP.

    Raises:
        NotComparableError: the groups differ in more than the mode.
    """
    cautions = []
    if any(m.environment.simulated for m in (*mtp, *off)):
        cautions.append("SIMULATED: no hardware was measured")
    names = mode_title(mtp[0].cell.engine), "Off"
    if (pinned := mtp[0].cell.engine.speculation.pinned_length) is not None:
        cautions.append(f"acceptance length is pinned to {pinned:g}: the speed of the system, not of real text")
    if all(STORED in m.notes for m in off):
        day = off[0].measured_at[:10]
        names = names[0], f"Off (stored {day})"
        cautions.append(f"Off is the stored baseline of {day}, version {off[0].environment.version}, not of this run")
    else:
        hosts = [sorted({_host(m) for m in group}) for group in (mtp, off)]
        if hosts[0] != hosts[1]:
            cautions.append(
                f"MTP ran on {', '.join(hosts[0])} and Off on {', '.join(hosts[1])}: the difference may be the "
                "node's; --specdec-swap measures both ways round"
            )
    noted = sorted({f"{m.cell}: {note}" for m in (*mtp, *off) for note in m.notes if note != STORED})
    return Comparison(curve_of(mtp), curve_of(off), price=mtp[0].price, names=names, cautions=(*cautions, *noted))


def mode_title(engine: EngineSpec) -> str:
    """`MTP 3`, `MTP 3 AL 2.5`, `Off`."""
    return engine.speculation.title


def merge_swapped(first: Measurement, second: Measurement) -> Measurement:
    """Join one cell measured on two hosts: geometric means, so that the hosts' difference cancels in any ratio.

    Findings on either host are findings of the cell.
    """
    values = {}
    for key, a in first.values.items():
        b = second.values.get(key)
        if b is not None and a.value > 0 and b.value > 0:
            value = math.sqrt(a.value * b.value)
            known = [e.relative for e in (a, b) if e.relative is not None]
            values[key] = Estimate(value, value * math.hypot(*known) / 2 if len(known) == 2 else None)
    change = second.throughput.value / first.throughput.value - 1
    note = f"mean of two hosts: {_host(second)} gave {change:+.1%} throughput against {_host(first)}"
    return msgspec.structs.replace(
        first,
        values=values,
        environment=msgspec.structs.replace(first.environment, endpoint="both hosts"),
        findings=tuple(dict.fromkeys((*first.findings, *second.findings))),
        client=max((first, second), key=lambda run: bool(run.client_limited)).client,
        notes=(*dict.fromkeys((*first.notes, *second.notes)), note),
    )


def _host(measurement: Measurement) -> str:
    return urlsplit(measurement.environment.endpoint).hostname or measurement.environment.endpoint


def run_json(run: Run) -> str:
    """Return the content of a saved run."""
    return msgspec.json.format(msgspec.json.encode(run), indent=1).decode() + "\n"


def save_run(run: Run, path: Path) -> None:
    """Write a run as JSON."""
    write_whole(path, run_json(run))


def is_run(content: bytes) -> bool:
    """Tell if a file's content claims to be a saved run."""
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
