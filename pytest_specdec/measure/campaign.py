"""The measuring of one invocation: repeats, further repeats and pairs, on the candidate and on the reference engine.

Every repeat is kept raw, and saved when it ends; those of a resumed run are not measured again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from pytest_specdec.domain.cell import Cell, EngineSpec, Interview
from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.likeness import likeness
from pytest_specdec.errors import InvalidInputError, NotComparableError, SpecdecError
from pytest_specdec.measure.budget import Bill
from pytest_specdec.measure.interview import Answers
from pytest_specdec.measure.live_engine import Connect, OpenEngine, PointOptions
from pytest_specdec.measure.measured import Measured, Sink
from pytest_specdec.measure.progress import Listener
from pytest_specdec.measure.runner import Runner
from pytest_specdec.redaction import Secrets
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Arm, RawRun, Stage, load_run
from pytest_specdec.suite.plan import Plan

OpenArm = Callable[[Arm, EngineSpec, str], AbstractContextManager[OpenEngine]]
"""Arm, engine and name of the server's start -> the engine, up while the context lasts."""
PAIRS: tuple[Arm, ...] = ("reference", "candidate", "candidate", "reference")
"""One block: reference, candidate, candidate, reference; even drift cancels in its two pairs."""


class Place(NamedTuple):
    """Part of the campaign that a repeat belongs to."""

    arm: Arm
    stage: Stage
    block: int
    """Server start, or block of pairs."""
    position: int = 0
    """Position in a block of pairs."""

    @classmethod
    def of(cls, run: RawRun) -> Place:
        """Return the place of a repeat."""
        return cls(run.arm, run.stage, run.block, run.place)


_START = Place("candidate", "screen", 0)


