"""The stages of an invocation, called from hooks and fixtures: values come from the stash and go back into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_specdec.plugin.stash import (
    ATTEMPTS,
    BASELINES,
    COMMAND,
    DECLARED,
    DEMAND,
    ENGINES,
    FINISHED,
    PROGRESS,
    RECORD,
    SETTINGS,
)

if TYPE_CHECKING:
    import pytest
    from _pytest.terminal import TerminalReporter

    from pytest_specdec.domain.cell import Cell, EngineSpec
    from pytest_specdec.engine.template import Template
    from pytest_specdec.pipeline.engines import Engines
    from pytest_specdec.pipeline.finish import Finished
    from pytest_specdec.pipeline.record import Record
    from pytest_specdec.plugin.progress import TerminalProgress
    from pytest_specdec.results.baseline import Baselines
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


def engines_for(config: pytest.Config, subjects: Iterable[Subject]) -> Engines:
    """Return the engines of this process, made with the first subjects that need them.

    Raises:
        EngineError: an endpoint cannot be asked for its mode.
        InvalidInputError: no such simulated preset, or a launch command with an unknown placeholder.
    """
    if ENGINES not in config.stash:
        from pytest_specdec.pipeline.engines import make_engines
        from pytest_specdec.suite.subjects import engines_of

        def ask_hook(
            name: str, version: str, engine: EngineSpec, values: Mapping[str, str], default: Template
        ) -> Template | None:
            return config.hook.pytest_specdec_launch(  # type: ignore[no-any-return]
                name=name, version=version, engine=engine, values=values, default=default
            )

        specs = [engine for subject in subjects for engine in engines_of(subject)]
        config.stash[ENGINES] = make_engines(config.stash[SETTINGS], specs, ask_hook)
    return config.stash[ENGINES]


def baselines_of(config: pytest.Config) -> Baselines:
    """Return the stored baselines; each file is read once."""
    if BASELINES not in config.stash:
        from pytest_specdec.results.baseline import Baselines

        config.stash[BASELINES] = Baselines(config.stash[SETTINGS].baselines.folder)
    return config.stash[BASELINES]


def plan(config: pytest.Config, subjects: Iterable[Subject], *, judged: bool) -> None:
    """Plan what the selected tests need.

    Raises:
        SpecdecError: impossible options, or a baseline that cannot be read.
    """
    from pytest_specdec.pipeline.plan import plan as plan_demand

    tested = list(subjects)
    config.stash[DEMAND] = plan_demand(
        tested,
        config.stash[DECLARED],
        engines_for(config, tested),
        config.stash[SETTINGS],
        baselines_of(config),
        judged=judged,
    )


def plan_lines(config: pytest.Config) -> list[str]:
    """Return the plan in words: what is measured, how long it takes, what confirming may add."""
    from pytest_specdec.pipeline.plan import confirm_words, plan_words

    demand, engines, settings = config.stash[DEMAND], config.stash[ENGINES], config.stash[SETTINGS]
    words = plan_words(demand, config.stash[DECLARED], engines, settings)
    lines = [f"specdec plan: {words}; tier {settings.suite.tier}; {_origin(config)}"]
    confirming = confirm_words(demand, engines, settings)
    return [*lines, f"specdec: {confirming}"] if confirming else lines


def measure(config: pytest.Config) -> None:
    """Measure and judge the demand.

    Raises:
        KeyboardInterrupt: interrupted; the record holds what was measured.
        SpecdecError: nothing can be measured, or a baseline cannot be read.
    """
    from pytest_specdec.pipeline.carry_out import carry_out
    from pytest_specdec.pipeline.plan import planned_runs
    from pytest_specdec.pipeline.record import Invocation
    from pytest_specdec.results.run import save_run
    from pytest_specdec.results.run_folder import new_run_path

    settings, demand, started_at = config.stash[SETTINGS], config.stash[DEMAND], datetime.now(UTC)

    def keep(record: Record) -> None:
        config.stash[RECORD] = record
        save_run(record.run(), record.invocation.path)

    config.stash[ENGINES] = carry_out(
        demand,
        config.stash[DECLARED],
        config.stash[ENGINES],
        settings,
        baselines_of(config),
        invocation=Invocation(
            started_at=started_at,
            command=config.stash[COMMAND],
            path=new_run_path(settings.measure.runs, started_at),
            secrets=settings.secrets(),
        ),
        listener=progress(config, planned_runs(demand, settings)),
        sink=keep,
    )


def measure_apart(config: pytest.Config, cell: Cell) -> Measurement:
    """Measure one cell outside the plan.

    Raises:
        EngineError: there is no such engine, or it could not be measured.
    """
    from pytest_specdec.pipeline.measure import measure_apart as measure_one

    settings = config.stash[SETTINGS]
    return measure_one(
        cell,
        engines_for(config, [cell]),
        config.stash[DECLARED],
        settings.measure,
        listener=progress(config, 1),
        secrets=settings.secrets(),
        started_at=datetime.now(UTC),
    )


def finish(config: pytest.Config, failed_tests: int) -> Finished:
    """Store baselines, save the run and write the reports."""
    from pytest_specdec.pipeline.finish import finish as finish_run

    config.stash[FINISHED] = finish_run(
        config.stash[RECORD],
        config.stash[DECLARED],
        config.stash[ENGINES],
        config.stash[SETTINGS],
        baselines_of(config),
        failed_tests=failed_tests,
        attempts={test: tuple(found) for test, found in config.stash[ATTEMPTS].items()},
    )
    return config.stash[FINISHED]


def progress(config: pytest.Config, planned: int) -> TerminalProgress:
    """Make a display on the terminal for `planned` runs."""
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
