"""Drive the gate's rule: what it asks for is measured, what it decides becomes the cells' verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import msgspec

from pytest_specdec.domain.cell import Cell
from pytest_specdec.errors import INTERRUPTED
from pytest_specdec.gate.admission import settled
from pytest_specdec.gate.dialogue import (
    Block,
    CandidateSessions,
    Observed,
    PairBlocks,
    Request,
    ScreenRuns,
)
from pytest_specdec.gate.evidence import Case, CellEvidence, build
from pytest_specdec.gate.noise import SuiteNoise
from pytest_specdec.gate.noise_file import load_noise, noise_file
from pytest_specdec.gate.rule import decide
from pytest_specdec.gate.rules import RULES
from pytest_specdec.gate.ruling import RuleOptions
from pytest_specdec.results.baseline import BaselinePoint
from pytest_specdec.results.decision import SuiteDecision
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.merge import merge_runs, usable
from pytest_specdec.results.verdict import Verdict

if TYPE_CHECKING:
    from pytest_specdec.engine.provision import EngineSource
    from pytest_specdec.measure.campaign import Campaign
    from pytest_specdec.pipeline.invocation import SpecdecSession

_NEVER = "nothing more is measured (--specdec-confirm=never)"


def gate(session: SpecdecSession, campaign: Campaign | None) -> tuple[dict[Cell, Verdict], SuiteDecision | None]:
    """Judge the suite; `campaign` measures what the rule asks for, None decides by what there is.

    Raises:
        BrokenFileError: a baseline or the noise of a selftest cannot be read.
    """
    assert session.plan is not None, "unreachable because the plan is made first"
    found: dict[Cell, Verdict] = {}
    evidence = []
    for cell in sorted(session.plan.cells):
        measured = session.measured.get(cell)
        if measured is None:
            continue
        baseline = session.baselines.find(cell, measured.environment)
        verdict = settled(measured, baseline, session.settings.required_facts)
        if verdict is not None:
            found[cell] = verdict
        elif baseline is not None:
            evidence.append(CellEvidence(measured=measured, runs=_runs(session, cell), baseline=baseline))
    if not evidence:
        return found, None
    case = build(evidence, _selftest_noise(session.settings.baselines, evidence))
    if case.noise.hypotheses:
        session.noise_source = case.noise.source
    desk = _Desk(session=session, campaign=campaign, case=case)
    ruling = RULES[session.settings.gate].judge(case, desk.options(), desk.answer, desk.pairs)
    session.fixed = ruling.fixed
    return found | ruling.verdicts, ruling.decision


@dataclass(slots=True, kw_only=True)
class _Desk:
    """Answers the rule's requests."""

    session: SpecdecSession
    campaign: Campaign | None
    case: Case
    blocks: int = 0
    old: dict[str, list[Measurement]] = field(default_factory=dict)
    new: dict[str, list[Measurement]] = field(default_factory=dict)
    """Runs of whole blocks, by cell."""

    def options(self) -> RuleOptions:
        """The user's settings and what the engines allow."""
        settings = self.session.settings
        return RuleOptions(
            alpha=settings.alpha,
            exhaustive=settings.exhaustive,
            improvements=settings.update == "all",
            restarts=all(source.restarts for source in self._sources),
            confirms=settings.confirm != "never",
            fixed_margin=settings.fixed_margin,
            paired=self._paired(),
        )

    @property
    def _sources(self) -> list[EngineSource]:
        return [] if self.campaign is None else list(self.campaign.sources.values())

    def _paired(self) -> frozenset[str]:
        """Cells whose old engine can be measured too, and will be where they are suspects."""
        reference = None if self.campaign is None else self.campaign.sources.get("reference")
        if reference is None or self.session.settings.confirm == "never":
            return frozenset()
        return frozenset(name for name, one in self.case.cells.items() if not reference.refusal(one.cell.engine))

    def pairs(self) -> dict[str, tuple[Measurement, Measurement]]:
        """Means of the pairs of each cell that had any."""
        return {name: (merge_runs(self.old[name]), merge_runs(self.new[name])) for name in self.old}

    def answer(self, request: Request) -> Observed:
        """Measure what is asked for, as far as the budget goes."""
        if isinstance(request, ScreenRuns):
            return Observed(runs=self._screened(request.runs), extras=self.case.extras)
        if self.campaign is None:
            return Observed(exhausted=INTERRUPTED)
        if self.session.settings.confirm == "never":
            return Observed(exhausted=_NEVER)
        self._say(request)
        return self._pairs(request) if isinstance(request, PairBlocks) else self._starts(request)

    def _screened(self, wanted: Mapping[str, int]) -> dict[str, list[Mapping[str, float]]]:
        """What was measured; where the noise asks for more than was planned, that too."""
        assert self.session.plan is not None, "unreachable because the plan is made first"
        cells = {name: self.case.cells[name].cell for name in wanted}
        if self.campaign is not None and self.session.settings.confirm != "never":
            found = {n: sum(_is_evidence(run) for run in self.campaign.runs(cells[n])) for n in wanted}
            lacking = {cells[n]: more for n in wanted if (more := wanted[n] - found[n]) > 0}
            if lacking and not self.campaign.bill.spent():
                self.campaign.screen(self.session.plan, lacking)
        runs = {name: _runs(self.session, cell) for name, cell in cells.items()}
        return {name: [self.case.run(name, run) for run in found] for name, found in runs.items()}

    def _pairs(self, request: PairBlocks) -> Observed:
        assert self.campaign is not None, "unreachable because an interrupted run measures nothing"
        found: dict[str, list[Block]] = {name: [] for name in request.cells}
        for _ in range(request.blocks):
            if spent := self.campaign.bill.spent():
                return Observed(blocks=found, exhausted=spent)
            self.blocks += 1
            places = self.campaign.pairs([self.case.cells[name].cell for name in request.cells], self.blocks)
            for name in request.cells:
                four = [m for place in places if _is_evidence(m := place.get(self.case.cells[name].cell))]
                if len(four) < len(places):
                    continue  # a run failed, or the client was its limit: the block is not whole
                self.old.setdefault(name, []).extend((four[0], four[3]))
                self.new.setdefault(name, []).extend((four[1], four[2]))
                runs = [self.case.run(name, measurement) for measurement in four]
                found[name].append(Block(old=(runs[0], runs[3]), new=(runs[1], runs[2])))
            if not places[-1]:
                return Observed(blocks=found, exhausted=self.campaign.bill.spent() or self._why_lost(request.cells))
        return Observed(blocks=found)

    def _starts(self, request: CandidateSessions) -> Observed:
        assert self.campaign is not None, "unreachable because an interrupted run measures nothing"
        found: dict[str, list[Mapping[str, float]]] = {name: [] for name in request.cells}
        for _ in range(request.sessions):
            if spent := self.campaign.bill.spent():
                return Observed(runs=found, exhausted=spent)
            self.blocks += 1
            measured = self.campaign.fresh_starts([self.case.cells[name].cell for name in request.cells], self.blocks)
            for name in request.cells:
                measurement = measured.get(self.case.cells[name].cell)
                if _is_evidence(measurement):
                    found[name].append(self.case.run(name, measurement))
            if not measured:
                return Observed(runs=found, exhausted=self.campaign.bill.spent() or self._why_lost(request.cells))
        return Observed(runs=found)

    def _why_lost(self, names: Sequence[str]) -> str:
        """An engine that gave nothing in one block would give nothing in the next: it is not started for each look."""
        assert self.campaign is not None, "unreachable because an interrupted run measures nothing"
        lost = self.campaign.unconfirmed
        reason = next((error for name in names if (error := lost.get(self.case.cells[name].cell))), INTERRUPTED)
        return f"nothing could be confirmed: {reason}"

    def _say(self, request: PairBlocks | CandidateSessions) -> None:
        assert self.campaign is not None, "unreachable because an interrupted run measures nothing"
        count = len(request.cells)
        which = request.cells[0] if count == 1 else f"{count} points, such as {request.cells[0]}"
        if isinstance(request, PairBlocks):
            how = f"{request.blocks} block{'s' * (request.blocks != 1)} of old, new, new, old"
        elif self.campaign.sources["candidate"].restarts:
            how = f"{request.sessions} fresh start{'s' * (request.sessions != 1)}"
        else:
            how = f"{request.sessions} further run{'s' * (request.sessions != 1)} (an attached server is not restarted)"
        self.campaign.listener.said(f"confirming {which}: {how}; {request.why}")


