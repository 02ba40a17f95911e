"""The one table of report formats: ending of the file's name, help, and the function that renders it.

A format is added by a file beside this one and one row here; `--specdec-report`, `specdec report` and `specdec compare`
offer what the rows say. A renderer is imported when it is used: only a report in HTML pays for the template engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_specdec.domain.comparison import Comparison
    from pytest_specdec.report.render import Table
    from pytest_specdec.results.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Context of a run's report that the run itself does not hold."""

    levels: Sequence[float] | None = None
    """Interactivity levels of the comparisons in tok/s/user; None: levels of the published table or of the overlap."""
    failed_tests: int = 0
    accepted: bool = False
    """The measurements of the run became the new baselines."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Content of a report of the command: comparisons, and the runs behind them, if any."""

    comparisons: Sequence[Comparison]
    tables: Sequence[Table]
    remarks: Sequence[str]
    levels: Sequence[float] | None = None
    run: Run | None = None
    before: Run | None = None
    """Earlier run that `run` is compared with."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format of report files."""

    suffix: str
    about: str
    run: str
    """`module:function` of `(Run, Session) -> str`."""
    compared: str = ""
    """`module:function` of `(Compared) -> str`; empty: the format shows single runs only."""

    @property
    def name(self) -> str:
        """Name of the command's option: `bmf` of `.bmf.json`."""
        return self.suffix.split(".")[1]

    def of_run(self, run: Run, session: Session) -> str:
        """Content of a file about a run."""
        return str(_function(self.run)(run, session))

    def of_compared(self, compared: Compared) -> str:
        """Content of a file about comparisons, or about the one run that they come from."""
        if compared.run is not None and not self.compared:
            return self.of_run(compared.run, Session(levels=compared.levels))
        return str(_function(self.compared)(compared))


_HERE = "pytest_specdec.report"
FORMATS = [
    Format(".md", "Markdown", f"{_HERE}.pull_request:of_run", f"{_HERE}.pull_request:of_compared"),
    Format(".json", "JSON", f"{_HERE}.json_file:of_run", f"{_HERE}.json_file:of_compared"),
    Format(".csv", "CSV", f"{_HERE}.csv_file:of_run", f"{_HERE}.csv_file:of_compared"),
    Format(".html", "a page that opens offline", f"{_HERE}.html:of_run", f"{_HERE}.html:of_compared"),
    Format(".bmf.json", "Bencher Metric Format", f"{_HERE}.trackers:bencher"),
    Format(".bigger.json", "github-action-benchmark's customBiggerIsBetter", f"{_HERE}.trackers:github_bigger"),
    Format(".smaller.json", "github-action-benchmark's customSmallerIsBetter", f"{_HERE}.trackers:github_smaller"),
]


def format_of(file_name: str) -> Format | None:
    """Format that a file's name asks for, by the longest ending; None for an unknown one."""
    found = [one for one in FORMATS if file_name.endswith(one.suffix) and file_name != one.suffix]
    return max(found, key=lambda one: len(one.suffix), default=None)


def _function(path: str) -> Any:  # noqa: ANN401 - the row says what it takes
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
