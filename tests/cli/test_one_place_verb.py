"""A verb of the command is a module with a `VERB` and one entry of the table: parser, help and exit codes follow."""

from __future__ import annotations

import argparse

import pytest

from pytest_specdec import __main__ as command
from pytest_specdec.cli.verb import Verb
from pytest_specdec.errors import NotComparableError


def _count(options: argparse.Namespace) -> None:
    if options.words == ["nothing"]:
        raise NotComparableError("there is nothing to count")
    print(f"{len(options.words)} words")  # noqa: T201 - a verb prints


def _add_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="+")


@pytest.fixture
def _dummy(monkeypatch: pytest.MonkeyPatch) -> None:
    verb = Verb(name="count", help="count words", run=_count, add_arguments=_add_words)
    monkeypatch.setattr(command, "VERBS", (*command.VERBS, verb))


@pytest.mark.usefixtures("_dummy")
def test_it_runs_with_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["count", "a", "b"]) == 0
    assert capsys.readouterr().out == "2 words\n"


@pytest.mark.usefixtures("_dummy")
def test_its_error_is_one_line_with_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["count", "nothing"]) == command.EXIT_NOT_COMPARABLE
    assert capsys.readouterr().err.splitlines()[-1].endswith("there is nothing to count")


@pytest.mark.usefixtures("_dummy")
def test_the_help_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    assert "count words" in capsys.readouterr().out


def test_without_its_entry_it_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["count", "a"])
    assert "count" in capsys.readouterr().err
