"""The bridge to pytest-benchmark: a test that takes `measurement` and `benchmark` is a row of its table.

One iteration is one output token of the whole engine, so that the OPS column is output tok/s and the ratio between two
rows of a group is the speed-up by MTP. The rounds are the batches of equally many tokens into which the measured window
is cut; a clock plays them back, because the load ran long before the test did. Only public names of pytest-benchmark
are used, so that its options, storage and files work as for any other benchmark.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_specdec.plugin.stash import RECORD, SETTINGS

if TYPE_CHECKING:
    from pytest_specdec.results.measurement import Measurement

OPERATION = "1 operation = 1 output token of the whole engine: OPS is output tok/s"
_FIXTURES = frozenset({"benchmark", "measurement", "specdec_subject"})
"""The last one tells this plugin's `measurement` from another fixture of that name."""

_COMPARABLE = ("hardware", "engine", "parallelism", "workload")


class PlaybackClock:
    """A timer for pytest-benchmark that advances only when told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def output_tokens(self) -> float:
        """The time; named after the timed unit, since the timer's name is stored with the results."""
        return self.now_s

    def play(self, benchmark: Any, seconds: tuple[float, ...]) -> None:  # noqa: ANN401 - pytest-benchmark is not typed
        """Give these durations to a benchmark, one per round."""
        left: Iterator[float] = iter(seconds)

        def pass_on() -> None:
            self.now_s += next(left)

        def back_to_zero() -> None:
            # A difference of large times would not be the duration to the last digit.
            self.now_s = 0.0

        benchmark.pedantic(pass_on, setup=back_to_zero, rounds=len(seconds))


CLOCK = pytest.StashKey[PlaybackClock]()


class BenchmarkBridge:
    """Hooks; registered where pytest-benchmark is active."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.rows: dict[str, Measurement] = {}
        """Recorded measurements, by test."""
        self.stored: dict[str, dict[str, Any]] = {}
        """Extra information of the stored results that pytest-benchmark compares with, by test."""
        self.unlike: list[str] = []
        """Warnings about rows that are not compared, or differ from the stored result."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Give the test its clock before its `benchmark` is made."""
        if not _FIXTURES.issubset(getattr(item, "fixturenames", ())):
            return
        marker = item.get_closest_marker("benchmark")
        clock = item.stash[CLOCK] = PlaybackClock()
        options = {} if marker is None else dict(marker.kwargs)
        item.add_marker(pytest.mark.benchmark(**options | {"timer": clock.output_tokens}), append=False)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Record the row before the test can fail, and once also when it is rerun."""
        if CLOCK in item.stash and item.nodeid not in self.rows:
            funcargs: Mapping[str, Any] = item.funcargs  # type: ignore[attr-defined]  # of every function
            self._record(item, item.stash[CLOCK], funcargs["benchmark"], funcargs["measurement"])
            del item.stash[CLOCK]
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Mark `benchmark` as used: engine trouble, a rerun or a test without `measurement` leaves it unused."""
        funcargs: Mapping[str, Any] = getattr(item, "funcargs", {})
        if "specdec_subject" in getattr(item, "fixturenames", ()) and "benchmark" in funcargs:
            funcargs["benchmark"].skipped = True

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_compare_machine_info(self, compared_benchmark: dict[str, Any]) -> None:
        """Take simulated results out of a stored file before it is compared with real ones, and the reverse."""
        candidate = self.config.stash[SETTINGS].candidate
        simulated = not candidate.endpoints and not candidate.launch
        kept, left_out = [], []
        for row in compared_benchmark["benchmarks"]:
            extra = row.get("extra_info") or {}
            ours = extra.get("ops") == OPERATION
            if ours and ("simulated" in extra) != simulated:
                left_out.append(row["fullname"])
            else:
                kept.append(row)
                self.stored |= {row["fullname"]: extra} if ours else {}
        compared_benchmark["benchmarks"] = kept
        if left_out:
            theirs, mine = ("real", "simulated") if simulated else ("simulated", "real")
            self.unlike.append(
                f"{len(left_out)} stored results, such as {left_out[0]}, are of {theirs} engines and this run is of "
                f"{mine} ones: not compared"
            )

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """State the unit of the operations in the file."""
        if self.rows:
            from pytest_specdec.report.flat import SIMULATED
            from pytest_specdec.version import __version__

            simulated = any(row.environment.simulated for row in self.rows.values())
            output_json["specdec"] = {"tool_version": __version__, "ops": OPERATION} | (
                {"simulated": SIMULATED} if simulated else {}
            )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what was not compared."""
        for line in self.unlike:
            terminalreporter.write_line(f"pytest-benchmark: {line}", yellow=True)

    def _record(self, item: pytest.Item, clock: PlaybackClock, benchmark: Any, measurement: Measurement) -> None:  # noqa: ANN401
        from pytest_specdec.domain.axes import cell_axes
        from pytest_specdec.report.flat import identity, metric_units, metric_values

        self.rows[item.nodeid] = measurement
        about = identity(measurement)
        stored = self.stored.get(item.nodeid, about)
        self.unlike += [
            f"{item.nodeid}: the stored result differs in {field}: {stored.get(field)} against {about[field]}"
            for field in _COMPARABLE
            if stored.get(field) != about[field]
        ]
        verdict = self.config.stash[RECORD].judgement.verdicts.get(measurement.cell)
        benchmark.group = benchmark.group or group_of(measurement)
        own: Mapping[str, object] = item.callspec.params  # type: ignore[attr-defined]  # of every parametrized test
        # A frozen cell would be written as "UNSERIALIZABLE", and its axes could not be grouped by.
        benchmark.params = {k: v for k, v in own.items() if k != "specdec_subject"} | cell_axes(measurement.cell)
        benchmark.extra_info |= {
            **about,
            "ops": OPERATION,
            **({} if verdict is None else {"verdict": verdict.outcome.value}),
            **dict(metric_values(measurement)),
            "units": metric_units(measurement),
            "notes": list(measurement.notes),
        }
        clock.play(benchmark, seconds_per_token(measurement))


def seconds_per_token(measurement: Measurement) -> tuple[float, ...]:
    """Return seconds per output token of the whole engine by batch; their mean gives the reported throughput.

    The batches are as they were in the window, the throughput is that of the long run (see `estimators.steady`): they
    are scaled by the small difference, so that one number stands in every report.
    """
    mean_s = 1 / (measurement.value("output_tok_s_gpu").value * measurement.cell.engine.gpus)
    batches = measurement.batches_s
    if not batches:
        return (mean_s,)
    return tuple(seconds * len(batches) / sum(batches) * mean_s for seconds in batches)


def group_of(measurement: Measurement) -> str:
    """Return the group of rows that may be compared: one model, workload and load on one machine, every MTP mode."""
    from pytest_specdec.domain.cell import cell_prefix

    cell, environment = measurement.cell, measurement.environment
    prefix = cell_prefix(cell.engine.off(), cell.workload).removesuffix("-off")
    level = cell.level if cell.rate else f"c{cell.level}"
    label = "SIMULATED " if environment.simulated else ""
    where = f"{environment.engine} on {environment.hardware} {cell.engine.parallelism}"
    return f"{label}{prefix}-{level}, {where}; OPS = output tok/s"
