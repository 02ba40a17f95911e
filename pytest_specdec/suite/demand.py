"""A suite's demand: cells to measure and engines to ask, with the reasons why others cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_specdec.domain.cell import Cell, EngineSpec, Interview
from pytest_specdec.errors import InvalidInputError, SpecdecError
from pytest_specdec.suite.matrix import Matrix
from pytest_specdec.suite.plan import Plan
from pytest_specdec.suite.subjects import Subject, cells_of, engines_of
from pytest_specdec.workload.prompt_file import PromptFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Declarations of the suites' markers."""

    hardware: Mapping[EngineSpec, str] = field(default_factory=dict)
    """GPU that an engine is meant to run on."""
    prompt_files: Mapping[str, PromptFile] = field(default_factory=dict)
    """By the workload's name of its prompts."""

    def including(self, subject: Subject, matrix: Matrix) -> Declared:
        """Add the declarations of one test.

        Raises:
            InvalidInputError: two suites declare different hardware for one engine.
        """
        for engine in engines_of(subject):
            earlier = self.hardware.get(engine, matrix.hardware)
            if earlier != matrix.hardware:
                raise InvalidInputError(f"{engine} is declared on {earlier!r} and on {matrix.hardware!r}: choose one")
        file = matrix.prompt_file
        files = {} if file is None else {cell.workload.prompts: file for cell in cells_of(subject)}
        return Declared(
            hardware={**self.hardware, **dict.fromkeys(engines_of(subject), matrix.hardware)},
            prompt_files={**self.prompt_files, **files},
        )

    @property
    def any_hardware(self) -> str:
        """The first declared GPU, for prices before an engine has told its own; empty where none is declared."""
        return next(iter(self.hardware.values()), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Everything that the selected tests need measured."""

    subjects: tuple[Subject, ...]
    plan: Plan
    repeats: tuple[Mapping[Cell, int], ...]
    """Repeats of each planned cell, by server start."""
    judged: bool
    """At least one test reads a baseline."""
    unavailable: Mapping[Cell, SpecdecError] = field(default_factory=dict)
    """Cells that no engine serves."""
    unasked: Mapping[Interview, SpecdecError] = field(default_factory=dict)
    """Interviews that no engine serves."""

    @property
    def repeat_count(self) -> int:
        """Planned repeats, without confirmation."""
        return sum(sum(repeats.values()) for repeats in self.repeats)
