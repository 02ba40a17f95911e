"""What the plugin knows during one pytest session: subjects, plan, measurements, verdicts.

It holds no pytest hook and prints nothing; the hooks in `plugin` call it, and `progress` and the reports show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec import __version__
from pytest_specdec.errors import INTERRUPTED, EngineError, InconclusiveError, InvalidInputError, SpecdecError
from pytest_specdec.pipeline.settings import Settings

if TYPE_CHECKING:
    from pytest_specdec.domain.cell import Cell, EngineSpec, Interview
    from pytest_specdec.domain.price import Price
    from pytest_specdec.engine.provision import EngineSource
    from pytest_specdec.measure.campaign import Campaign, Listener
    from pytest_specdec.outputs.checks import Outputs
    from pytest_specdec.pipeline.engines import AskHook
    from pytest_specdec.redaction import Secrets
    from pytest_specdec.results.baseline import Baselines
    from pytest_specdec.results.cost import Cost
    from pytest_specdec.results.decision import FixedDecision, SuiteDecision
    from pytest_specdec.results.measurement import Measurement
    from pytest_specdec.results.run import Run
    from pytest_specdec.results.verdict import Verdict
    from pytest_specdec.suite.matrix import Matrix, OutputSubject
    from pytest_specdec.suite.plan import Plan
    from pytest_specdec.suite.subjects import Subject
    from pytest_specdec.workload.prompt_file import PromptFile


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
        self.times: Sequence[Mapping[Cell, int]] = ()
        """Runs of each planned cell, by session."""
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
        self.unanswered: dict[Interview, SpecdecError] = {}
        self.judged_outputs: dict[OutputSubject, Outputs] = {}
        self.done = False
        """Whether the measuring came to its end, if only to that of its budget: False after Ctrl-C."""
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

    @property
    def logs(self) -> Path:
        """Folder of the logs of launched engines."""
        return self.settings.measure.runs / "logs"

    # ---- collection

    def declare(self, subject: Subject, matrix: Matrix) -> None:
        """Remember which GPU a suite says that its engines run on, and the prompts that it brings.

        Raises:
            InvalidInputError: two suites say different things of one engine.
        """
        from pytest_specdec.suite.subjects import cells_of, engines_of

        for engine in engines_of(subject):
            earlier = self.hardware.setdefault(engine, matrix.hardware)
            if earlier != matrix.hardware:
                raise InvalidInputError(f"{engine} is declared on {earlier!r} and on {matrix.hardware!r}: choose one")
        for cell in cells_of(subject):
            if matrix.prompt_file is not None:
                self.prompt_files[cell.workload.prompts] = matrix.prompt_file

    def source(self, subjects: Sequence[Subject]) -> EngineSource:
        """Where engines come from; modes that the user did not name are read from the endpoints here.

        Raises:
            EngineError: an endpoint without a named mode cannot be asked for it.
            InvalidInputError: no such simulated preset.
        """
        if self._source is None:
            from pytest_specdec.pipeline.engines import engine_source
            from pytest_specdec.suite.subjects import engines_of

            specs = list(dict.fromkeys(engine for subject in subjects for engine in engines_of(subject)))
            self._source = engine_source(self.settings.candidate, specs, self.say, self._ask_hook, self.logs)
        return self._source

    def exchange(self, source: EngineSource) -> None:
        """Go on with servers that have moved to other hosts: nobody serves any more where they were."""
        self._source = source
        if self.campaign is not None:
            self.campaign.exchange(source)

    def reference_source(self) -> EngineSource | None:
        """Where the old engine comes from; None where the user named none.

        Raises:
            EngineError: an endpoint cannot be asked for its mode.
            InvalidInputError: no such simulated preset, or a launch command with an unknown placeholder.
        """
        settings = self.settings.reference
        if settings is None:
            return None
        if self._reference is None:
            from pytest_specdec.pipeline.engines import engine_source
            from pytest_specdec.suite.subjects import engines_of

            specs = list(dict.fromkeys(engine for subject in self.subjects for engine in engines_of(subject)))
            self._reference = engine_source(settings, specs, self.say, self._ask_hook, self.logs)
        return self._reference

    def make_plan(self, subjects: Iterable[Subject]) -> None:
        """Plan the cells of the tests that are left.

        Raises:
            EngineError: an endpoint, of the old engine too, cannot be asked for its mode.
            InvalidInputError: an engine that cannot be had, or a selftest of servers that are not restarted.
        """
        from pytest_specdec.pipeline.plan import runs_of
        from pytest_specdec.results.baseline_update import refuse_shared_files
        from pytest_specdec.suite.plan import Plan
        from pytest_specdec.suite.subjects import cells_of

        self.subjects = list(subjects)
        source = self.source(self.subjects)
        self.reference_source()  # what cannot be had is told before anything is measured
        if self.settings.baselines.selftest and not source.restarts:
            raise InvalidInputError(
                "--specdec-selftest needs several starts of the server, and an attached one is not restarted: launch "
                "it (--specdec-launch), or gather sessions with --specdec-update=merge"
            )
        cells = {cell for subject in self.subjects for cell in cells_of(subject)}
        # The Off side of a comparison may come from a stored baseline.
        asked = dict.fromkeys(interview for subject in self._output_subjects() for interview in subject.interviews)
        self.unanswered = {one: EngineError(reason) for one in asked if (reason := source.refusal(one.engine))}
        self.plan = Plan.of(
            (cell for cell in cells if not source.refusal(cell.engine)),
            self.settings.measure.seed,
            (interview for interview in asked if interview not in self.unanswered),
        )
        if self.settings.baselines.update is not None:
            refuse_shared_files(self.plan.cells)
        self.times = runs_of(self)
        for cell in cells - set(self.plan.cells):
            self.unmeasured[cell] = EngineError(source.refusal(cell.engine))

    # ---- measuring

    def measure(self, listener: Listener) -> None:
        """Measure the whole plan once, then judge the suite once."""
        from pytest_specdec.measure.sigterm import sigterm_interrupts
        from pytest_specdec.pipeline.beside import measure_swapped
        from pytest_specdec.pipeline.measure import new_campaign
        from pytest_specdec.pipeline.stored_off import find_stored
        from pytest_specdec.results.run_folder import new_run_path

        assert self.plan is not None, "unreachable because the plan is made first"
        settings = self.settings
        self.listener = listener
        campaign = new_campaign(self, listener, keep=self.keep)
        if settings.measure.resume is not None:
            campaign.resume(settings.measure.resume)
        self.campaign, self.run_path = campaign, new_run_path(settings.measure.runs, self.started_at)
        self.save()  # a run that is killed before its first point is an empty run, and no broken file
        try:
            with sigterm_interrupts():
                campaign.sessions(self.plan, self.times)
                if settings.measure.swap is not None:
                    measure_swapped(self, campaign, listener)
                self._collect()
                if self.wants_baseline and not settings.baselines.selftest:
                    self._gate(campaign)
            self.done = True
        finally:
            # Also after Ctrl-C: what was measured is judged and kept.
            self._collect()
            for cell in self.plan.cells:
                if cell not in self.measured:
                    self.unmeasured.setdefault(cell, InconclusiveError(INTERRUPTED))
            if not self.verdicts and not settings.baselines.selftest:
                self._judge_what_there_is()
            self.judged_outputs = self._judge_outputs()
            for cell, stored in find_stored(self):
                self.stored[cell] = stored
                self.unmeasured.pop(cell, None)
            self.cost = campaign.cost()
            self.save()

    def price(self, hardware: str) -> Price:
        """Price that the user gave, else the list price of the hardware.

        Raises:
            InvalidInputError: neither; the message says how to give one.
        """
        from pytest_specdec.domain.price import Price, list_price

        if self.settings.measure.gpu_hour_usd is not None and self.settings.measure.gpu_kw is not None:
            return Price(usd_per_gpu_hour=self.settings.measure.gpu_hour_usd, kw_per_gpu=self.settings.measure.gpu_kw)
        return list_price(hardware or next(iter(self.hardware.values()), ""))

    def keep(self) -> None:
        """Bring what was measured together and write it: nothing of it can be lost any more."""
        self._collect()
        self.save()

    def save(self) -> None:
        """Write the run as it stands."""
        from pytest_specdec.results.run import save_run

        if self.run_path is not None:
            save_run(self.run(), self.run_path)

    def run(self) -> Run:
        """The session as a saved run."""
        from pytest_specdec.domain.naming import named_apart, unique_names
        from pytest_specdec.results.run import Run

        names = unique_names(sorted(self.unmeasured))
        subjects = named_apart(list(self.judged_outputs), lambda subject: subject.details)
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
            not_measured={
                names[cell]: self.secrets.redact(str(error)) for cell, error in sorted(self.unmeasured.items())
            },
            swapped=tuple(sorted(self.swapped.values(), key=lambda m: m.cell)),
            stored=tuple(sorted(self.stored.values(), key=lambda m: m.cell)),
            attempts={test: tuple(found) for test, found in self.attempts.items()},
            outputs={subjects[subject]: found.verdicts for subject, found in self.judged_outputs.items()},
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

    @property
    def baselines(self) -> Baselines:
        """The stored baselines."""
        from pytest_specdec.results.baseline import Baselines

        if self._baselines is None:
            self._baselines = Baselines(self.settings.baselines.folder)
        return self._baselines

    # ---- helpers

    def _collect(self) -> None:
        """Bring the runs of each cell to one measurement."""
        from pytest_specdec.results.merge import merge_runs
        from pytest_specdec.results.run import merge_swapped

        if self.campaign is None:
            return
        cells = dict.fromkeys(run.measurement.cell for run in self.campaign.raw)
        self.measured = {cell: merge_runs(runs) for cell in cells if (runs := self.campaign.runs(cell))}
        for cell in self.measured.keys() & self.swapped.keys():
            self.measured[cell] = merge_swapped(self.measured[cell], self.swapped[cell])
        self.unmeasured |= self.campaign.unmeasured
        self.unanswered |= self.campaign.unanswered

    def say(self, text: str) -> None:
        """Show a line, where somebody shows them."""
        if self.listener is not None:
            self.listener.said(self.secrets.redact(text))

    def _gate(self, campaign: Campaign) -> None:
        """Judge the suite, measuring what the decision still needs."""
        from pytest_specdec.pipeline.judge import gate

        assert self.plan is not None, "unreachable because the plan is made first"
        self.verdicts, self.decision = gate(self, campaign)

    def _judge_what_there_is(self) -> None:
        """Judge without measuring anything more: the run was interrupted."""
        from pytest_specdec.pipeline.judge import gate

        if self.wants_baseline and self.plan is not None:
            self.verdicts, self.decision = gate(self, None)

    def _judge_outputs(self) -> dict[OutputSubject, Outputs]:
        from pytest_specdec.measure.judge_answers import judge_answers

        answers = {} if self.campaign is None else self.campaign.answers
        found = {}
        for subject in self._output_subjects():
            off, mtp = subject.interviews
            if off in answers and mtp in answers:
                found[subject] = judge_answers(answers[off], answers[mtp])
        return found

    def _output_subjects(self) -> list[OutputSubject]:
        from pytest_specdec.suite.matrix import OutputSubject

        return [subject for subject in dict.fromkeys(self.subjects) if isinstance(subject, OutputSubject)]
