"""A format of reports is a file with its renderer and one row: every option and command follows."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from measured import measured

from pytest_specdec.__main__ import main
from pytest_specdec.pipeline import option_values
from pytest_specdec.report.formats import FORMATS, Compared, Format, Session, format_of
from pytest_specdec.results.run import Run, save_run


def of_run(run: Run, session: Session) -> str:
    return f"{len(run.measurements)} points, {session.failed_tests} failed tests, levels {session.levels}"


def of_compared(compared: Compared) -> str:
    return f"{len(compared.comparisons)} comparisons, before: {compared.before is not None}"


@pytest.fixture
def dummy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Format]:
    module = ModuleType("dummy_report")
    module.__dict__.update(of_run=of_run, of_compared=of_compared)
    monkeypatch.setitem(sys.modules, "dummy_report", module)
    row = Format(
        suffix=".dummy", about="a dummy of a report", run="dummy_report:of_run", compared="dummy_report:of_compared"
    )
    FORMATS.append(row)
    yield row
    FORMATS.remove(row)


def run_of(*concurrencies: int) -> Run:
    points = [measured(c, mtp=mtp, throughput=c * (20.0 + mtp)) for c in concurrencies for mtp in (0, 3)]
    return Run(tool_version="0.1.0", started_at="2026-11-23T12:00:00+00:00", complete=True, measurements=tuple(points))


def test_the_option_takes_a_new_format_and_names_it_to_who_mistypes(dummy: Format) -> None:
    path = option_values.report("x.dummy")
    found = format_of(path.name)
    assert found is dummy
    assert found.of_run(run_of(4), Session(failed_tests=2)) == "2 points, 2 failed tests, levels None"
    with pytest.raises(argparse.ArgumentTypeError, match=r"\.dummy"):
        option_values.report("x.pdf")


def test_an_unknown_ending_is_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"must end in one of \.md, \.json, \.csv, \.html"):
        option_values.report("x.dummy")


def test_both_commands_offer_it(dummy: Format, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "run.json"
    save_run(run_of(4, 8), saved)
    for verb, files in (("report", [saved]), ("compare", [saved, saved])):
        out = tmp_path / f"{verb}{dummy.suffix}"
        assert main([verb, *map(str, files), "--dummy", str(out)]) == 0
        assert out.read_text().endswith(f"before: {verb == 'compare'}")
        assert f"wrote {out}" in capsys.readouterr().out


def test_every_row_names_functions_that_exist_and_a_name_of_its_own() -> None:
    run = run_of(4, 8)
    assert len({one.name for one in FORMATS}) == len(FORMATS)
    for one in FORMATS:
        assert one.of_run(run, Session())
        assert one.of_compared(Compared([], [], [], None, run))


def test_only_the_page_pays_for_the_template_engine(tmp_path: Path, pytester: pytest.Pytester) -> None:
    save_run(run_of(4), tmp_path / "run.json")
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pytest_specdec.report.formats import FORMATS, Session\n"
        "from pytest_specdec.results.run import load_run\n"
        f"run = load_run(Path({str(tmp_path / 'run.json')!r}))\n"
        "for one in sorted(FORMATS, key=lambda one: one.suffix == '.html'):\n"
        "    one.of_run(run, Session())\n"
        "    print(one.suffix, 'jinja2' in sys.modules)\n"
    )
    lines = pytester.run(sys.executable, "-c", script).outlines
    assert [line for line in lines if "True" in line] == [".html True"]
    assert len(lines) == len(FORMATS)
