"""An importer is a reader, its definitions, and one row of the formats; `specdec compare` then takes its files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pytest_specdec.__main__ import EXIT_BAD_INPUT, EXIT_NOT_COMPARABLE, main
from pytest_specdec.importers import detect
from pytest_specdec.importers.definitions import VLLM_BENCH
from pytest_specdec.importers.documents import Format
from pytest_specdec.importers.result import PeerResult

TOOL = replace(VLLM_BENCH, tool="dummy bench", output_tokens="counted by the dummy")
SAMPLE = Path(__file__).parent.parent / "data" / "peer_samples" / "aiperf_profile_export.json"


class _Fields(msgspec.Struct, frozen=True, kw_only=True):
    dummy_streams: int


def _result(fields: _Fields, source: str) -> PeerResult:
    streams = fields.dummy_streams
    speed = 100.0 / streams**0.5
    tokens, requests = 100, 10 * streams
    duration_s = requests * tokens / (speed * streams)
    return PeerResult(
        meaning=TOOL,
        token_source=TOOL.output_tokens,
        source=source,
        backend="openai",
        model="m",
        gpus=1,
        concurrency=streams,
        completed=requests,
        failed=0,
        duration_s=duration_s,
        input_tokens=requests * tokens,
        output_tokens=requests * tokens,
        output_tok_s=speed * streams,
        total_tok_s=2 * speed * streams,
        tpot_p50_ms=1000 / speed,
    )


@pytest.fixture
def sides(tmp_path: Path) -> list[str]:
    """Two sweeps of the dummy tool."""
    for side in ("old", "new"):
        (tmp_path / side).mkdir()
        for streams in (2, 4, 8):
            (tmp_path / side / f"{streams}.json").write_text(json.dumps({"dummy_streams": streams}))
    return [str(tmp_path / "old"), str(tmp_path / "new")]


@pytest.fixture
def _dummy(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Format(name="result of the dummy", marks=frozenset({"dummy_streams"}), fields=_Fields, result=_result)
    monkeypatch.setattr(detect, "_FORMATS", (*detect._FORMATS, row))


@pytest.mark.usefixtures("_dummy")
def test_its_sweeps_are_compared(sides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *sides]) == 0
    printed = capsys.readouterr().out
    assert "dummy bench" in printed
    assert "1.00x" in printed


@pytest.mark.usefixtures("_dummy")
def test_it_is_not_compared_with_another_tool(sides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", sides[0], str(SAMPLE), "--gpus", "1"]) == EXIT_NOT_COMPARABLE
    assert "counted by the dummy" in capsys.readouterr().err


def test_without_its_row_its_files_are_unknown(sides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *sides]) == EXIT_BAD_INPUT
    assert "no result of" in capsys.readouterr().err
