"""The fixtures: measurements, baselines, curves, comparisons and answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import pytest

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.plugin import stages
from pytest_specdec.plugin.stash import JUDGED, RECORD, SETTINGS, SETUP, SUBJECT, is_worker

if TYPE_CHECKING:
    from pytest_specdec.domain.comparison import Comparison
    from pytest_specdec.domain.curve import Curve
    from pytest_specdec.outputs.checks import Outputs
    from pytest_specdec.plugin.judged_baseline import JudgedBaseline
    from pytest_specdec.plugin.other_plugins import Surfaces
    from pytest_specdec.results.measurement import Measurement
    from pytest_specdec.suite.subjects import Subject

S = TypeVar("S")


@pytest.fixture
def specdec_subject(request: pytest.FixtureRequest) -> Subject:
    """The subject of this test: a cell, a curve or a comparison (used by the fixtures below)."""
    _refuse_worker(request.config)
    surfaces: Surfaces | None = request.config.pluginmanager.get_plugin("specdec-surfaces")
    if surfaces is not None:
        surfaces.describe_once(request)
    return request.node.stash[SUBJECT]  # type: ignore[no-any-return]


@pytest.fixture
def measurement(specdec_subject: Subject, request: pytest.FixtureRequest) -> Measurement:
    """The measurement of this test's cell; `assert measurement >= baseline` reads the suite's verdict.

    `measurement.throughput`, `.interactivity`, `.acceptance_length` and `.value("ttft_p50_ms")` are intervals: a
    comparison with a number passes or fails where the 95 % interval decides, and is inconclusive where it does not. A
    test that also takes pytest-benchmark's `benchmark` is a row of its table, whose OPS are output tokens per second.
    """
    from pytest_specdec.domain.cell import Cell
    from pytest_specdec.pipeline.read import read_measurement

    return read_measurement(request.config.stash[RECORD], _of_kind(specdec_subject, Cell))


@pytest.fixture
def baseline(measurement: Measurement, request: pytest.FixtureRequest) -> JudgedBaseline:
    """The stored baseline of this test's cell, with the verdict of the suite: `measurement >= baseline`.

    All cells are judged at once, before the first test, so that the false-alarm rate holds for the suite.
    `--specdec-update` measures and stores the missing ones.
    """
    from pytest_specdec.plugin.judged_baseline import JudgedBaseline
    from pytest_specdec.report.run_report import verdict_lines

    settings = request.config.stash[SETTINGS].baselines
    verdict = request.config.stash[RECORD].judgement.verdicts[measurement.cell]
    arguments = " ".join(arg for arg in map(str, request.config.args) if "::" not in arg)
    judged = JudgedBaseline(
        verdict,
        verdict_lines(verdict),
        updating=settings.update,
        reason=settings.reason,
        command=f"pytest {arguments} --specdec-update=new",
    )
    request.node.stash[JUDGED] = judged
    return judged


@pytest.fixture
def curve(specdec_subject: Subject, request: pytest.FixtureRequest) -> Curve:
    """The curve of this test's engine and workload over concurrency; `curve.at(75)` reads it at 75 tok/s/user.

    A value between two measured points names them; outside the measured range there is none.
    """
    from pytest_specdec.pipeline.read import read_curve
    from pytest_specdec.suite.matrix import CurveSubject

    return read_curve(request.config.stash[RECORD], _of_kind(specdec_subject, CurveSubject))


@pytest.fixture
def comparison(specdec_subject: Subject, request: pytest.FixtureRequest) -> Comparison:
    """MTP against Off: `comparison.at(75).throughput_ratio > 1.5` at matched interactivity, or by `at_concurrency`.

    One test per MTP mode and workload; its cells are measured in both modes.
    """
    from pytest_specdec.pipeline.read import read_comparison
    from pytest_specdec.suite.matrix import ComparisonSubject

    stash = request.config.stash
    return read_comparison(stash[RECORD], _of_kind(specdec_subject, ComparisonSubject), stash[SETUP].baselines)


@pytest.fixture
def outputs(specdec_subject: Subject, request: pytest.FixtureRequest) -> Outputs:
    """The answers of an MTP engine against those without speculation: `assert outputs.same_text`, `.clean`, ...

    Both engines answer the same questions greedily after the load; Off answers twice, as the control.
    """
    from pytest_specdec.pipeline.read import read_outputs
    from pytest_specdec.suite.matrix import OutputSubject

    return read_outputs(request.config.stash[RECORD], _of_kind(specdec_subject, OutputSubject))


@pytest.fixture
def specdec_measure(request: pytest.FixtureRequest) -> Callable[..., Measurement]:
    """Measure one cell of your own now: `specdec_measure(mtp=3, sequence="4k256", concurrency=8)`.

    The arguments are those of the specdec marker, and the test's markers fill in what is left out. The same engines
    serve it as the plan (attached or simulated). The result is neither judged nor stored as a baseline.
    """
    from pytest_specdec.suite.matrix import Matrix

    config = request.config
    _refuse_worker(config)
    markers = [marker.kwargs for marker in request.node.iter_markers("specdec")]

    def measure(**arguments: object) -> Measurement:
        tier = config.stash[SETTINGS].suite.tier
        matrix = Matrix.from_markers([arguments, *markers], tier, request.node.path.parent)
        cells = matrix.cells()
        if len(cells) != 1:
            raise InvalidInputError(f"specdec_measure measures one cell, these arguments make {len(cells)}")
        stages.declare(config, cells[0], matrix)
        return stages.measure_apart(config, cells[0])

    return measure


def _of_kind(subject: Subject, kind: type[S]) -> S:
    """Return a test's subject as what its fixture reads; `hooks` gives each fixture its own kind."""
    if not isinstance(subject, kind):
        raise TypeError(f"{subject} is not a {kind.__name__}")
    return subject


def _refuse_worker(config: pytest.Config) -> None:
    if is_worker(config):
        raise InvalidInputError(
            "specdec measures one endpoint at a time, and several xdist workers would disturb each other's numbers: "
            "run the specdec tests without -n"
        )
