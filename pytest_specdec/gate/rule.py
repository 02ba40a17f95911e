"""The decision rule: screen everything, explain what is common, confirm only suspects.

A generator: it yields requests for data and is sent observations, so that the very same code decides over engines and
in simulation. docs/gate.md has the rule in words and formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from scipy import special

from pytest_specdec.domain.metric import Limits
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.gate import common_shift, confirm
from pytest_specdec.gate import screen as screening
from pytest_specdec.gate.confirm import Question
from pytest_specdec.gate.dialogue import Block, CandidateSessions, Observed, PairBlocks, Request, Rule, ScreenRuns
from pytest_specdec.gate.family import family_of
from pytest_specdec.gate.interim import Interim
from pytest_specdec.gate.judgement import Findings, conclude
from pytest_specdec.gate.noise import Run, SuiteNoise
from pytest_specdec.gate.presets import PRESETS
from pytest_specdec.gate.terms import PAIRS_PER_BLOCK, Terms, spent_at
from pytest_specdec.gate.variances import Array
from pytest_specdec.results.decision import Hypothesis

Step = Generator[Request, Observed, None]
_Fresh = TypeVar("_Fresh", Block, Run)


def decide(
    noise: SuiteNoise,
    *,
    terms: Terms | None = None,
    presets: Mapping[str, Limits] = PRESETS,
    engines: Mapping[str, str] | None = None,
    paired: AbstractSet[str] | None = None,
) -> Rule:
    """Decide over a suite.

    Args:
        noise: The stored baseline: a mean and its noise for each hypothesis. Every one of them is judged.
        terms: Error rates and interims.
        presets: Margin and tolerance by metric.
        engines: Engine of each cell, whose starts its cells share; None for an engine per cell.
        paired: Cells that the reference engine can measure too; None for all of them.

    Yields:
        Requests for data.

    Returns:
        The decision.

    Raises:
        InvalidInputError: no hypothesis, a value that is not finite, or extra checks without a share of alpha.
    """
    terms = terms or Terms()
    family = family_of(noise, terms, presets)
    if not family.hypotheses:
        raise InvalidInputError("no cell has a baseline of a gated metric, so there is nothing to judge")
    able = frozenset(family.cells) if paired is None else frozenset(paired)
    suite = _Suite(family=family, terms=terms, able=able, engines=engines or {})
    yield from suite.screen()
    yield from suite.explain_common()
    suite.suspect()
    yield from suite.confirm()
    yield from suite.confirm_unpaired()
    return conclude(suite)


@dataclass(slots=True, kw_only=True)
class _Suite(Findings):
    """One run of the rule, step by step."""

    engines: Mapping[str, str]
    values: Array = field(init=False)
    factor: Array = field(init=False)
    """phi by hypothesis."""
    data: dict[int, list[float]] = field(default_factory=dict)
    """Differences of pairs, or values of fresh sessions, by hypothesis."""

    def screen(self) -> Step:
        """Ask for runs of the candidate and estimate their noise."""
        observed = yield from self._ask(ScreenRuns(runs=screening.runs_needed(self.family)))
        self.values = screening.screen_values(self.family, observed.runs)
        self.factors = screening.runner_factors(self.family, self.values)
        self.factor = np.array([self.factors[hypothesis.metric] for hypothesis in self.family.hypotheses])
        self.screened = screening.screen(self.family, self.values, self.factor)

    def explain_common(self) -> Step:
        """Attribute the shift that all cells share, and screen again without the machine's part."""
        family, terms = self.family, self.terms
        seen = common_shift.common_shifts(family, self.screened)
        level = terms.alpha * terms.common_share / len(family.metrics)
        if not (self.able and terms.restarts):
            self.common = [common_shift.judge_unpaired(one, level, terms.alpha) for one in seen]
            self.spent += level * len(seen)
            return
        outstanding = [one for one in seen if one.stands_out]
        self.common = [common_shift.unexplained(one, looked_for=False) for one in seen if not one.stands_out]
        cells = common_shift.telling_cells(family, self.engines, self.able, terms)
        if not outstanding or len(cells) < common_shift.FEWEST_TELLING or self.stopped:
            self.common += [common_shift.unexplained(one, looked_for=False) for one in outstanding]
            return
        why = "all cells shifted together: separate the machine from the engine"
        blocks = terms.common_pairs // PAIRS_PER_BLOCK
        observed = yield from self._ask(PairBlocks(cells=tuple(cells), blocks=blocks, why=why))
        starts = len({self.engines.get(cell, cell) for cell in cells})
        for one in outstanding:
            rows = [i for cell in cells for i in family.of_cell(cell) if family.metric[i] == one.index]
            pairs = {i: confirm.differences(family.hypotheses[i], observed.blocks.get(family.hypotheses[i].cell, ()))
                     for i in rows}  # fmt: skip
            interim = common_shift.pooled_interim(family, pairs, starts, self.factors[one.metric])
            self.common.append(common_shift.explained(one, interim, level, terms.alpha))
            self.spent += level
            self.interims += 1
        machine = common_shift.machine_of(family, self.common)
        if machine is not None:
            self.screened = screening.screen(family, self.values, self.factor, machine)

    def suspect(self) -> None:
        """Open a question for every hypothesis that the screen does not pass.

        A hypothesis too noisy for its margin never passes; it is worth pairs only where the screen shows a loss nearer
        to the margin than to the tolerance.
        """
        middle = (self.family.near + self.family.far) / 2
        gated = self.family.gated & (self.screened.runs > 0)
        signs = [(1, screening.passes(self.family, self.screened, self.terms))]
        if self.terms.improvements:
            signs.append((-1, screening.cannot_gain(self.family, self.screened, self.terms)))
        for sign, cleared in signs:
            loss = sign * self.screened.loss
            rows = np.flatnonzero(gated & ~cleared & (self.family.gateable | (loss > middle)))
            shares = confirm.evidence_shares(loss[rows], self.screened.se[rows], self.family.far[rows])
            self.questions += [Question(row=int(row), sign=sign, share=float(share))
                               for row, share in zip(rows, shares, strict=True)]  # fmt: skip

    def confirm(self) -> Step:
        """Confirm suspects by pairs, worst first, in waves; a wave with a FAIL is the last unless exhaustive."""
        interims = self.terms.pair_interims(len(self.family.hypotheses))
        suspects = self._worst_first(self.able)
        for begin in range(0, len(suspects), self.terms.wave):
            if self.stopped or (self._failed() and not self.terms.exhaustive):
                return
            yield from self._confirm_wave(suspects[begin : begin + self.terms.wave], interims)

    def _confirm_wave(self, wave: list[str], interims: tuple[int, ...]) -> Step:
        done = 0
        for number, pairs in enumerate(interims):
            open_questions = self._open_in(wave)
            if not open_questions or self.stopped:
                return
            cells = tuple(sorted({self.family.hypotheses[q.row].cell for q in open_questions}))
            why = f"interim analysis {number + 1} of {len(interims)}: {pairs} pairs"
            request = PairBlocks(cells=cells, blocks=(pairs - done) // PAIRS_PER_BLOCK, why=why)
            observed = yield from self._ask(request)
            done = pairs
            rows = sorted({q.row for q in open_questions})
            if not self._add(rows, observed.blocks, confirm.differences, request.blocks):
                return
            data = [self.data[row] for row in rows]
            if number == 0:
                self.factor = np.maximum(
                    self.factor, confirm.pair_factor(confirm.padded(data), self.family.pair_variance[rows])
                )
            interim = confirm.interim_of_rows(self.family, rows, data, self.factor)
            if not self.terms.restarts:
                interim = confirm.with_one_start(interim, self.family, rows)
            self._settle(open_questions, rows, interim, self._kept * spent_at(interims, number))

    def confirm_unpaired(self) -> Step:
        """Confirm suspects that cannot be paired by fresh starts of the candidate."""
        self._prove_outright()
        interims = self.terms.session_interims
        suspects = self._worst_first(frozenset(self.family.cells) - self.able)
        for number, sessions in enumerate(interims):
            open_questions = [q for q in self._open_in(suspects) if q.sign == 1]
            if not open_questions or self.stopped or (self._failed() and not self.terms.exhaustive):
                return
            cells = tuple(sorted({self.family.hypotheses[q.row].cell for q in open_questions}))
            more = sessions - (interims[number - 1] if number else 0)
            why = f"interim analysis {number + 1} of {len(interims)}: {sessions} fresh starts against the stored mean"
            observed = yield from self._ask(CandidateSessions(cells=cells, sessions=more, why=why))
            rows = sorted({q.row for q in open_questions})
            if not self._add(rows, observed.runs, confirm.session_values, more):
                return
            interim = confirm.interim_of_sessions(self.family, rows, [self.data[row] for row in rows], self.factor)
            self._settle(open_questions, rows, interim, self._kept * spent_at(interims, number), beyond_margin=True)

    @property
    def _kept(self) -> float:
        """Share of the suspects' alpha for interim analyses: all of it where every cell can be paired."""
        return 1.0 if self.able.issuperset(self.family.cells) else 1.0 - self.terms.outright_share

    def _prove_outright(self) -> None:
        """Settle losses so far beyond the margin that no fresh start could refute them.

        The data are those of the screen, which chose the suspects: every hypothesis gets the same share of alpha, and
        below three runs the loss that one outlier explains is subtracted.
        """
        unable = frozenset(self.family.cells) - self.able
        cells = [hypothesis.cell for hypothesis in self.family.hypotheses]
        gated = sum(cell in unable for cell, is_gated in zip(cells, self.family.gated, strict=True) if is_gated)
        if not gated:
            return
        level = self.terms.alpha * self.terms.confirm_share * self.terms.outright_share / gated
        explained = np.where(self.screened.runs < confirm.ENOUGH_RUNS, confirm.OUTLIER, 0.0)
        beyond = (self.screened.loss - self.family.far - explained) / self.screened.se
        chance = special.stdtr(self.screened.freedom, -beyond)
        self.spent += level * gated
        for question in self.questions:
            if question.sign == 1 and self.family.hypotheses[question.row].cell in unable:
                p = float(chance[question.row])
                question.p_adjusted = min(question.p_adjusted, p * self.terms.alpha / level)
                if p < level:
                    question.state = "proven"

    def _add(
        self,
        rows: list[int],
        fresh: Mapping[str, Sequence[_Fresh]],
        read: Callable[[Hypothesis, Sequence[_Fresh]], list[float]],
        wanted: int,
    ) -> bool:
        """Add fresh data of some hypotheses; False where measuring ended before all that was wanted is there."""
        complete = True
        for row in rows:
            hypothesis = self.family.hypotheses[row]
            of_cell = fresh.get(hypothesis.cell, ())
            complete = complete and len(of_cell) >= wanted
            self.data.setdefault(row, []).extend(read(hypothesis, of_cell))
        return complete or not self.stopped

    def _ask(self, request: Request) -> Generator[Request, Observed, Observed]:
        observed = yield request
        if observed.extras and not self.terms.extra_share:
            raise InvalidInputError("extra checks were handed in, but the terms give them no share of alpha")
        self.extras += observed.extras
        self.stopped = observed.exhausted
        return observed

    def _settle(
        self, questions: list[Question], rows: list[int], interim: Interim, spent: float, *, beyond_margin: bool = False
    ) -> None:
        self.interims += 1
        for place, row in enumerate(rows):
            if not np.isnan(interim.loss[place]):
                one = (interim.loss[place], interim.se[place], interim.freedom[place], interim.count[place])
                self.fresh[row] = (float(one[0]), float(one[1]), float(one[2]), int(one[3]))
        for question in questions:
            level = confirm.levels(self.terms, question.share, spent)
            far, near = float(self.family.far[question.row]), float(self.family.near[question.row])
            limits = (far if beyond_margin else near, far)
            confirm.settle(question, interim, rows.index(question.row), limits, level)
            self.spent += level.proven if question.sign == 1 else 0.0

    def _worst_first(self, cells: Iterable[str]) -> list[str]:
        allowed = set(cells)
        worst: dict[str, float] = {}
        for question in self.questions:
            cell, row = self.family.hypotheses[question.row].cell, question.row
            score = float((question.sign * self.screened.loss[row] - self.family.near[row]) / self.screened.se[row])
            if cell in allowed:
                worst[cell] = max(worst.get(cell, -np.inf), score)
        return sorted(worst, key=lambda cell: (-worst[cell], cell))

    def _open_in(self, cells: list[str]) -> list[Question]:
        allowed = set(cells)
        return [q for q in self.questions if q.open and self.family.hypotheses[q.row].cell in allowed]

    def _failed(self) -> bool:
        lost = any(q.sign == 1 and q.state == "proven" for q in self.questions)
        return lost or any(shift.failed for shift in self.common)