def _is_evidence(measurement: Measurement | None) -> TypeGuard[Measurement]:
    """Whether a run says something of the engine: it was measured, and the client kept up."""
    return measurement is not None and not measurement.client_limited


def screening_runs(stored: Iterable[BaselinePoint], folder: Path) -> dict[Cell, int]:
    """Runs of a first look at each cell, by the noise of what is stored of the whole suite, as the rule will ask.

    `folder`: of the baselines, where the noise of a selftest lies too.
    """
    suites: dict[tuple[str, str], list[CellEvidence]] = {}
    for point in stored:
        environment = point.environment
        suites.setdefault((environment.hardware, environment.engine), []).append(_stand_in(point))
    found: dict[Cell, int] = {}
    for evidence in suites.values():
        case = build(evidence, _selftest_noise(folder, evidence))
        request = next(decide(case.noise))
        assert isinstance(request, ScreenRuns), "unreachable because the rule asks for the screen first"
        for name, runs in request.runs.items():
            cell = case.cells[name].cell
            found[cell] = max(found.get(cell, 1), runs)
    return found


def _stand_in(point: BaselinePoint) -> CellEvidence:
    """What a cell will be like, before it is measured.

    An engine that counted by prompt will do so again: its acceptance is then no metric of the screen.
    """
    newest = point.runs[-1]
    measurement = msgspec.structs.replace(point.measurement(), acceptance=newest.acceptance, by_prompt=newest.by_prompt)
    return CellEvidence(measured=measurement, runs=(), baseline=point)


def _selftest_noise(folder: Path, evidence: Sequence[CellEvidence]) -> SuiteNoise | None:
    path = noise_file(folder, evidence[0].measured.environment)
    return load_noise(path) if path.exists() else None


def _runs(session: SpecdecSession, cell: Cell) -> tuple[Measurement, ...]:
    """The runs of a first look; their errors count what differs between starts in full, also where starts differ."""
    return () if session.campaign is None else tuple(usable(session.campaign.runs(cell)))
