"""pytest's own surfaces: JUnit properties, durations, reruns, and the columns of pytest-html and pytest-json-report.

Registered by the plugin beside its own hooks; every hook of another plugin is optional.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_specdec.plugin.stash import ATTEMPTS, DEMAND, FINISHED, PROGRESS, RECORD, SETTINGS

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_specdec.results.run import Run

_AFTER = 2
"""Result and Test stand before them."""
_MIN_SHOWN_S = 0.005
"""As in pytest's own list of durations."""


class Surfaces:
    """Hooks of one session, and their state."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._ours: set[str] = set()
        self._html: Any = None
        self._described = False

    # ---- properties of tests and of the suite: JUnit, pytest-json-report

    def describe_once(self, request: pytest.FixtureRequest) -> None:
        """Describe the run in the JUnit file, once: for the first test that needs a measurement."""
        if not self._described and request.config.pluginmanager.hasplugin("junitxml"):
            self._described = True
            record: Callable[[str, object], None] = request.getfixturevalue("record_testsuite_property")
            for name, value in self.about().items():
                record(f"specdec_{name}", value)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Record what was measured before the test can fail."""
        properties = self._properties(item) if item.nodeid in self._ours else {}
        if properties:
            # A second attempt has them already.
            item.user_properties = [pair for pair in item.user_properties if pair[0] not in properties]
            item.user_properties += properties.items()
        return (yield)

    def about(self) -> dict[str, str]:
        """Return the run in names and words."""
        from pytest_specdec.report.flat import SIMULATED
        from pytest_specdec.version import __version__

        run = self._run()
        found = {
            "version": __version__,
            "tier": self.config.stash[SETTINGS].suite.tier,
            "engines": ", ".join(sorted({f"{m.environment.engine} {m.environment.version}" for m in run.measurements})),
            "hardware": ", ".join(sorted({m.environment.hardware for m in run.measurements})),
            "points_measured": str(len(run.measurements)),
            "points_not_measured": str(len(run.not_measured)),
            "run": self.config.stash[RECORD].invocation.path.name,
        }
        outcomes = [verdict.outcome.value for verdict in run.verdicts]
        found |= {f"verdicts_{word.replace(' ', '_')}": str(outcomes.count(word)) for word in sorted(set(outcomes))}
        return found | ({"simulated": SIMULATED} if run.simulated else {})

    def _run(self) -> Run:
        finished = self.config.stash.get(FINISHED, None)
        return self.config.stash[RECORD].run() if finished is None else finished.run

    def _properties(self, item: pytest.Item) -> dict[str, object]:
        from pytest_specdec.domain.comparison import Comparison
        from pytest_specdec.results.measurement import Measurement

        funcargs: Mapping[str, object] = getattr(item, "funcargs", {})
        found: dict[str, object] = {}
        if isinstance(measured := funcargs.get("measurement"), Measurement):
            from pytest_specdec.report.flat import identity, metric_units, metric_values

            found |= {**identity(measured), **dict(metric_values(measured))}
            found |= {f"{key}_unit": unit for key, unit in metric_units(measured).items()}
            if measured.notes:
                found["notes"] = "; ".join(measured.notes)
            verdict = self.config.stash[RECORD].judgement.verdicts.get(measured.cell)
            if verdict is not None and "baseline" in funcargs:
                found |= {"verdict": verdict.outcome.value} | ({"reason": verdict.reason} if verdict.reason else {})
        elif isinstance(comparison := funcargs.get("comparison"), Comparison):
            for concurrency in comparison.shared_concurrencies():
                ratio = comparison.at_concurrency(concurrency).throughput_ratio
                found[f"throughput_ratio_c{concurrency}"] = ratio.value
                if ratio.half_width is not None:
                    found[f"throughput_ratio_c{concurrency}_half_width"] = ratio.half_width
            if comparison.cautions:
                found["notes"] = "; ".join(comparison.cautions)
        if found and (earlier := self.config.stash[ATTEMPTS].get(item.nodeid)):
            found["attempts"] = "; ".join(earlier)
        return found

    # ---- reruns: the numbers of a rerun are those of the first attempt, and every attempt is reported

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Mark attempts that are rerun, and a pass after them."""
        word = _word(report)
        if _is_rerun(report) and word:
            return "rerun", "R", (f"RERUN after {word.upper()}", {"yellow": True})
        if report.when == "call" and report.passed and self.config.stash[ATTEMPTS].get(report.nodeid):
            return "passed", "r", ("PASSED ON RERUN", {"yellow": True})
        return None

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Note the tests of this plugin: reruns of other tests are not reported."""
        if not {"specdec_subject", "specdec_measure"}.isdisjoint(getattr(item, "fixturenames", ())):
            self._ours.add(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note each attempt of a test that is rerun."""
        if _is_rerun(report) and report.nodeid in self._ours:
            self.config.stash[ATTEMPTS].setdefault(report.nodeid, []).append(_word(report) or "failed")
        elif report.nodeid in self.config.stash[ATTEMPTS] and (report.when == "call" or report.failed):
            self.config.stash[ATTEMPTS][report.nodeid].append(_word(report) or report.outcome)

    # ---- the terminal

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter, config: pytest.Config) -> None:
        """Print the durations that no test is charged with, and the reruns."""
        if config.option.durations is not None:
            self._write_durations(terminalreporter, config)
        if RECORD not in self.config.stash:
            # Otherwise the report of the run lists them.
            for test, attempts in self.config.stash[ATTEMPTS].items():
                terminalreporter.write_line(f"rerun: {test}: {', then '.join(attempts)}", yellow=True)
        for report in terminalreporter.stats.get("inconclusive", ()):
            # pytest's own short summary knows no such outcome.
            reason = str(report.longrepr[-1]).partition("\n")[0]
            terminalreporter.write_line(f"INCONCLUSIVE, not failed: {report.nodeid}: {reason}", yellow=True)

    def _write_durations(self, reporter: TerminalReporter, config: pytest.Config) -> None:
        spent = sorted((pair for progress in config.stash[PROGRESS] for pair in progress.spent), reverse=True)
        if not spent:
            return
        least = config.option.durations_min
        shown = [pair for pair in spent if pair[0] >= (_MIN_SHOWN_S if least is None else least)]
        reporter.write_sep("=", "slowest points: measured before the tests, charged to none")
        for seconds, what in shown[: config.option.durations or None]:
            reporter.write_line(f"{seconds:.2f}s {what}")
        reporter.write_line(f"{sum(seconds for seconds, _ in spent):.2f}s in all, {len(spent)} engines and points")

    # ---- pytest-html

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:  # noqa: ANN401 - pytest-html is not typed
        """Keep the report, which gets the plugin's columns after collection where it needs them."""
        self._html = report

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        """Add the plugin's columns where a specdec test was collected."""
        if self._html is not None and DEMAND in self.config.stash:
            header = list(self._html.table_header)
            header[_AFTER:_AFTER] = [
                f'<th class="sortable" data-column-type="{name}">{title}</th>' for name, (title, _) in columns().items()
            ]
            self._html.table_header = header

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """Fill the plugin's columns."""
        if self._html is None or DEMAND not in self.config.stash:
            return
        from html import escape

        found = dict(getattr(report, "user_properties", ()))
        cells[_AFTER:_AFTER] = [
            f'<td class="col-{name}">{escape(_shown(found, key))}</td>' for name, (_, key) in columns().items()
        ]

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        """Describe the run in one line, above the table."""
        if RECORD in self.config.stash:
            from html import escape

            words = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.about().items() if value)
            prefix.append(f"<p>specdec: {escape(words)}</p>")

    # ---- pytest-json-report

    @pytest.hookimpl(optionalhook=True)
    def pytest_json_modifyreport(self, json_report: dict[str, Any]) -> None:
        """Describe the run; the numbers are user properties of the tests."""
        if RECORD in self.config.stash:
            json_report["specdec"] = self.about() | (
                {"attempts": self.config.stash[ATTEMPTS]} if self.config.stash[ATTEMPTS] else {}
            )


