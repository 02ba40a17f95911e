"""Stage 3: measured cells and their baselines -> verdicts; the rule may ask for more repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeGuard

import msgspec

from pytest_specdec.domain.cell import Cell, EngineSpec
from pytest_specdec.domain.naming import duration, listed, plural
from pytest_specdec.errors import INTERRUPTED
from pytest_specdec.gate.admission import settled
from pytest_specdec.gate.dialogue import Block, CandidateSessions, Observed, PairBlocks, Request, ScreenRuns
from pytest_specdec.gate.evidence import Case, CellEvidence, build
from pytest_specdec.gate.noise import SuiteNoise
from pytest_specdec.gate.noise_file import load_noise, noise_file
from pytest_specdec.gate.rule import decide
from pytest_specdec.gate.rules import RULES
from pytest_specdec.gate.ruling import RuleOptions
from pytest_specdec.measure.campaign import PAIRS, Campaign
from pytest_specdec.measure.measured import Measured
from pytest_specdec.pipeline.settings import Settings
from pytest_specdec.results.baseline import BaselinePoint, Baselines
from pytest_specdec.results.decision import FixedDecision, SuiteDecision
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.merge import merge_runs, usable
from pytest_specdec.results.verdict import Verdict
from pytest_specdec.suite.plan import Plan

_NEVER = "nothing more is measured (--specdec-confirm=never)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Verdicts of a suite, and the decision behind them."""

    verdicts: Mapping[Cell, Verdict] = field(default_factory=dict)
    decision: SuiteDecision | None = None
    """Decision over the whole suite; None where there was nothing to weigh."""
    noise_source: str = ""
    """Origin of the noise: measured, selftest or assumed."""
    fixed: FixedDecision | None = None
    """Decision of a fixed margin, where the user chose one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Means to measure more while the suite is judged."""

    campaign: Campaign
    plan: Plan
    can_pair: Callable[[EngineSpec], bool]
    """Tells if there is a reference engine for an engine."""


def judge(
    cells: Iterable[Cell], measured: Measured, baselines: Baselines, settings: Settings, again: Again | None = None
) -> Judgement:
    """Judge the suite.

    Args:
        cells: The planned cells; those without a measurement have no verdict.
        measured: Repeats of the cells.
        baselines: Stored baselines.
        settings: Rule and terms; gains are judged like losses where they are about to be stored.
        again: Measures what the rule asks for; None to decide by what there is, after an interruption.

    Raises:
        BrokenFileError: a baseline or the noise of a selftest cannot be read.
    """
    chosen = settings.gate
    found: dict[Cell, Verdict] = {}
    evidence = []
    for cell in sorted(cells):
        mean = measured.means.get(cell)
        if mean is None:
            continue
        baseline = baselines.find(cell, mean.environment)
        verdict = settled(mean, baseline, chosen.required_facts)
        if verdict is not None:
            found[cell] = verdict
        elif baseline is not None:
            evidence.append(CellEvidence(measured=mean, runs=tuple(usable(measured.repeats(cell))), baseline=baseline))
    if not evidence:
        return Judgement(verdicts=found)
    case = build(evidence, _selftest_noise(baselines.folder, evidence))
    desk: _Desk = _AsMeasured(case, INTERRUPTED if again is None else _NEVER)
    paired: frozenset[str] = frozenset()
    if again is not None and chosen.confirm != "never":
        desk = _Confirming(case=case, again=again)
        paired = frozenset(name for name, one in case.cells.items() if again.can_pair(one.cell.engine))
    options = RuleOptions(
        alpha=chosen.alpha,
        exhaustive=chosen.exhaustive,
        improvements=settings.baselines.update == "all",
        restarts=again is None or all(again.campaign.restarts.values()),
        confirms=chosen.confirm != "never",
        fixed_margin=chosen.fixed_margin,
        paired=paired,
    )
    ruling = RULES[chosen.rule].judge(case, options, desk.answer, desk.pairs)
    return Judgement(
        verdicts=found | ruling.verdicts,
        decision=ruling.decision,
        noise_source=case.noise.source if case.noise.hypotheses else "",
        fixed=ruling.fixed,
    )


class _Desk(Protocol):
    """Answers the rule's requests."""

    def answer(self, request: Request) -> Observed:
        """Answer one request."""

    def pairs(self) -> Mapping[str, tuple[Measurement, Measurement]]:
        """Return the means of the pairs of each cell that had any: reference, candidate."""


@dataclass(frozen=True, slots=True)
class _AsMeasured:
    """Answers with the measured repeats."""

    case: Case
    reason: str
    """Reason why nothing more is measured."""

    def answer(self, request: Request) -> Observed:
        """Return the repeats, and decline all other requests."""
        if isinstance(request, ScreenRuns):
            return Observed(runs=self.case.runs, extras=self.case.extras)
        return Observed(exhausted=self.reason)

    def pairs(self) -> Mapping[str, tuple[Measurement, Measurement]]:
        """Return nothing: no pair was measured."""
        return {}


