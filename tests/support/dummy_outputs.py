"""Every output that shows a choice of metrics, with one metric more; run as a script, for modules read rows once."""

from __future__ import annotations

import sys

import dummy_metric
import gate_jobs
import msgspec
from measured import measured

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.gate.dialogue import drive
from pytest_specdec.gate.presets import PRESETS
from pytest_specdec.gate.rule import decide
from pytest_specdec.gate.verdicts import SHOWN
from pytest_specdec.importers.result import READINGS
from pytest_specdec.plugin.other_plugins import columns
from pytest_specdec.report.formats import FORMATS, Session
from pytest_specdec.report.page_data import run_document
from pytest_specdec.report.render import terminal
from pytest_specdec.report.run_report import report_run, verdict_table
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Run
from pytest_specdec.results.verdict import MetricVerdict, Verdict

KEY = dummy_metric.KEY


def _point(concurrency: int, mtp: int) -> Measurement:
    point = measured(concurrency, mtp=mtp, throughput=concurrency * 20.0, interactivity=100.0 / concurrency)
    return msgspec.structs.replace(point, values=point.values | {KEY: Estimate(4321.5, 12.25)})


def _gate(loss: float) -> str:
    job = gate_jobs.ScriptedJob(level={"a": 3.0}, loss={"a": loss}, metric=KEY)
    (decision,) = drive(decide(job.baseline()), job.measure).decisions
    return f"{decision.metric} {decision.outcome.value}"


def _verdict() -> str:
    point = _point(4, 0)
    told = MetricVerdict(
        metric=KEY, baseline=Estimate(100.0), measured=Estimate(150.0), loss=Estimate(0.5), tolerance=0.06, outcome=None
    )
    return terminal(verdict_table([Verdict(cell=point.cell, outcome=Outcome.PASS, metrics=(told,))]))


def outputs() -> dict[str, object]:
    """What each output says, by its name."""
    points = [_point(c, mtp) for c in (4, 8) for mtp in (0, 3)]
    run = Run(tool_version="0.1.0", started_at="2026-11-23T12:00:00+00:00", complete=True, measurements=tuple(points))
    document = run_document(run)
    return {
        "terminal": "\n".join(terminal(table) for table in report_run(run)[1]),
        "page metrics": [metric.key for metric in document.metrics],
        "page x": document.x_axes,
        "page y": document.y_axes,
        "verdict": _verdict(),
        "shown": SHOWN,
        "peers": READINGS,
        "pytest-html": columns(),
        "limits": PRESETS[KEY],
        "same": _gate(0.0),
        "lost": _gate(0.2),
        **{one.suffix: one.of_run(run, Session()) for one in FORMATS},
    }


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(outputs()))
