"""What users read, whole and byte for byte: a change of any text or layout shows as a diff to review.

After a wanted change: `SPECDEC_WRITE_GOLDEN=1 pytest -k golden`, then review the diff.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from golden import same_as_golden
from golden_run import golden_run

from pytest_specdec.__main__ import main
from pytest_specdec.report.render import markdown_page, terminal
from pytest_specdec.report.run_report import report_run
from pytest_specdec.report.trackers import bencher, github_bigger
from pytest_specdec.results.run import save_run


def in_terminal(width: int | None) -> str:
    _, tables, remarks = report_run(golden_run())
    return "\n\n".join([*(terminal(table, width) for table in tables), *remarks]) + "\n"


@pytest.mark.parametrize("width", [80, 160])
def test_the_terminal_shows_a_run(width: int) -> None:
    same_as_golden(f"run_{width}.txt", in_terminal(width))


def test_no_line_of_a_table_is_wider_than_the_terminal() -> None:
    _, tables, _ = report_run(golden_run())
    for width in (80, 100, 120, 160):
        for table in tables:
            assert max(map(len, terminal(table, width).splitlines())) <= width, (width, table.title)


def test_a_log_has_whole_rows_and_a_terminal_every_number_of_them() -> None:
    _, tables, _ = report_run(golden_run())
    for table in tables:
        narrow = terminal(table, 80).split()
        for row in table.rows:
            for cell in row:
                assert not set(cell.split()) - set(narrow), f"{table.title}: {cell} is lost"
        assert terminal(table).splitlines()[1:3] == terminal(table, 10_000).splitlines()[1:3]


def test_markdown_shows_a_run() -> None:
    _, tables, remarks = report_run(golden_run())
    same_as_golden("run.md", markdown_page(tables, remarks))


def test_trackers_get_a_run() -> None:
    same_as_golden("run.bmf.json", bencher(golden_run()))
    same_as_golden("run.bigger.json", github_bigger(golden_run()))


def test_the_command_fits_the_terminal_that_it_runs_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_run(golden_run(), tmp_path / "run.json")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["report", str(tmp_path / "run.json")]) == 0
    assert capsys.readouterr().out == in_terminal(80)
    monkeypatch.delenv("COLUMNS")
    assert main(["report", str(tmp_path / "run.json")]) == 0
    assert capsys.readouterr().out == in_terminal(None), "in a pipe lines are as long as they are"
