"""One row is all that an option takes: flag, ini key, help and a parsed value follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.pipeline.option import option
from pytest_specdec.pipeline.option_values import percent
from pytest_specdec.plugin.options import add_options
from pytest_specdec.plugin.settings import read_group


@dataclass(frozen=True, slots=True, kw_only=True)
class Dummy:
    """A group of one row, and one that also exists for the reference engine."""

    share: float = option(percent, "50%", "--specdec-dummy PERCENT", ini="specdec_dummy_share")(
        "Spend this share on nothing", reference="Spend this share on the reference engine's nothing"
    )
    folder: Path = option(Path, "nothing", ini="specdec_dummy_folder")("Folder of nothing")  # noqa: RUF009 - a field


class Plugin:
    """Registers the group as the package registers its own."""

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        add_options(parser, [Dummy])


@pytest.fixture
def dummy(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.plugins.append(Plugin())
    return pytester


@pytest.mark.parametrize(
    ("arguments", "share"),
    [
        ([], 0.5),
        (["-o", "specdec_dummy_share=20%"], 0.2),
        (["--specdec-dummy=7"], 0.07),
        (["--specdec-dummy=7", "-o", "specdec_dummy_share=20%"], 0.07),
    ],
)
def test_a_flag_comes_before_an_ini_key_before_the_default(
    dummy: pytest.Pytester, arguments: list[str], share: float
) -> None:
    assert read_group(dummy.parseconfig(*arguments), Dummy).share == pytest.approx(share)


def test_a_path_of_the_ini_file_lies_in_the_rootdir(dummy: pytest.Pytester) -> None:
    assert read_group(dummy.parseconfig(), Dummy).folder == dummy.path / "nothing"
    assert read_group(dummy.parseconfig("-o", "specdec_dummy_folder=a"), Dummy).folder == dummy.path / "a"


def test_help_tells_flag_key_and_default_of_both_engines(dummy: pytest.Pytester) -> None:
    text = " ".join(dummy.runpytest_inprocess("--help", plugins=[Plugin()]).stdout.str().split())
    assert "--specdec-dummy=PERCENT Spend this share on nothing (ini: specdec_dummy_share, default 50%)" in text
    assert "--specdec-reference-dummy=PERCENT Spend this share on the reference engine's nothing" in text
    assert "specdec_dummy_share (string): Same as --specdec-dummy (default 50%)" in text
    assert "specdec_reference_dummy_share (string): Same as --specdec-reference-dummy" in text


def test_a_value_that_cannot_be_read_names_its_key(dummy: pytest.Pytester) -> None:
    with pytest.raises(InvalidInputError, match="ini key specdec_dummy_share: '200' is not a percentage below 100"):
        read_group(dummy.parseconfig("-o", "specdec_dummy_share=200"), Dummy)
    with pytest.raises(pytest.UsageError, match="--specdec-dummy: '200' is not a percentage below 100"):
        dummy.parseconfig("--specdec-dummy=200")
