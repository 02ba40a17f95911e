"""Runs and baselines that were stored before the stages became values: they are read, and judged the same.

The files in tests/data/landed_gate are never changed; where the gate's rule changes, the expected verdicts are listed
here with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_specdec.domain import client_health
from pytest_specdec.domain.cell import Cell
from pytest_specdec.measure.measured import Measured
from pytest_specdec.pipeline.judge import Judgement, judge
from pytest_specdec.pipeline.settings import GateSettings, Settings
from pytest_specdec.results.baseline import Baselines
from pytest_specdec.results.run import Run, load_run
from pytest_specdec.results.verdict import Verdict

DATA = Path(__file__).parent.parent / "data" / "landed_gate"
RUNS = sorted(path.stem for path in (DATA / "runs").glob("*.json"))
SENTENCES = ("reason", "advisory", "stopped")
"""Fields of decisions that hold words."""


def judged_again(run: Run) -> Judgement:
    cells = [measurement.cell for measurement in run.measurements]
    measured = Measured(raw=run.raw, cost=run.cost, complete=True)
    return judge(cells, measured, Baselines(DATA / "baselines"), Settings(gate=GateSettings(confirm="never")))


def numbers(record: msgspec.Struct) -> Any:
    """Everything of a verdict or decision but its sentences; half-widths as stored."""
    return without_sentences(msgspec.to_builtins(record))


def without_sentences(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: without_sentences(value) for key, value in found.items() if key not in SENTENCES}
    return [without_sentences(value) for value in found] if isinstance(found, list | tuple) else found


def of_cells(verdicts: Iterable[Verdict]) -> dict[Cell, list[object]]:
    """Outcome, metrics, checks and diagnosis of each cell, as numbers."""
    return {
        one.cell: [one.outcome, one.confirmed, [numbers(part) for part in (*one.metrics, *one.checks)]]
        for one in verdicts
    }


@pytest.fixture(autouse=True)
def _no_client_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs were made on a busy machine, without bounds on the client; so are they judged."""
    for bound in [name for name in vars(client_health) if name.startswith("MOST_")]:
        monkeypatch.setattr(client_health, bound, float("inf"))


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> Run:
    return load_run(DATA / "runs" / f"{request.param}.json")


def test_each_cell_has_the_verdict_of_then(run: Run) -> None:
    assert of_cells(judged_again(run).verdicts.values()) == of_cells(run.verdicts)


def test_the_suite_has_the_decision_of_then(run: Run) -> None:
    now = judged_again(run)
    assert (now.noise_source, now.fixed) == (run.noise_source, run.fixed)
    assert now.decision is not None
    assert run.decision is not None
    assert numbers(now.decision) == numbers(run.decision)


def test_means_of_raw_runs_are_those_of_then(run: Run) -> None:
    means: dict[Cell, object] = {cell: mean.values for cell, mean in Measured(raw=run.raw).means.items()}
    assert means == {measurement.cell: measurement.values for measurement in run.measurements}