@dataclass(slots=True, kw_only=True)
class _Confirming:
    """Answers by measuring, as far as the budget goes."""

    case: Case
    again: Again
    blocks: int = 0
    reference: dict[str, list[Measurement]] = field(default_factory=dict)
    candidate: dict[str, list[Measurement]] = field(default_factory=dict)
    """Repeats of whole blocks, by cell."""

    def answer(self, request: Request) -> Observed:
        """Measure the requested repeats."""
        if isinstance(request, ScreenRuns):
            return Observed(runs=self._screened(request.runs), extras=self.case.extras)
        self._say(request)
        return self._pairs(request) if isinstance(request, PairBlocks) else self._starts(request)

    def pairs(self) -> dict[str, tuple[Measurement, Measurement]]:
        """Return the means of the pairs of each cell that had any."""
        return {name: (merge_runs(self.reference[name]), merge_runs(self.candidate[name])) for name in self.reference}

    def _screened(self, wanted: Mapping[str, int]) -> dict[str, list[Mapping[str, float]]]:
        """Measure the repeats that the noise demands beyond the plan, and return all."""
        campaign = self.again.campaign
        cells = {name: self.case.cells[name].cell for name in wanted}
        found = {n: sum(_is_evidence(run) for run in campaign.found.repeats(cells[n])) for n in wanted}
        lacking = {cells[n]: more for n in wanted if (more := wanted[n] - found[n]) > 0}
        if lacking and not campaign.bill.spent():
            campaign.screen(self.again.plan, lacking)
        runs = {name: usable(campaign.found.repeats(cell)) for name, cell in cells.items()}
        return {name: [self.case.run(name, run) for run in found] for name, found in runs.items()}

    def _pairs(self, request: PairBlocks) -> Observed:
        campaign = self.again.campaign
        found: dict[str, list[Block]] = {name: [] for name in request.cells}
        for _ in range(request.blocks):
            if spent := campaign.bill.spent():
                return Observed(blocks=found, exhausted=spent)
            self.blocks += 1
            positions = campaign.pairs([self.case.cells[name].cell for name in request.cells], self.blocks)
            for name in request.cells:
                four = [m for position in positions if _is_evidence(m := position.get(self.case.cells[name].cell))]
                if len(four) < len(positions):
                    continue  # a repeat failed, or was client-limited: the block is not whole
                self.reference.setdefault(name, []).extend((four[0], four[3]))
                self.candidate.setdefault(name, []).extend((four[1], four[2]))
                runs = [self.case.run(name, measurement) for measurement in four]
                found[name].append(Block(old=(runs[0], runs[3]), new=(runs[1], runs[2])))
            if not positions[-1]:
                return Observed(blocks=found, exhausted=campaign.bill.spent() or self._why_lost(request.cells))
        return Observed(blocks=found)

    def _starts(self, request: CandidateSessions) -> Observed:
        campaign = self.again.campaign
        found: dict[str, list[Mapping[str, float]]] = {name: [] for name in request.cells}
        for _ in range(request.sessions):
            if spent := campaign.bill.spent():
                return Observed(runs=found, exhausted=spent)
            self.blocks += 1
            measured = campaign.fresh_starts([self.case.cells[name].cell for name in request.cells], self.blocks)
            for name in request.cells:
                measurement = measured.get(self.case.cells[name].cell)
                if _is_evidence(measurement):
                    found[name].append(self.case.run(name, measurement))
            if not measured:
                return Observed(runs=found, exhausted=campaign.bill.spent() or self._why_lost(request.cells))
        return Observed(runs=found)

    def _why_lost(self, names: Sequence[str]) -> str:
        """Name the reason why a block is empty: the engine would fail in the next block too."""
        lost = self.again.campaign.unconfirmed
        reason = next((error for name in names if (error := lost.get(self.case.cells[name].cell))), INTERRUPTED)
        return f"nothing could be confirmed: {reason}"

    def _say(self, request: PairBlocks | CandidateSessions) -> None:
        campaign = self.again.campaign
        if isinstance(request, PairBlocks):
            repeats, how = len(PAIRS) * request.blocks, f"{plural(request.blocks, 'block')} of {', '.join(PAIRS)}"
        elif campaign.restarts["candidate"]:
            repeats, how = request.sessions, plural(request.sessions, "fresh server start")
        else:
            repeats, how = request.sessions, f"{plural(request.sessions, 'more repeat')} on the attached server"
        most_s = repeats * len(request.cells) * (campaign.point.rule.ceiling_s + campaign.point.limits.settle_s)
        campaign.listener.said(
            f"confirming {listed(request.cells)}: {how}, at most {duration(most_s)} of load; {request.why}"
        )


def _is_evidence(measurement: Measurement | None) -> TypeGuard[Measurement]:
    """Tell if a repeat counts: it was measured, and the client kept up."""
    return measurement is not None and not measurement.client_limited


def screening_runs(stored: Iterable[BaselinePoint], folder: Path) -> dict[Cell, int]:
    """Repeats of each cell, by the noise of the stored baselines of the whole suite, as the rule will ask.

    `folder`: of the baselines, where the noise of a selftest lies, too.
    """
    suites: dict[tuple[str, str], list[CellEvidence]] = {}
    for point in stored:
        environment = point.environment
        suites.setdefault((environment.hardware, environment.engine), []).append(_stand_in(point))
    found: dict[Cell, int] = {}
    for evidence in suites.values():
        case = build(evidence, _selftest_noise(folder, evidence))
        request = next(decide(case.noise))
        assert isinstance(request, ScreenRuns), "the rule asks for the screen first"
        for name, runs in request.runs.items():
            cell = case.cells[name].cell
            found[cell] = max(found.get(cell, 1), runs)
    return found


def _stand_in(point: BaselinePoint) -> CellEvidence:
    """Expected evidence of a cell, before it is measured.

    An engine that counted by prompt will do so again: its acceptance is then no metric of the screen.
    """
    newest = point.runs[-1]
    measurement = msgspec.structs.replace(point.measurement(), acceptance=newest.acceptance, by_prompt=newest.by_prompt)
    return CellEvidence(measured=measurement, runs=(), baseline=point)


def _selftest_noise(folder: Path, evidence: Sequence[CellEvidence]) -> SuiteNoise | None:
    path = noise_file(folder, evidence[0].measured.environment)
    return load_noise(path) if path.exists() else None
