"""The public API: complete, documented, and all that docs and suites import."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_specdec

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "api.md").read_text()


@pytest.mark.parametrize("name", pytest_specdec.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(pytest_specdec, name) is not None


def test_the_page_lists_the_public_names() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(pytest_specdec.__all__)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Manager'"):
        pytest_specdec.Manager  # noqa: B018


@pytest.mark.parametrize(
    "path",
    [*ROOT.glob("docs/*.md"), ROOT / "README.md", *ROOT.glob("suites/*.py"), ROOT / "conftest.py"],
    ids=lambda path: path.name,
)
def test_docs_and_suites_import_nothing_deeper(path: Path) -> None:
    deeper = re.findall(r"^\s*(?:from|import) pytest_specdec\.\S+", path.read_text(), re.MULTILINE)
    assert not deeper


def test_importing_the_package_loads_nothing_else() -> None:
    code = "import sys, pytest_specdec; print([n for n in sys.modules if n.startswith('pytest_specdec.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['pytest_specdec.version']"
