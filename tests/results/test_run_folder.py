"""Names of saved runs: each its own, also where several processes begin at once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.results.run_folder import new_run_path

NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)


def test_runs_of_one_second_take_a_name_each_before_they_write(tmp_path: Path) -> None:
    names = [new_run_path(tmp_path / "runs", NOW).name for _ in range(3)]
    assert names == ["20261125-123000.json", "20261125-123000-2.json", "20261125-123000-3.json"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted([".gitignore", *names])


def test_a_name_that_another_process_takes_first_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one takes it between our look and our own file: whatever a look would say, only making it counts."""
    (tmp_path / "20261125-123000.json").write_text("theirs")
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert new_run_path(tmp_path, NOW).name == "20261125-123000-2.json"
    assert (tmp_path / "20261125-123000.json").read_text() == "theirs"


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match=r"cannot write to .*: Not a directory; the ini key specdec_runs names"):
        new_run_path(tmp_path / "file" / "runs", NOW)
