"""The record of one invocation: demand, measurements and judgement, and the saved run made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from pytest_specdec.domain.cell import Cell, Interview
from pytest_specdec.domain.naming import named_apart, unique_names
from pytest_specdec.errors import INTERRUPTED, InconclusiveError, SpecdecError
from pytest_specdec.measure.judge_answers import judge_answers
from pytest_specdec.measure.measured import Measured
from pytest_specdec.outputs.checks import Outputs
from pytest_specdec.pipeline.judge import Judgement
from pytest_specdec.redaction import Secrets
from pytest_specdec.results.baseline import Baselines
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import RawRun, Run
from pytest_specdec.suite.demand import Demand
from pytest_specdec.suite.matrix import ComparisonSubject, OutputSubject
from pytest_specdec.version import __version__


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """Identity of an invocation."""

    started_at: datetime
    command: str
    path: Path
    """File of the saved run."""
    secrets: Secrets = field(default_factory=Secrets)
    begun: tuple[RawRun, ...] = ()
    """Runs of an interrupted invocation that this one goes on with."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """State of an invocation; the next point, and the judgement, replace it by a fuller one."""

    invocation: Invocation
    demand: Demand
    measured: Measured = field(default_factory=Measured)
    judgement: Judgement = field(default_factory=Judgement)
    stored: Mapping[Cell, Measurement] = field(default_factory=dict)
    """Baselines that stand in for an Off mode that no endpoint serves."""

    @cached_property
    def missing(self) -> dict[Cell, SpecdecError]:
        """Demanded cells without a measurement, or with one less than planned, and the reasons."""
        missing = {**self.demand.unavailable, **self.measured.lost}
        if self.measured.cost is not None:
            for cell in self.demand.plan.cells:
                if cell not in self.measured.means:
                    missing.setdefault(cell, InconclusiveError(INTERRUPTED))
        return {cell: error for cell, error in missing.items() if cell not in self.stored}

    @cached_property
    def unanswered(self) -> dict[Interview, SpecdecError]:
        """Interviews without answers, and the reasons."""
        return {**self.demand.unasked, **self.measured.unanswered}

    @cached_property
    def outputs(self) -> dict[OutputSubject, Outputs]:
        """Judgements of the answers, where both engines gave theirs."""
        answers = self.measured.answers
        found = {}
        for subject in dict.fromkeys(self.demand.subjects):
            if isinstance(subject, OutputSubject) and all(one in answers for one in subject.interviews):
                off, mtp = subject.interviews
                found[subject] = judge_answers(answers[off], answers[mtp])
        return found

    def run(self, attempts: Mapping[str, tuple[str, ...]] | None = None) -> Run:
        """Return the run as it is saved; `attempts`: outcomes of each attempt of the tests that were rerun."""
        names = unique_names(sorted(self.missing))
        subjects = named_apart(list(self.outputs), lambda subject: subject.details)
        measured, judgement, secrets = self.measured, self.judgement, self.invocation.secrets
        return Run(
            tool_version=__version__,
            started_at=self.invocation.started_at.isoformat(timespec="seconds"),
            command=secrets.redact(self.invocation.command),
            complete=measured.complete and not self.missing,
            raw=measured.raw,
            cost=measured.cost,
            measurements=tuple(sorted(measured.means.values(), key=lambda m: m.cell)),
            decision=judgement.decision,
            noise_source=judgement.noise_source,
            fixed=judgement.fixed,
            verdicts=tuple(sorted(judgement.verdicts.values(), key=lambda v: v.cell)),
            not_measured={names[cell]: secrets.redact(str(error)) for cell, error in sorted(self.missing.items())},
            swapped=tuple(sorted(measured.swapped.values(), key=lambda m: m.cell)),
            stored=tuple(sorted(self.stored.values(), key=lambda m: m.cell)),
            attempts=dict(attempts or {}),
            outputs={subjects[subject]: found.verdicts for subject, found in self.outputs.items()},
        )


def find_stored(demand: Demand, measured: Measured, baselines: Baselines) -> Iterator[tuple[Cell, Measurement]]:
    """Find the baselines of Off curves that a comparison needs and no endpoint serves."""
    for subject in demand.subjects:
        if not isinstance(subject, ComparisonSubject):
            continue
        like = next((measured.means[cell] for cell in subject.candidate.cells if cell in measured.means), None)
        if like is None:
            continue
        for cell in subject.reference.cells:
            point = baselines.find(cell, like.environment) if cell in demand.unavailable else None
            if point is not None:
                yield cell, point.measurement()
