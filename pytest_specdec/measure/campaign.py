"""The measuring phase of one invocation: sessions, screening runs and pairs, on the new engine and on the old one.

Every run is kept raw, and saved when it ends; a run that is resumed brings its own, which are not measured again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pytest_specdec.domain.cell import Cell, EngineSpec, Interview
from pytest_specdec.domain.likeness import likeness
from pytest_specdec.errors import InvalidInputError, NotComparableError, SpecdecError
from pytest_specdec.measure.budget import Bill
from pytest_specdec.measure.runner import Measuring, OpenEngine
from pytest_specdec.redaction import Secrets
from pytest_specdec.results.cost import Cost
from pytest_specdec.results.run import Arm, RawRun, Stage, load_run
from pytest_specdec.suite.plan import Plan

if TYPE_CHECKING:
    from pytest_specdec.domain.environment import Environment
    from pytest_specdec.engine.provision import EngineSource
    from pytest_specdec.load.point import Progress
    from pytest_specdec.measure.interview import Answers
    from pytest_specdec.measure.runner import MeasureOptions
    from pytest_specdec.results.measurement import Measurement

Opener = Callable[["EngineSource", str], Callable[[EngineSpec], AbstractContextManager[OpenEngine]]]
"""Source and name of a server's start -> opens its engines."""
PAIRS: tuple[Arm, ...] = ("reference", "candidate", "candidate", "reference")
"""One block: old, new, new, old; what drifts evenly cancels in its two pairs."""


class Listener(Protocol):
    """Whoever shows how the measuring goes."""

    def said(self, text: str) -> None:
        """Show a line that is not about a point."""

    def engine_starting(self, engine: EngineSpec) -> None:
        """Show which engine comes next."""

    def progress(self, cell: Cell, progress: Progress) -> None:
        """Show how a point comes along."""

    def measured(self, measurement: Measurement) -> None:
        """Show a finished point."""

    def not_measured(self, cells: Sequence[Cell], error: SpecdecError) -> None:
        """Show what was lost, and why."""


