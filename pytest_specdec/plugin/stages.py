"""The stages of an invocation, called from hooks and fixtures: values come from the stash and go back into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_specdec.plugin.stash import ATTEMPTS, COMMAND, DECLARED, DEMAND, FINISHED, PROGRESS, RECORD, SETTINGS, SETUP

if TYPE_CHECKING:
    import pytest
    from _pytest.terminal import TerminalReporter

    from pytest_specdec.domain.cell import Cell, EngineSpec
    from pytest_specdec.engine.template import Template
    from pytest_specdec.pipeline.finish import Finished
    from pytest_specdec.pipeline.record import Record
    from pytest_specdec.pipeline.setup import Setup
    from pytest_specdec.plugin.progress import TerminalProgress
    from pytest_specdec.results.measurement import Measurement
    from pytest_specdec.suite.matrix import Matrix
    from pytest_specdec.suite.subjects import Subject


def declare(config: pytest.Config, subject: Subject, matrix: Matrix) -> None:
    """Take over the declarations of a test's marker.

    Raises:
        InvalidInputError: two suites declare different hardware for one engine.
    """
    from pytest_specdec.suite.demand import Declared

    declared = config.stash.get(DECLARED, None) or Declared()
    config.stash[DECLARED] = declared.including(subject, matrix)


def setup_for(config: pytest.Config, subjects: Iterable[Subject]) -> Setup:
    """Return the setup of this process, its engines made with the first subjects that need them.

    Raises:
        EngineError: an endpoint cannot be asked for its mode.
        InvalidInputError: no such simulated preset, or a launch command with an unknown placeholder.
    """
    settings, declared = config.stash[SETTINGS], config.stash[DECLARED]
    if SETUP in config.stash:
        return replace(config.stash[SETUP], declared=declared)
    from pytest_specdec.pipeline.engines import make_engines
    from pytest_specdec.pipeline.setup import Setup
    from pytest_specdec.results.baseline import Baselines
    from pytest_specdec.suite.subjects import engines_of

    def ask_hook(
        name: str, version: str, engine: EngineSpec, values: Mapping[str, str], default: Template
    ) -> Template | None:
        return config.hook.pytest_specdec_launch(  # type: ignore[no-any-return]
            name=name, version=version, engine=engine, values=values, default=default
        )

    engines = make_engines(settings, [engine for subject in subjects for engine in engines_of(subject)], ask_hook)
    baselines = Baselines(settings.baselines.folder)
    config.stash[SETUP] = Setup(settings=settings, declared=declared, engines=engines, baselines=baselines)
    return config.stash[SETUP]


def plan(config: pytest.Config, subjects: Iterable[Subject], *, judged: bool) -> None:
    """Plan the cells that the selected tests need.

    Raises:
        SpecdecError: impossible options, or a baseline that cannot be read.
    """
    from pytest_specdec.pipeline.plan import plan as plan_demand

    tested = list(subjects)
    config.stash[DEMAND] = plan_demand(tested, setup_for(config, tested), judged=judged)


def plan_lines(config: pytest.Config) -> list[str]:
    """Return the plan in words: its cells, its duration, and the worst case of confirming."""
    from pytest_specdec.pipeline.plan import confirm_words, plan_words

    demand, setup = config.stash[DEMAND], config.stash[SETUP]
    lines = [f"specdec plan: {plan_words(demand, setup)}; tier {setup.settings.suite.tier}; {_origin(config)}"]
    confirming = confirm_words(demand, setup)
    return [*lines, f"specdec: {confirming}"] if confirming else lines


def measure(config: pytest.Config) -> None:
    """Measure and judge the demand.

    Raises:
        KeyboardInterrupt: interrupted; the record holds what was measured.
        SpecdecError: nothing can be measured, or a baseline cannot be read.
    """
    from pytest_specdec.measure.campaign import resumed
    from pytest_specdec.pipeline.carry_out import carry_out
    from pytest_specdec.pipeline.plan import planned_repeats
    from pytest_specdec.pipeline.record import Invocation
    from pytest_specdec.results.run import save_run
    from pytest_specdec.results.run_folder import new_run_path

    settings, demand, started_at = config.stash[SETTINGS], config.stash[DEMAND], datetime.now(UTC)

    def keep(record: Record) -> None:
        config.stash[RECORD] = record
        save_run(record.run(), record.invocation.path)

    setup, resume = config.stash[SETUP], settings.measure.resume
    # A run that cannot be resumed is an error before this one has a file.
    begun = () if resume is None else resumed(resume, paired=setup.engines.reference is not None)
    invocation = Invocation(
        started_at=started_at,
        command=config.stash[COMMAND],
        begun=begun,
        path=new_run_path(settings.measure.runs, started_at),
        secrets=settings.secrets(),
    )
    display = progress(config, planned_repeats(demand, settings))
    config.stash[SETUP] = carry_out(demand, setup, invocation=invocation, listener=display, sink=keep)


def measure_apart(config: pytest.Config, cell: Cell) -> Measurement:
    """Measure one cell outside the plan.

    Raises:
        EngineError: there is no such engine, or it could not be measured.
    """
    from pytest_specdec.pipeline.measure import measure_apart as measure_one

    setup = setup_for(config, [cell])
    return measure_one(cell, setup, listener=progress(config, 1), started_at=datetime.now(UTC))


def finish(config: pytest.Config, failed_tests: int) -> Finished:
    """Store baselines, save the run and write the reports."""
    from pytest_specdec.pipeline.finish import finish as finish_run

    attempts = {test: tuple(found) for test, found in config.stash[ATTEMPTS].items()}
    record, setup = config.stash[RECORD], config.stash[SETUP]
    config.stash[FINISHED] = finish_run(record, setup, failed_tests=failed_tests, attempts=attempts)
    return config.stash[FINISHED]


def progress(config: pytest.Config, planned: int) -> TerminalProgress:
    """Make a display on the terminal for `planned` repeats."""
    from pytest_specdec.plugin.progress import TerminalProgress

    reporter: TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None, "pytest always has a terminal reporter"
    display = TerminalProgress(reporter, planned)
    config.stash[PROGRESS].append(display)
    return display


def _origin(config: pytest.Config) -> str:
    candidate = config.stash[SETTINGS].candidate
    if candidate.endpoints:
        return "endpoints"
    if candidate.launch:
        return f"{candidate.launch} launched here"
    return "simulated H200 engine (no --specdec-endpoint given)"