def columns() -> dict[str, tuple[str, str]]:
    """Columns of pytest-html: name for sorting -> heading, property."""
    from pytest_specdec.domain.metric import metrics_as

    found = {"specdecVerdict": ("Verdict", "verdict")}
    for metric in metrics_as("headline"):
        name = metric.title.replace("/", " ").partition(" ")[0].capitalize()
        title = metric.unit if metric.column == metric.unit else metric.title.capitalize()
        found[f"specdec{name}"] = (title, metric.key)
    return found


def _is_rerun(report: pytest.TestReport) -> bool:
    """Tell if pytest-rerunfailures will try again; pytest itself has no such outcome."""
    return str(report.outcome) == "rerun"


def _word(report: pytest.TestReport) -> str:
    """Return the plugin's word for this outcome; empty where it is pytest's own."""
    return str(getattr(report, "specdec", ""))


def _shown(properties: Mapping[str, object], key: str) -> str:
    value = properties.get(key, "")
    half = properties.get(f"{key}_half_width")
    if not isinstance(value, float):
        return str(value)
    from pytest_specdec.domain.estimate import Estimate
    from pytest_specdec.domain.metric import METRICS
    from pytest_specdec.report.render import with_uncertainty

    return with_uncertainty(Estimate(value, half if isinstance(half, float) else None), METRICS[key].digits)
