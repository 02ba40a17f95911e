"""Imports go one way: the contracts of pyproject.toml, which `lint-imports` reads as well."""

from __future__ import annotations

from pathlib import Path

import pytest
from importlinter.api import read_configuration
from importlinter.application.output import console
from importlinter.application.use_cases import lint_imports

import pytest_specdec

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
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
