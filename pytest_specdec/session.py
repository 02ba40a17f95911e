"""What the plugin knows during one pytest session: subjects, plan, measurements, verdicts.

It holds no pytest hook and prints nothing; the hooks in `plugin` call it, and `progress` and the reports show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec import __version__
from pytest_specdec.cell import Cell, EngineSpec
from pytest_specdec.errors import EngineError, InconclusiveError, InvalidInputError, NotMeasuredError, SpecdecError
from pytest_specdec.matrix import ComparisonSubject, CurveSubject, OutputSubject, cell_axes, engine_axes
from pytest_specdec.recorder import Listener, Recorder
from pytest_specdec.settings import Settings

if TYPE_CHECKING:
    from pytest_specdec.baseline import BaselinePoint, Baselines
    from pytest_specdec.comparison import Comparison
    from pytest_specdec.cost import Price
    from pytest_specdec.curve import Curve
    from pytest_specdec.engine.sources import EngineSource
    from pytest_specdec.gate.verdict import Verdict
    from pytest_specdec.matrix import Matrix
    from pytest_specdec.measurement import Measurement
    from pytest_specdec.measuring.asking import Answers
    from pytest_specdec.measuring.carry_out import MeasureOptions, OpenEngine
    from pytest_specdec.measuring.engines import AskHook
    from pytest_specdec.outputs.checks import Outputs
    from pytest_specdec.plan import Plan
    from pytest_specdec.prompts.file import PromptFile
    from pytest_specdec.run import Run

_INTERRUPTED = "interrupted"
Subject = Cell | CurveSubject | ComparisonSubject | OutputSubject


class SpecdecSession:
    """State of one session; created idle, so that it costs nothing where the plugin is not used."""

    def __init__(self, settings: Settings, command: str, ask_hook: AskHook) -> None:
        self.settings = settings
        self.command = command
        self._ask_hook = ask_hook
        self.hardware: dict[EngineSpec, str] = {}
        self.prompt_files: dict[str, PromptFile] = {}
        """By the workload's name of its prompts."""
        self.subjects: list[Subject] = []
        self.wants_baseline = False
        self.plan: Plan | None = None
        self.measured: dict[Cell, Measurement] = {}
        self.swapped: dict[Cell, Measurement] = {}
        self.unmeasured: dict[Cell, SpecdecError] = {}
        """Why a planned cell has no measurement: the engine, the user's input, or (inconclusive) the budget."""
        self.stored: dict[Cell, Measurement] = {}
        """Baselines that stand in for the Off mode where no endpoint serves it."""
        self.verdicts: dict[Cell, Verdict] = {}
        self.answers: dict[EngineSpec, Answers] = {}
        self.unanswered: dict[EngineSpec, SpecdecError] = {}
        self.judged_outputs: dict[OutputSubject, Outputs] = {}
        self.done = False
        self.run_path: Path | None = None
        self.deselection_reasons: list[str] = []
        self.ending: list[tuple[str, dict[str, bool]]] = []
        """What was written at the end, and what could not be."""
        self._started_at = datetime.now(UTC)
        self._baselines: Baselines | None = None
        self._source: EngineSource | None = None
        self.listener: Listener | None = None
        """Whoever shows how the measuring goes, while it goes."""

    # ---- collection

    def declare(self, subject: Subject, matrix: Matrix) -> None:
        """Remember which GPU a suite says that its engines run on, and the prompts that it brings.

        Raises:
            InvalidInputError: two suites say different things of one engine.
        """
        for engine in engines_of(subject):
            earlier = self.hardware.setdefault(engine, matrix.hardware)
            if earlier != matrix.hardware:
                raise InvalidInputError(f"{engine} is declared on {earlier!r} and on {matrix.hardware!r}: choose one")
        for cell in cells_of(subject):
            if matrix.prompts is not None:
                self.prompt_files[cell.workload.prompts] = matrix.prompts

    def narrow(self, subject: Subject) -> Subject | None:
        """Apply `--specdec-only`; None when nothing is left. An MTP filter keeps the Off side of a comparison."""
        if isinstance(subject, Cell):
            return subject if self._kept(subject) else None
        if isinstance(subject, OutputSubject):
            axes = engine_axes(subject.engine)
            kept_engine = all(axes[axis] in values for axis, values in self.settings.only if axis in axes)
            return subject if kept_engine else None
        if isinstance(subject, CurveSubject):
            kept = tuple(cell.concurrency for cell in subject.cells if self._kept(cell))
            return replace(subject, concurrencies=kept) if kept else None
        candidate = self.narrow(subject.candidate)
        if not isinstance(candidate, CurveSubject):
            return None
        return ComparisonSubject(
            candidate=candidate, reference=replace(subject.reference, concurrencies=candidate.concurrencies)
        )

    def refusals(self, subjects: Sequence[Subject]) -> dict[Subject, str]:
        """Subjects for which there is no engine, with the reason.

        A comparison whose MTP side is missing stays in, and fails, when no other comparison of its workload can be
        made: a suite that compares nothing must not look green.
        """
        source = self.source(subjects)
        refused: dict[Subject, str] = {}
        comparable = {
            (s.candidate.engine.model, s.candidate.workload)
            for s in subjects
            if isinstance(s, ComparisonSubject) and not source.refusal(s.candidate.engine)
        }
        for subject in subjects:
            engine = subject.candidate.engine if isinstance(subject, ComparisonSubject) else subject.engine
            reason = source.refusal(engine)
            alone = isinstance(subject, ComparisonSubject) and (
                (engine.model, subject.candidate.workload) not in comparable
            )
            if reason and not alone and not source.simulated:
                refused[subject] = reason
        return refused

    def source(self, subjects: Sequence[Subject]) -> EngineSource:
        """Where engines come from; modes that the user did not name are read from the endpoints here.

        Raises:
            EngineError: an endpoint without a named mode cannot be asked for it.
            InvalidInputError: no such simulated preset.
        """
        if self._source is None:
            from pytest_specdec.measuring.engines import engine_source

            specs = list(dict.fromkeys(engine for subject in subjects for engine in engines_of(subject)))
            self._source = engine_source(self.settings, specs, self._say, self._ask_hook)
        return self._source

    def make_plan(self, subjects: Iterable[Subject]) -> None:
        """Plan the cells of the tests that are left."""
        from pytest_specdec.plan import Plan

        self.subjects = list(subjects)
        source = self.source(self.subjects)
        cells = {cell for subject in self.subjects for cell in cells_of(subject)}
        # The Off side of a comparison may come from a stored baseline.
        asked = {
            engine: subject.thinking
            for subject in self.subjects
            if isinstance(subject, OutputSubject)
            for engine in engines_of(subject)
        }
        self.unanswered = {e: EngineError(source.refusal(e)) for e in asked if source.refusal(e)}
        self.plan = Plan.of(
            (cell for cell in cells if not source.refusal(cell.engine)),
            self.settings.seed,
            {engine: thinking for engine, thinking in asked.items() if engine not in self.unanswered},
        )
        for cell in cells - set(self.plan.cells):
            self.unmeasured[cell] = EngineError(source.refusal(cell.engine))

    def plan_words(self) -> str:
        """`4 engines, 20 points, about 6 min, about $1.90`."""
        assert self.plan is not None, "unreachable because the plan is made first"
        source = self.source(self.subjects)
        rounds = 1 if self.settings.swap is None else 2
        least, most = (
            rounds * self.plan.seconds(window_s=window_s, settle_s=self.settings.settle_s, start_s=source.start_s)
            for window_s in self.settings.window_s
        )
        return self.plan.words(least_s=least, most_s=most, price=self.price(""), simulated=source.simulated)

    # ---- measuring

    def measure(self, listener: Listener) -> None:
        """Measure the whole plan once, then judge the suite once."""
        from pytest_specdec.measuring.carry_out import measure_plan
        from pytest_specdec.measuring.engines import exchange_hosts
        from pytest_specdec.run import merge_swapped

        assert self.plan is not None, "unreachable because the plan is made first"
        settings, options = self.settings, self._options()
        self.listener = listener
        self.run_path = _new_run_path(settings.runs, self._started_at)
        recorder = Recorder(self, listener)
        try:
            measure_plan(self.plan, self._opener(self.source(self.subjects)), options, recorder)
            if settings.swap is not None:
                recorder.into = self.swapped
                exchanged = exchange_hosts(
                    self.source(self.subjects), settings, next(iter(self.hardware)).model, self._say
                )
                measure_plan(replace(self.plan, asked={}), self._opener(exchanged), options, recorder)
                for cell in self.measured.keys() & self.swapped.keys():
                    self.measured[cell] = merge_swapped(self.measured[cell], self.swapped[cell])
        finally:
            # Also after Ctrl-C: what was measured is judged and kept.
            for cell in self.plan.cells:
                if cell not in self.measured:
                    self.unmeasured.setdefault(cell, InconclusiveError(_INTERRUPTED))
            self.verdicts = self._judge()
            self.judged_outputs = self._judge_outputs()
            self._find_stored()
            self.done = not any(str(error) == _INTERRUPTED for error in self.unmeasured.values())
            self.save()

    def measure_apart(self, cell: Cell, listener: Listener) -> Measurement:
        """Measure one cell outside the plan.

        Raises:
            EngineError: there is no such engine, or it could not be measured.
        """
        from pytest_specdec.measuring.carry_out import measure_plan
        from pytest_specdec.plan import Plan

        self.listener = listener
        source = self.source([cell])
        if reason := source.refusal(cell.engine):
            raise EngineError(reason)
        recorder = Recorder(self, listener)
        recorder.into = {}
        measure_plan(Plan(cells=(cell,)), self._opener(source), self._options(), recorder)
        if cell not in recorder.into:
            raise self.unmeasured.pop(cell)
        return recorder.into[cell]

    def price(self, hardware: str) -> Price:
        """Price that the user gave, else the list price of the hardware.

        Raises:
            InvalidInputError: neither; the message says how to give one.
        """
        from pytest_specdec.cost import Price, list_price

        if self.settings.gpu_hour_usd is not None and self.settings.gpu_kw is not None:
            return Price(usd_per_gpu_hour=self.settings.gpu_hour_usd, kw_per_gpu=self.settings.gpu_kw)
        return list_price(hardware or next(iter(self.hardware.values()), ""))

    def save(self) -> None:
        """Write the run as it stands."""
        from pytest_specdec.run import save_run

        if self.run_path is not None:
            save_run(self.run(), self.run_path)

    def run(self) -> Run:
        """The session as a saved run."""
        from pytest_specdec.run import Run

        return Run(
            tool_version=__version__,
            started_at=self._started_at.isoformat(timespec="seconds"),
            command=self.command,
            complete=self.done and not self.unmeasured,
            measurements=tuple(sorted(self.measured.values(), key=lambda m: m.cell)),
            verdicts=tuple(sorted(self.verdicts.values(), key=lambda v: v.cell)) if self.wants_baseline else (),
            not_measured={str(cell): str(error) for cell, error in self.unmeasured.items()},
            swapped=tuple(sorted(self.swapped.values(), key=lambda m: m.cell)),
            stored=tuple(sorted(self.stored.values(), key=lambda m: m.cell)),
            outputs={str(subject): found.verdicts for subject, found in self.judged_outputs.items()},
        )

    # ---- what tests read

    def measurement(self, cell: Cell) -> Measurement:
        """Return the measurement of a cell.

        Raises:
            EngineError: its engine could not be measured.
            InconclusiveError: the budget or an interruption left it out.
        """
        if cell in self.measured:
            return self.measured[cell]
        error = self.unmeasured.get(cell, InconclusiveError("not planned"))
        raise type(error)(f"{cell} was not measured: {error}")

    def curve(self, subject: CurveSubject) -> Curve:
        """Return the curve of a subject; every point must have been measured."""
        from pytest_specdec.measurement import curve_of

        return curve_of(self._points(subject))

    def comparison(self, subject: ComparisonSubject) -> Comparison:
        """Return MTP against Off; Off from the stored baselines where no endpoint serves it.

        Raises:
            EngineError: an engine could not be measured.
            NotMeasuredError: Off was neither measured nor stored.
        """
        from pytest_specdec.run import mtp_against_off

        mtp = self._points(subject.candidate)
        if self.source(self.subjects).refusal(subject.reference.engine):
            return mtp_against_off(mtp, self._stored(subject.reference, mtp[0]))
        return mtp_against_off(mtp, self._points(subject.reference))

    def outputs(self, subject: OutputSubject) -> Outputs:
        """Judge what an MTP engine said against what Off said.

        Raises:
            EngineError: one of them could not be asked.
        """
        for engine in engines_of(subject):
            if engine not in self.answers:
                raise EngineError(f"{engine} was not asked: {self.unanswered.get(engine, _INTERRUPTED)}")
        return self.judged_outputs[subject]

    @property
    def baselines(self) -> Baselines:
        """The stored baselines."""
        from pytest_specdec.baseline import Baselines

        if self._baselines is None:
            self._baselines = Baselines(self.settings.baselines)
        return self._baselines

    def baseline(self, cell: Cell) -> BaselinePoint | None:
        """What is stored for a cell that was measured."""
        return self.baselines.find(cell, self.measurement(cell).environment)

    def accept(self) -> tuple[Mapping[Path, Sequence[Cell]], str]:
        """Store the measurements as baselines when the user asked for it.

        Returns what was written, and why nothing was (empty when it was).
        """
        if self.settings.update is None or self.plan is None:
            return {}, ""
        missing = [cell for cell in self.plan.cells if cell not in self.measured]
        if missing or not self.done:
            return {}, f"baselines were not updated: {len(missing)} planned points were not measured"
        planned = [self.measured[cell] for cell in self.plan.cells]
        refused = [m for m in planned if m.why_no_baseline]
        if refused:
            return {}, (
                f"baselines were not updated: {len(refused)} of {len(planned)} points must not become one, such as "
                f"{refused[0].cell}: {refused[0].why_no_baseline}"
            )
        written = self.baselines.update(planned, replace=self.settings.update == "all")
        return written, "" if written else "baselines were not updated: every point has one already"

    # ---- helpers

    def _kept(self, cell: Cell) -> bool:
        axes = cell_axes(cell)
        return all(axes[axis] in values for axis, values in self.settings.only)

    def _points(self, subject: CurveSubject) -> list[Measurement]:
        """The points of a curve, with those that were measured beside the plan."""
        planned = [self.measurement(cell) for cell in subject.cells]
        key = subject.engine, subject.workload
        return planned + [m for m in self.measured.values() if m.curve_key == key and m not in planned]

    def _say(self, text: str) -> None:
        if self.listener is not None:
            self.listener.said(text)

    def _options(self) -> MeasureOptions:
        from pytest_specdec.estimators.window import StopRule
        from pytest_specdec.load.point import Limits
        from pytest_specdec.measuring.carry_out import Budget, GpuOptions, MeasureOptions
        from pytest_specdec.measuring.point import PointOptions

        settings = self.settings
        floor_s, ceiling_s = settings.window_s
        point = PointOptions(
            limits=Limits(
                settle_s=settings.settle_s,
                warm_up_s=settings.warm_up_s,
                no_progress_s=settings.no_progress_s,
                deadline_s=settings.deadline_s,
            ),
            rule=StopRule(floor_s=floor_s, ceiling_s=ceiling_s, precision=settings.precision),
            price=self.price,
            slo=settings.slo,
        )
        return MeasureOptions(
            point=point,
            budget=Budget(seconds=settings.budget_s, usd=settings.budget_usd),
            prompt_files=self.prompt_files,
            gpu=GpuOptions(dcgm_url=settings.dcgm_url, chosen=settings.gpus),
            refine=settings.levels if settings.refine else (),
        )

    def _opener(self, source: EngineSource) -> Callable[[EngineSpec], AbstractContextManager[OpenEngine]]:
        from pytest_specdec.facts import facts_for
        from pytest_specdec.measuring.carry_out import OpenEngine

        @contextmanager
        def open_engine(engine: EngineSpec) -> Iterator[OpenEngine]:
            with source.open(engine) as running:
                yield OpenEngine(
                    endpoint=running.endpoint,
                    died=running.died,
                    kind=self.settings.engine,
                    declared=facts_for(self.settings.facts, engine),
                    hardware=self.settings.hardware or self.hardware.get(engine, "") or "unknown",
                    alias=self.settings.served_models.get(engine.model),
                )

        return open_engine

    def _judge(self) -> dict[Cell, Verdict]:
        from pytest_specdec.gate.verdict import judge_suite

        if not self.wants_baseline or self.plan is None:
            return {}
        # Points beside the plan have no baseline to hold.
        measured = [self.measured[cell] for cell in sorted(self.plan.cells) if cell in self.measured]
        return judge_suite((m, self.baselines.find(m.cell, m.environment)) for m in measured)

    def _judge_outputs(self) -> dict[OutputSubject, Outputs]:
        from pytest_specdec.measuring.answers import judge_answers

        wanted = [s for s in self.subjects if isinstance(s, OutputSubject) and s.engine in self.answers]
        return {
            subject: judge_answers(self.answers[subject.reference], self.answers[subject.engine])
            for subject in dict.fromkeys(wanted)
            if subject.reference in self.answers
        }

    def _find_stored(self) -> None:
        """Look up the baselines of Off curves that a comparison needs and no endpoint serves."""
        source = self.source(self.subjects)
        for subject in self.subjects:
            if not isinstance(subject, ComparisonSubject) or not source.refusal(subject.reference.engine):
                continue
            like = next((self.measured[cell] for cell in subject.candidate.cells if cell in self.measured), None)
            if like is None:
                continue
            for cell in subject.reference.cells:
                point = self.baselines.find(cell, like.environment)
                if point is not None:
                    self.stored[cell] = point.measurement()
                    self.unmeasured.pop(cell, None)

    def _stored(self, subject: CurveSubject, like: Measurement) -> list[Measurement]:
        stored = [self.stored[cell] for cell in subject.cells if cell in self.stored]
        if not stored:
            reason = self.source(self.subjects).refusal(subject.engine)
            raise NotMeasuredError(
                f"the comparison could not be made: {reason}, and no baseline of {subject} is stored in "
                f"{self.baselines.path_of(subject.cells[0], like.environment)}; attach an Off endpoint, or store one "
                "with --specdec-update=new"
            )
        return stored


def engines_of(subject: Subject) -> tuple[EngineSpec, ...]:
    """The engines that a subject needs, Off first."""
    if isinstance(subject, OutputSubject):
        return subject.reference, subject.engine
    return tuple(dict.fromkeys(cell.engine for cell in cells_of(subject)))


def cells_of(subject: Subject) -> tuple[Cell, ...]:
    """The cells that a subject needs."""
    if isinstance(subject, OutputSubject):
        return ()
    return (subject,) if isinstance(subject, Cell) else subject.cells


def _new_run_path(folder: Path, started_at: datetime) -> Path:
    """A name by the second, with a counter for runs of the same second; the folder keeps itself out of git."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    stem = started_at.strftime("%Y%m%d-%H%M%S")
    names = (f"{stem}.json", *(f"{stem}-{n}.json" for n in range(2, 1000)))
    return next(folder / name for name in names if not (folder / name).exists())