@dataclass(slots=True, kw_only=True)
class Campaign:
    """Carries out one stage after the other; `keep` is told after every run."""

    sources: Mapping[Arm, EngineSource]
    opener: Opener
    options: MeasureOptions
    bill: Bill
    listener: Listener
    stamp: str
    """Name of the invocation, from which the starts of servers take theirs."""
    seed: int
    keep: Callable[[], None]
    secrets: Secrets = field(default_factory=Secrets)
    """Taken out of whatever is kept or shown."""
    raw: list[RawRun] = field(default_factory=list)
    unmeasured: dict[Cell, SpecdecError] = field(default_factory=dict)
    """Why a cell of the candidate has no measurement."""
    unconfirmed: dict[Cell, SpecdecError] = field(default_factory=dict)
    """Why a cell was lost from a block of pairs, or from a fresh start; the newest reason."""
    answers: dict[Interview, Answers] = field(default_factory=dict)
    unanswered: dict[Interview, SpecdecError] = field(default_factory=dict)
    _measuring: Measuring = field(init=False)
    _now: tuple[Arm, Stage, int, int] = ("candidate", "screen", 0, 0)

    def __post_init__(self) -> None:
        self._measuring = Measuring(options=self.options, observer=self, bill=self.bill)

    # ---- stages

    def sessions(self, plan: Plan, times: Sequence[Mapping[Cell, int]]) -> None:
        """Measure cells in several sessions, each a start of its own; `times`: runs of each cell, by session."""
        count = len(times)
        for session, runs in enumerate(times):
            if count > 1:
                self.listener.said(f"session {session + 1} of {count}")
            asked = plan.asked if session == 0 else ()
            self._run(plan, runs, asked, ("candidate", "sessions" if count > 1 else "screen", session, 0))

    def screen(self, plan: Plan, times: Mapping[Cell, int]) -> None:
        """Measure cells once more each."""
        self._run(plan, times, (), ("candidate", "screen", self._next_block(), 0))

    def pairs(self, cells: Iterable[Cell], block: int) -> list[dict[Cell, Measurement]]:
        """One block of pairs: the cells on the old, new, new and old engine, a start of the server for each.

        Returns the four places in order; a cell that could not be measured is missing in its place.
        """
        wanted = dict.fromkeys(cells, 1)
        plan = Plan.of(wanted, self.seed + block)
        found: list[dict[Cell, Measurement]] = [{} for _ in PAIRS]
        for place, arm in enumerate(PAIRS):
            self._run(plan, wanted, (), (arm, "confirm", block, place))
            found[place] = {
                run.measurement.cell: run.measurement
                for run in self.raw
                if (run.arm, run.stage, run.block, run.place) == (arm, "confirm", block, place)
            }
            # A cell that is lost in one place makes no pair: its other runs would be for nothing.
            wanted = {cell: 1 for cell in wanted if cell in found[place]}
        return found

    def fresh_starts(self, cells: Iterable[Cell], block: int) -> dict[Cell, Measurement]:
        """The cells once more on a fresh start of the new engine, where the old one cannot be started."""
        wanted = dict.fromkeys(cells, 1)
        self._run(Plan.of(wanted, self.seed + block), wanted, (), ("candidate", "confirm", block, 1))
        return {
            run.measurement.cell: run.measurement
            for run in self.raw
            if (run.stage, run.block, run.place) == ("confirm", block, 1)
        }

    def runs(self, cell: Cell) -> list[Measurement]:
        """The runs of a cell that are not part of pairs."""
        return [
            run.measurement
            for run in self.raw
            if run.measurement.cell == cell and run.arm == "candidate" and run.stage != "confirm"
        ]

    def exchange(self, candidate: EngineSource) -> None:
        """Go on with the new engine's servers on other hosts."""
        self.sources = {**self.sources, "candidate": candidate}

    def cost(self) -> Cost:
        """What it has come to."""
        return self.bill.cost()

    def resume(self, path: Path) -> None:
        """Take over what a run has measured; of its pairs only whole blocks, for halves of two days are no pair.

        Raises:
            BrokenFileError: it cannot be read.
            InvalidInputError: it holds nothing.
        """
        run = load_run(path)
        if not run.raw:
            raise InvalidInputError(f"--specdec-resume {path}: nothing was measured in it")
        places = Counter((raw.block, raw.measurement.cell) for raw in run.raw if raw.stage == "confirm")
        least = len(PAIRS) if "reference" in self.sources else 1
        self.raw = [
            raw for raw in run.raw if raw.stage != "confirm" or places[raw.block, raw.measurement.cell] >= least
        ]

    # ---- what the measuring tells

    def engine_starting(self, engine: EngineSpec) -> None:
        """Pass on."""
        self.listener.engine_starting(engine)

    def engine_known(self, engine: EngineSpec, environment: Environment) -> None:
        """Refuse to go on with another engine than an interrupted run had, or with an old one that is unlike the new.

        Raises:
            InvalidInputError: version or facts differ.
            NotComparableError: the old engine differs from the new one in more than an upgrade may bring.
        """
        arm = self._now[0]
        if arm == "reference":
            self._refuse_unlike(engine, environment)
        for run in self.raw:
            then = run.measurement.environment
            if run.arm == arm and run.measurement.cell.engine == engine:
                for name, a, b in (
                    ("version", environment.version, then.version),
                    ("hardware", environment.hardware, then.hardware),
                    ("facts", environment.facts, then.facts),
                ):
                    if a != b:
                        raise InvalidInputError(
                            f"{name} of {engine} changed within the run: {b!r} before, {a!r} now; runs of two engines "
                            "are not of one measurement"
                        )

    def said(self, text: str) -> None:
        """Pass on."""
        self.listener.said(self.secrets.redact(text))

    def progress(self, cell: Cell, progress: Progress) -> None:
        """Pass on."""
        self.listener.progress(cell, progress)

    def measured(self, measurement: Measurement) -> None:
        """Keep at once."""
        arm, stage, block, place = self._now
        measurement = self.secrets.clean(measurement, keep=("cell",))
        self.raw.append(RawRun(measurement=measurement, arm=arm, stage=stage, block=block, place=place))
        self.keep()
        self.listener.measured(measurement)

    def answered(self, interview: Interview, answers: Answers) -> None:
        """Keep."""
        self.answers[interview] = answers

    def not_answered(self, interview: Interview, error: SpecdecError) -> None:
        """Keep the reason."""
        error = self.secrets.error(error)
        self.unanswered[interview] = error
        self.listener.said(f"{interview} was not asked: {error}")

    def not_measured(self, cells: Sequence[Cell], error: SpecdecError) -> None:
        """Keep the reason, where it is the judged engine's and not a pair's."""
        error = self.secrets.error(error)
        if self._now[1] != "confirm":
            self.unmeasured.update(dict.fromkeys(cells, error))
        else:
            self.unconfirmed.update(dict.fromkeys(cells, error))
        self.listener.not_measured(list(dict.fromkeys(cells)), error)

    # ---- helpers

    def _refuse_unlike(self, engine: EngineSpec, old: Environment) -> None:
        """Pairs tell what the upgrade did only where nothing else differs."""
        for run in self.raw:
            if run.arm == "candidate" and run.measurement.cell.engine == engine:
                refused = likeness(run.measurement.environment, old).refused
                if refused:
                    raise NotComparableError(f"the old engine cannot stand beside the new one: {refused[0]}")

    def _run(
        self,
        plan: Plan,
        times: Mapping[Cell, int],
        asked: Sequence[Interview],
        now: tuple[Arm, Stage, int, int],
    ) -> None:
        """Measure what is left of a stage's part."""
        arm, stage, block, place = self._now = now
        done = Counter(
            run.measurement.cell
            for run in self.raw
            if (run.arm, run.stage, run.block, run.place) == (arm, stage, block, place)
        )
        left = {cell: max(0, count - done[cell]) for cell, count in times.items()}
        part = plan.repeated(left, self.seed + 97 * block + place, asked)
        if part.cells or part.asked:
            source = self.sources[arm]
            # What is measured beside the plan is for the tables: once is enough, and pairs are of the suspects only.
            refine = stage != "confirm" and block == 0
            self._measuring.measure(part, self._opener(source), starts=source.restarts, refine=refine)

    def _opener(self, source: EngineSource) -> Callable[[EngineSpec], AbstractContextManager[OpenEngine]]:
        @contextmanager
        def open_engine(engine: EngineSpec) -> Iterator[OpenEngine]:
            with self.opener(source, self._session(source))(engine) as running:
                yield running

        return open_engine

    def _session(self, source: EngineSource) -> str:
        """Name of a start of the server: engines of one session share it, for they share its day and its machine."""
        _, stage, block, place = self._now
        if not source.restarts:
            return f"{self.stamp}.1"
        return f"{self.stamp}.{block}{'abcd'[place]}" if stage == "confirm" else f"{self.stamp}.{block + 1}"

    def _next_block(self) -> int:
        """Of runs that are no pairs: after the sessions of a new baseline too."""
        return 1 + max((run.block for run in self.raw if run.stage != "confirm"), default=-1)
