"""`docs/importing.md` says what is true: its tables are those of the code, and the options that it shows exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from peer_files import DATA

from pytest_specdec.__main__ import main
from pytest_specdec.errors import NotComparableError
from pytest_specdec.importers.definitions import IMPORTED, MEANINGS, QUANTITIES, Meaning, refuse_other_tool
from pytest_specdec.importers.detect import load_peers
from pytest_specdec.report.render import Table, markdown

DOCS = (Path(__file__).parents[2] / "docs" / "importing.md").read_text()
PLAIN = {
    "vllm bench serve": "vllm_base_c8.json",
    "SGLang bench_serving": "sglang_py_result.jsonl",
    "AIPerf": "aiperf_profile_export.json",
}


def meaning_table() -> Table:
    """What each tool's numbers mean."""
    rows = [[meaning.tool, *(getattr(meaning, name) for name in QUANTITIES)] for meaning in MEANINGS]
    headers = ("tool", *QUANTITIES.values())
    return Table(title="what the numbers mean", headers=headers, rows=rows)


def comparable_table() -> Table:
    """Which results may be compared with which."""
    rows = [[one.tool, *("yes" if _comparable(one, other) else "no" for other in MEANINGS)] for one in MEANINGS]
    return Table(title="what may be compared", headers=("", *(meaning.tool for meaning in MEANINGS)), rows=rows)


def _comparable(one: Meaning, other: Meaning) -> bool:
    try:
        refuse_other_tool(one, other)
    except NotComparableError:
        return False
    return True


def grid(table: Table) -> str:
    """The table without the blanks and dashes that line its columns up."""
    lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
    return "\n".join(re.sub(r"\|-+(?=\|)", "|---", re.sub(" +", " ", line)) for line in lines)


@pytest.mark.parametrize("table", [meaning_table(), comparable_table()], ids=lambda table: table.title)
def test_the_tables_are_those_of_the_code(table: Table) -> None:
    assert grid(table) in DOCS


def test_only_the_diagonal_is_comparable() -> None:
    rows = comparable_table().rows
    assert [list(row[1:]) for row in rows] == [
        ["yes" if one is other else "no" for other in MEANINGS] for one in MEANINGS
    ]


def told() -> dict[str, dict[str, str]]:
    table = DOCS[DOCS.index("| fact |") :].partition("\n\n")[0].splitlines()
    header, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    return {line[0]: dict(zip(header[1:], line[1:], strict=True)) for line in body[1:]}


@pytest.mark.parametrize("tool", PLAIN)
def test_what_a_file_tells_is_what_the_docs_say(tool: str) -> None:
    (result,) = load_peers(DATA / PLAIN[tool])
    has = {fact for fact in told() if getattr(result, fact) not in ("", None)}
    assert has == {fact for fact, by_tool in told().items() if by_tool[tool] == "yes"}
    assert tool in {meaning.tool for meaning in IMPORTED}


def test_every_option_of_specdec_that_is_shown_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    text = capsys.readouterr().out
    shown = {word for line in re.findall(r"^specdec compare .*", DOCS, re.MULTILINE) for word in line.split()}
    options = {word for word in shown if word.startswith("--")}
    assert options == {"--gpus"}
    assert all(option in text for option in options)
