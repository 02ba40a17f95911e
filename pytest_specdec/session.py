"""What the plugin knows during one pytest session: subjects, plan, measurements, verdicts.

It holds no pytest hook and prints nothing; the hooks in `plugin` call it, and `progress` and the reports show it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec import __version__
from pytest_specdec.cell import Cell, EngineSpec
from pytest_specdec.errors import EngineError, InconclusiveError, InvalidInputError, SpecdecError
from pytest_specdec.matrix import ComparisonSubject, CurveSubject, OutputSubject
from pytest_specdec.settings import Settings
from pytest_specdec.subjects import Subject, cells_of, engines_of

if TYPE_CHECKING:
    from pytest_specdec.baseline import BaselinePoint, Baselines
    from pytest_specdec.bill import Cost
    from pytest_specdec.campaign import Campaign, Listener
    from pytest_specdec.comparison import Comparison
    from pytest_specdec.cost import Price
    from pytest_specdec.curve import Curve
    from pytest_specdec.engine.sources import EngineSource
    from pytest_specdec.gate.decision import SuiteDecision
    from pytest_specdec.gate.fixed import FixedDecision
    from pytest_specdec.gate.verdict import Verdict
    from pytest_specdec.matrix import Matrix
    from pytest_specdec.measurement import Measurement
    from pytest_specdec.measuring.engines import AskHook
    from pytest_specdec.outputs.checks import Outputs
    from pytest_specdec.plan import Plan
    from pytest_specdec.prompts.file import PromptFile
    from pytest_specdec.run import Run
    from pytest_specdec.secrets import Secrets

_INTERRUPTED = "interrupted"


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
        self.times: dict[Cell, int] = {}
        """Runs of each planned cell in a session."""
        self.sessions = 1
        self.measured: dict[Cell, Measurement] = {}
        """Mean of a cell's runs."""
        self.campaign: Campaign | None = None
        self.cost: Cost | None = None
        """What the measuring took; None while it goes."""
        self.swapped: dict[Cell, Measurement] = {}
        self.unmeasured: dict[Cell, SpecdecError] = {}
        """Why a planned cell has no measurement: the engine, the user's input, or (inconclusive) the budget."""
        self.stored: dict[Cell, Measurement] = {}
        """Baselines that stand in for the Off mode where no endpoint serves it."""
        self.verdicts: dict[Cell, Verdict] = {}
        self.decision: SuiteDecision | None = None
        """What the gate's rule found over the whole suite; None where there was nothing to weigh."""
        self.noise_source = ""
        self.fixed: FixedDecision | None = None
        """What a fixed margin said, where the user chose one."""
        self.unanswered: dict[EngineSpec, SpecdecError] = {}
        self.judged_outputs: dict[OutputSubject, Outputs] = {}
        self.done = False
        self.run_path: Path | None = None
        self.attempts: dict[str, list[str]] = {}
        """What each attempt of a test that was rerun came to."""
        self.deselection_reasons: list[str] = []
        self.ending: list[tuple[str, dict[str, bool]]] = []
        """What was written at the end, and what could not be."""
        self.started_at = datetime.now(UTC)
        self._baselines: Baselines | None = None
        self._source: EngineSource | None = None
        self._reference: EngineSource | None = None
        self.listener: Listener | None = None
        """Whoever shows how the measuring goes, while it goes."""

    @cached_property
    def secrets(self) -> Secrets:
        """What no output may show."""
        return self.settings.secrets()

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
            if matrix.prompt_file is not None:
                self.prompt_files[cell.workload.prompts] = matrix.prompt_file

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

    def reference_source(self) -> EngineSource | None:
        """Where the old engine comes from; None where the user named none.

        Raises:
            EngineError: an endpoint cannot be asked for its mode.
            InvalidInputError: no such simulated preset, or a launch command with an unknown placeholder.
        """
        settings = self.settings.reference()
        if settings is None:
            return None
        if self._reference is None:
            from pytest_specdec.measuring.engines import engine_source

            specs = list(dict.fromkeys(engine for subject in self.subjects for engine in engines_of(subject)))
            self._reference = engine_source(settings, specs, self._say, self._ask_hook)
        return self._reference

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
        self.times, self.sessions = self._plan_runs()
        for cell in cells - set(self.plan.cells):
            self.unmeasured[cell] = EngineError(source.refusal(cell.engine))

    def plan_words(self) -> str:
        """`4 engines, 20 points, about 6 min, about $1.90`."""
        assert self.plan is not None, "unreachable because the plan is made first"
        source = self.source(self.subjects)
        times, sessions = self.times, self.sessions
        whole = self.plan.repeated(times, self.settings.seed, self.plan.asked)
        rounds = sessions * (1 if self.settings.swap is None else 2)
        least, most = (
            rounds * whole.seconds(window_s=window_s, settle_s=self.settings.settle_s, start_s=source.start_s)
            for window_s in self.settings.window_s
        )
        return whole.words(
            least_s=least, most_s=most, price=self.price(""), simulated=source.simulated, sessions=sessions
        )

    def confirm_words(self) -> str:
        """What confirming a suspect may take; empty where nothing is judged, or nothing more is measured."""
        assert self.plan is not None, "unreachable because the plan is made first"
        settings = self.settings
        if not self.wants_baseline or settings.confirm == "never" or settings.gate == "fixed" or not self.plan.cells:
            return ""
        reference, source = self.reference_source(), self.source(self.subjects)
        point_s = settings.window_s[0] + settings.settle_s + source.start_s
        if reference is None:
            more = "of further runs" if not source.restarts else "of a fresh start and a run"
            return (
                f"suspects, if any, are measured up to 8 times more, each about {point_s:.0f} s {more}; the old engine "
                "beside it (--specdec-reference-...) would prove smaller losses"
            )
        return (
            f"suspects, if any, are confirmed by 2 to 12 blocks of old, new, new, old: 4 starts and about "
            f"{4 * point_s / 60:.1f} min for the first suspect of an engine in each block"
        )

    @property
    def planned(self) -> int:
        """Runs that are planned before anything is confirmed."""
        times, sessions = self.times, self.sessions
        return sum(times.values()) * sessions * (1 if self.settings.swap is None else 2)

    # ---- measuring

    def measure(self, listener: Listener) -> None:
        """Measure the whole plan once, then judge the suite once."""
        from pytest_specdec.campaign_setup import new_campaign
        from pytest_specdec.stored_off import find_stored

        assert self.plan is not None, "unreachable because the plan is made first"
        settings = self.settings
        self.listener = listener
        self.run_path = _new_run_path(settings.runs, self.started_at)
        campaign = self.campaign = new_campaign(self, listener, keep=self._keep)
        if settings.resume is not None:
            campaign.resume(settings.resume)
        times, sessions = self.times, self.sessions
        try:
            with _sigterm_interrupts():
                campaign.sessions(self.plan, times, sessions)
                if settings.swap is not None:
                    self._measure_swapped(listener)
                self._collect()
                if self.wants_baseline and not settings.selftest:
                    self._gate(campaign)
        finally:
            # Also after Ctrl-C: what was measured is judged and kept.
            self._collect()
            for cell in self.plan.cells:
                if cell not in self.measured:
                    self.unmeasured.setdefault(cell, InconclusiveError(_INTERRUPTED))
            if not self.verdicts and not settings.selftest:
                self._judge_what_there_is()
            self.judged_outputs = self._judge_outputs()
            for cell, stored in find_stored(self):
                self.stored[cell] = stored
                self.unmeasured.pop(cell, None)
            self.cost = campaign.cost()
            self.done = not any(str(error) == _INTERRUPTED for error in self.unmeasured.values())
            self.save()

    def measure_apart(self, cell: Cell, listener: Listener) -> Measurement:
        """Measure one cell outside the plan.

        Raises:
            EngineError: there is no such engine, or it could not be measured.
        """
        from pytest_specdec.campaign_setup import new_campaign
        from pytest_specdec.plan import Plan

        self.listener = listener
        if reason := self.source([cell]).refusal(cell.engine):
            raise EngineError(reason)
        apart = new_campaign(self, listener, keep=lambda: None)
        apart.sessions(Plan(cells=(cell,)), {cell: 1}, 1)
        if cell in apart.unmeasured:
            raise apart.unmeasured[cell]
        return apart.runs(cell)[0]

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
            started_at=self.started_at.isoformat(timespec="seconds"),
            command=self.secrets.redact(self.command),
            complete=self.done and not self.unmeasured,
            raw=() if self.campaign is None else tuple(self.campaign.raw),
            cost=self.cost,
            measurements=tuple(sorted(self.measured.values(), key=lambda m: m.cell)),
            decision=self.decision,
            noise_source=self.noise_source,
            fixed=self.fixed,
            verdicts=tuple(sorted(self.verdicts.values(), key=lambda v: v.cell)) if self.wants_baseline else (),
            not_measured={str(cell): self.secrets.redact(str(error)) for cell, error in self.unmeasured.items()},
            swapped=tuple(sorted(self.swapped.values(), key=lambda m: m.cell)),
            stored=tuple(sorted(self.stored.values(), key=lambda m: m.cell)),
            attempts={test: tuple(found) for test, found in self.attempts.items()},
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
        from pytest_specdec.stored_off import stored_points

        mtp = self._points(subject.candidate)
        if self.source(self.subjects).refusal(subject.reference.engine):
            return mtp_against_off(mtp, stored_points(self, self.stored, subject.reference, mtp[0]))
        return mtp_against_off(mtp, self._points(subject.reference))

    def outputs(self, subject: OutputSubject) -> Outputs:
        """Judge what an MTP engine said against what Off said.

        Raises:
            EngineError: one of them could not be asked.
        """
        for engine in engines_of(subject):
            if self.campaign is None or engine not in self.campaign.answers:
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

    # ---- helpers

    def _points(self, subject: CurveSubject) -> list[Measurement]:
        """The points of a curve, with those that were measured beside the plan."""
        planned = [self.measurement(cell) for cell in subject.cells]
        key = subject.engine, subject.workload
        return planned + [m for m in self.measured.values() if m.curve_key == key and m not in planned]

    def _plan_runs(self) -> tuple[dict[Cell, int], int]:
        """Runs of each cell in a session, and sessions: many for a new baseline, a few for a first look at an old."""
        assert self.plan is not None, "unreachable because the plan is made first"
        settings = self.settings
        if settings.update is None and not settings.selftest:
            return {cell: self._screening_runs(cell) for cell in self.plan.cells}, 1
        sessions, runs = settings.sessions
        if not self.source(self.subjects).restarts:
            sessions = 1  # a further session of an attached server is a further invocation
        return dict.fromkeys(self.plan.cells, runs), sessions

    def _screening_runs(self, cell: Cell) -> int:
        """Runs of a first look, by the stored noise; one where nothing is stored."""
        from pytest_specdec.gating import screening_runs

        return screening_runs(self.baselines.of_any_environment(cell)) if self.wants_baseline else 1

    def _measure_swapped(self, listener: Listener) -> None:
        from pytest_specdec.campaign_setup import new_campaign
        from pytest_specdec.measuring.engines import exchange_hosts

        assert self.plan is not None, "unreachable because the plan is made first"
        exchanged = exchange_hosts(
            self.source(self.subjects), self.settings, next(iter(self.hardware)).model, self._say
        )
        swapped = new_campaign(self, listener, source=exchanged, keep=lambda: None)
        swapped.sessions(replace(self.plan, asked={}), dict.fromkeys(self.plan.cells, 1), 1)
        self.swapped = {cell: found[0] for cell in self.plan.cells if (found := swapped.runs(cell))}

    def _keep(self) -> None:
        self._collect()
        self.save()

    def _collect(self) -> None:
        """Bring the runs of each cell to one measurement."""
        from pytest_specdec.repeats import merge_runs
        from pytest_specdec.run import merge_swapped

        if self.campaign is None:
            return
        cells = dict.fromkeys(run.measurement.cell for run in self.campaign.raw)
        self.measured = {cell: merge_runs(runs) for cell in cells if (runs := self.campaign.runs(cell))}
        for cell in self.measured.keys() & self.swapped.keys():
            self.measured[cell] = merge_swapped(self.measured[cell], self.swapped[cell])
        self.unmeasured |= self.campaign.unmeasured
        self.unanswered |= self.campaign.unanswered

    def _say(self, text: str) -> None:
        if self.listener is not None:
            self.listener.said(text)

    def _gate(self, campaign: Campaign) -> None:
        """Judge the suite, measuring what the decision still needs."""
        from pytest_specdec.gating import gate

        assert self.plan is not None, "unreachable because the plan is made first"
        self.verdicts, self.decision = gate(self, campaign)

    def _judge_what_there_is(self) -> None:
        """Judge without measuring anything more: the run was interrupted."""
        from pytest_specdec.gating import gate

        if self.wants_baseline and self.plan is not None:
            self.verdicts, self.decision = gate(self, None)

    def _judge_outputs(self) -> dict[OutputSubject, Outputs]:
        from pytest_specdec.measuring.answers import judge_answers

        answers = {} if self.campaign is None else self.campaign.answers
        wanted = [s for s in self.subjects if isinstance(s, OutputSubject) and s.engine in answers]
        return {
            subject: judge_answers(answers[subject.reference], answers[subject.engine])
            for subject in dict.fromkeys(wanted)
            if subject.reference in answers
        }


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """A job scheduler's SIGTERM ends the measuring as Ctrl-C does: engines are stopped, what was measured is kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _new_run_path(folder: Path, started_at: datetime) -> Path:
    """A name by the second, with a counter for runs of the same second; the folder keeps itself out of git."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    stem = started_at.strftime("%Y%m%d-%H%M%S")
    names = (f"{stem}.json", *(f"{stem}-{n}.json" for n in range(2, 1000)))
    return next(folder / name for name in names if not (folder / name).exists())