@dataclass(slots=True, kw_only=True)
class Campaign:
    """Carries out one stage after the other; each repeat goes to the sink as soon as it has ended."""

    restarts: Mapping[Arm, bool]
    """The arms that there are, and which of them start a server of their own."""
    open_arm: OpenArm
    connect: Connect
    point: PointOptions
    levels: tuple[float, ...]
    """Interactivity levels to refine at, tok/s/user."""
    bill: Bill
    listener: Listener
    stamp: str
    """Name of the invocation, from which the starts of servers take theirs."""
    seed: int
    sink: Sink
    secrets: Secrets = field(default_factory=Secrets)
    """Taken out of whatever is kept or shown."""
    unconfirmed: dict[Cell, SpecdecError] = field(default_factory=dict)
    """Newest reason why a cell was lost from a block of pairs, or from a fresh start."""
    found: Measured = field(default_factory=Measured)
    _runner: Runner = field(init=False)
    _now: Place = field(default=_START, init=False)

    def __post_init__(self) -> None:
        self._runner = Runner(
            point=self.point,
            connect=self.connect,
            results=self,
            listener=self.listener,
            bill=self.bill,
            levels=self.levels,
        )

    # ---- stages

    def repeats(self, plan: Plan, times: Sequence[Mapping[Cell, int]]) -> None:
        """Measure cells on several server starts; `times`: repeats of each cell, by server start."""
        count = len(times)
        for number, repeats in enumerate(times):
            if count > 1:
                self.listener.said(f"server start {number + 1} of {count}")
            place = Place("candidate", "sessions" if count > 1 else "screen", number)
            self._carry_out(plan, repeats, plan.asked if number == 0 else (), place)

    def screen(self, plan: Plan, times: Mapping[Cell, int]) -> None:
        """Measure cells once more each."""
        # After the server starts of a new baseline, too.
        block = 1 + max((run.block for run in self.found.raw if run.stage != "confirm"), default=-1)
        self._carry_out(plan, times, (), Place("candidate", "screen", block))

    def pairs(self, cells: Iterable[Cell], block: int) -> list[dict[Cell, Measurement]]:
        """Measure one block of pairs: reference, candidate, candidate, reference, a server start for each.

        Returns the four positions in order; a cell that could not be measured is missing in its position.
        """
        wanted = dict.fromkeys(cells, 1)
        plan = Plan.of(wanted, self.seed + block)
        found: list[dict[Cell, Measurement]] = []
        for position, arm in enumerate(PAIRS):
            place = Place(arm, "confirm", block, position)
            self._carry_out(plan, wanted, (), place)
            found.append(self._at(place))
            # A cell that is lost in one position makes no pair: its other repeats would be wasted.
            wanted = {cell: 1 for cell in wanted if cell in found[-1]}
        return found

    def fresh_starts(self, cells: Iterable[Cell], block: int) -> dict[Cell, Measurement]:
        """Measure the cells once more on a fresh start of the candidate, where there is no reference engine."""
        wanted = dict.fromkeys(cells, 1)
        place = Place("candidate", "confirm", block, 1)
        self._carry_out(Plan.of(wanted, self.seed + block), wanted, (), place)
        return self._at(place)

    # ---- results of the runner

    def engine_known(self, engine: EngineSpec, environment: Environment) -> None:
        """Refuse to go on with another engine than before, or with a reference that is unlike the candidate.

        Raises:
            InvalidInputError: version or facts differ from those of an earlier repeat.
            NotComparableError: the reference differs from the candidate in more than an upgrade may bring.
        """
        for run in self.found.raw:
            then = run.measurement.environment
            if run.measurement.cell.engine != engine:
                continue
            if self._now.arm == "reference" and run.arm == "candidate":
                # Pairs show the effect of the upgrade only where nothing else differs.
                if refused := likeness(then, environment).refused:
                    raise NotComparableError(f"reference and candidate engine are not comparable: {refused[0]}")
            elif run.arm == self._now.arm:
                for name, a, b in (
                    ("version", environment.version, then.version),
                    ("hardware", environment.hardware, then.hardware),
                    ("facts", environment.facts, then.facts),
                ):
                    if a != b:
                        raise InvalidInputError(
                            f"{name} of {engine} changed within the run: {b!r} before, {a!r} now; repeats of two "
                            "engines cannot be averaged"
                        )

    def measured(self, measurement: Measurement) -> None:
        """Keep a point at once."""
        arm, stage, block, position = self._now
        measurement = self.secrets.clean(measurement, keep=("cell",))
        run = RawRun(measurement=measurement, arm=arm, stage=stage, block=block, place=position)
        self._keep(replace(self.found, raw=(*self.found.raw, run)))
        self.listener.measured(measurement)

    def not_measured(self, cells: Sequence[Cell], error: SpecdecError) -> None:
        """Keep the reason: as the candidate's own, or as that of a lost confirmation."""
        error = self.secrets.error(error)
        lost = dict.fromkeys(cells, error)
        if self._now.stage == "confirm":
            self.unconfirmed |= lost
        else:
            self.found = replace(self.found, lost={**self.found.lost, **lost})
        self.listener.not_measured(list(lost), error)

    def answered(self, interview: Interview, answers: Answers) -> None:
        """Keep an engine's answers."""
        self.found = replace(self.found, answers={**self.found.answers, interview: answers})

    def not_answered(self, interview: Interview, error: SpecdecError) -> None:
        """Keep the reason why there are no answers."""
        error = self.secrets.error(error)
        self.found = replace(self.found, unanswered={**self.found.unanswered, interview: error})
        self.listener.said(f"{interview} was not asked: {error}")

    def swapped(self, found: Mapping[Cell, Measurement]) -> None:
        """Keep the same cells with the servers exchanged between the hosts."""
        self._keep(replace(self.found, swapped=found))

    def finished(self, *, complete: bool) -> Measured:
        """Close the bill; `complete`: the measuring came to its end, if only to that of its budget."""
        self.found = replace(self.found, cost=self.bill.cost(), complete=complete)
        return self.found

    def said(self, text: str) -> None:
        """Show a line."""
        self.listener.said(self.secrets.redact(text))

    # ---- helpers

    def _keep(self, found: Measured) -> None:
        self.found = found
        self.sink(found)

    def _at(self, place: Place) -> dict[Cell, Measurement]:
        return {run.measurement.cell: run.measurement for run in self.found.raw if Place.of(run) == place}

    def _carry_out(self, plan: Plan, times: Mapping[Cell, int], asked: Sequence[Interview], place: Place) -> None:
        """Measure what is left of a part."""
        self._now = place
        arm, stage, block, position = place
        done = Counter(run.measurement.cell for run in self.found.raw if Place.of(run) == place)
        left = {cell: max(0, count - done[cell]) for cell, count in times.items()}
        part = plan.repeated(left, self.seed + 97 * block + position, asked)
        if part.cells or part.asked:
            start = self._server_start(place)
            self._runner.carry_out(
                part,
                lambda engine: self.open_arm(arm, engine, start),
                starts=self.restarts[arm],
                # Points beside the plan are for the tables: once is enough.
                refine=stage != "confirm" and block == 0,
            )

    def _server_start(self, place: Place) -> str:
        """Name of a server start: engines of one start share it, for they share its day and its machine."""
        if not self.restarts[place.arm]:
            return f"{self.stamp}.1"
        if place.stage == "confirm":
            return f"{self.stamp}.{place.block}{'abcd'[place.position]}"
        return f"{self.stamp}.{place.block + 1}"


def resumed(path: Path, *, paired: bool) -> tuple[RawRun, ...]:
    """Read the runs that an invocation goes on with; of pairs only whole blocks, for halves of two days are no pair.

    Raises:
        BrokenFileError: it cannot be read.
        InvalidInputError: it holds nothing.
    """
    run = load_run(path)
    if not run.raw:
        raise InvalidInputError(f"--specdec-resume {path}: nothing was measured in it")
    positions = Counter((raw.block, raw.measurement.cell) for raw in run.raw if raw.stage == "confirm")
    least = len(PAIRS) if paired else 1
    return tuple(
        raw for raw in run.raw if raw.stage != "confirm" or positions[raw.block, raw.measurement.cell] >= least
    )
