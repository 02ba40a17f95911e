"""Imports go one way: the contracts of pyproject.toml, which `lint-imports` reads as well; and the page about them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from importlinter.api import read_configuration
from importlinter.application.output import console
from importlinter.application.use_cases import lint_imports

import pytest_specdec

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "pyproject.toml"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
MOST_LINES = 120
CONTRACTS = [contract["id"] for contract in read_configuration(str(PROJECT))["contracts_options"]]
MOST_MODULES_AT_THE_ROOT = 6


def breaches(contract: str) -> str:
    """What breaks a contract, in words: each import with its line; empty where it is kept."""
    with console.capture() as words:
        kept = lint_imports(str(PROJECT), limit_to_contracts=(contract,), cache_dir=None, no_logo=True)
    return "" if kept else words.get().rpartition("Broken contracts\n----------------")[2].strip()


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_contract_is_kept(contract: str) -> None:
    if found := breaches(contract):
        pytest.fail(found, pytrace=False)


def test_few_modules_lie_at_the_root() -> None:
    found = sorted(path.name for path in Path(pytest_specdec.__file__).parent.glob("*.py"))
    assert len(found) <= MOST_MODULES_AT_THE_ROOT, found


def missing_paths(page: str) -> list[str]:
    """Files and folders that a page names and nobody finds, from the root or from the package."""
    named = re.findall(r"`([\w./-]+(?:/|\.(?:py|md|toml)))`", page)
    assert named, "the page names no path"
    roots = (ROOT, Path(pytest_specdec.__file__).parent)
    return [path for path in named if not any((root / path).exists() for root in roots)]


def test_the_page_names_paths_that_exist() -> None:
    assert missing_paths(PAGE) == []
    assert missing_paths("see `gate/rules.py`, `engine/` and `gone/away.py`") == ["gone/away.py"]


def test_the_page_names_every_folder_and_every_layer() -> None:
    folders = {path.parent.name for path in Path(pytest_specdec.__file__).parent.glob("*/__init__.py")}
    assert [folder for folder in sorted(folders) if f"`{folder}/`" not in PAGE] == []
    contract = next(one for one in read_configuration(str(PROJECT))["contracts_options"] if one["id"] == "layers")
    assert "\n".join(contract["layers"]) in PAGE


def test_the_page_is_short() -> None:
    assert len(PAGE.splitlines()) <= MOST_LINES
