"""The `specdec` command: good input, and bad input with one line and the right exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from measured import measured

from pytest_specdec.__main__ import EXIT_BAD_INPUT, EXIT_NOT_COMPARABLE, main
from pytest_specdec.importers.inferencex import load_inferencex
from pytest_specdec.importers.selection import Selection, published_comparisons
from pytest_specdec.results.run import Run, save_run

ROW = {
    "hw": "h200-sxm",
    "conc": 4,
    "image": "lmsysorg/sglang:v0.5.14-cu130",
    "model": "Qwen/Qwen3.5-397B-A17B-FP8",
    "infmax_model_prefix": "qwen3.5",
    "framework": "sglang",
    "precision": "fp8",
    "spec_decoding": "none",
    "disagg": False,
    "isl": 1024,
    "osl": 1024,
    "is_multinode": False,
    "tp": 8,
    "pp": 1,
    "ep": 8,
    "dp_attention": "false",
    "tput_per_gpu": 121.0,
    "output_tput_per_gpu": 60.0,
    "median_intvty": 122.0,
    "median_ttft": 0.08,
}


def rows(*changes: dict[str, object]) -> list[dict[str, object]]:
    return [{**ROW, **change} for change in changes]


def write(path: Path, content: object) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return code, captured.err


def test_flat_artefacts_are_read_like_rows_of_the_api(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    off = write(tmp_path / "agg_off.json", rows({}, {"conc": 16, "median_intvty": 70.0, "tput_per_gpu": 276.0}))
    mtp = write(
        tmp_path / "agg_mtp.json",
        rows(
            {"spec_decoding": "mtp", "median_intvty": 150.0, "tput_per_gpu": 205.0},
            {"spec_decoding": "mtp", "conc": 16, "median_intvty": 96.0, "tput_per_gpu": 381.0},
        ),
    )
    outputs = [f"--{suffix}={tmp_path / f'out.{suffix}'}" for suffix in ("md", "csv", "json")]
    assert main(["compare", off, mtp, "--at", "100", *outputs]) == 0
    out = capsys.readouterr().out
    assert "MTP against Off at matched interactivity: qwen3.5 h200 sglang v0.5.14-cu130 tp8ep8 fp8 1k1k" in out
    assert (tmp_path / "out.md").read_text().startswith("### MTP against Off")
    assert (tmp_path / "out.csv").read_text().count("\n") == 3
    assert [row["mode"] for row in json.loads((tmp_path / "out.json").read_text())] == ["MTP", "Off"]


def test_a_row_with_an_error_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(
        tmp_path / "a.json",
        rows(
            {},
            {"spec_decoding": "mtp"},
            {"error": "failed", "tput_per_gpu": None},
        ),
    )
    assert main(["compare", file, "--at", "122"]) == 0
    assert "level" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "is not JSON"),
        ("[]", "holds no results"),
        ("[1]", "holds no results"),
        ([{"hw": "h200"}], "not an InferenceX result: has no 'tput_per_gpu'"),
        (rows({"median_intvty": 0}), "median_intvty is 0, expected a positive number"),
        (rows({}), "nothing to compare: qwen3.5 h200 fp8 1k1k: no mtp points"),
    ],
)
def test_an_unreadable_result_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, message: str
) -> None:
    code, said = failure(capsys, "compare", write(tmp_path / "a.json", content))
    assert code == EXIT_BAD_INPUT
    assert message in said


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = failure(capsys, "compare", str(tmp_path / "nowhere.json"))
    assert code == EXIT_BAD_INPUT
    assert "nowhere.json: No such file" in said


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"framework": "vllm"}, "engine"),
        ({"image": "lmsysorg/sglang:v0.6"}, "version"),
        ({"tp": 4}, "parallelism"),
        ({"dp_attention": True}, "parallelism"),
        ({"date": "2026-07-01"}, ""),
    ],
)
def test_a_curve_never_mixes_engines_versions_or_parallelisms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], field: str
) -> None:
    mixed = rows({}, {"conc": 16, "median_intvty": 70.0, "tput_per_gpu": 276.0, **change}, {"spec_decoding": "mtp"})
    file = write(tmp_path / "a.json", mixed)
    if not field:  # a date that one row does not tell conflicts with nothing
        assert main(["compare", file, "--at", "122"]) == 0
        return
    code, said = failure(capsys, "compare", file)
    assert code == EXIT_NOT_COMPARABLE
    assert f"points of two curves: {field} differs" in said


def test_zero_overlap_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "a.json", rows({}, {"spec_decoding": "mtp", "median_intvty": 300.0}))
    code, said = failure(capsys, "compare", file)
    assert code == EXIT_NOT_COMPARABLE
    assert "no overlap: MTP covers 300.0 to 300.0 tok/s/user and Off 122.0 to 122.0" in said


def test_filters_that_leave_nothing_list_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = failure(capsys, "compare", write(tmp_path / "a.json", rows({})), "--model", "other")
    assert code == EXIT_BAD_INPUT
    assert "no result passes the filters; the files have model qwen3.5" in said


def test_a_row_that_two_files_have_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "a.json", rows({}, {"spec_decoding": "mtp"}))
    two = write(tmp_path / "b.json", rows({}))
    points = [point for name in (one, two) for point in load_inferencex(Path(name))]
    (comparison,), _ = published_comparisons(points, Selection())
    assert len(comparison.reference.points) == 1
    assert main(["compare", one, two, "--at", "122"]) == 0
    assert "c4 measured" in capsys.readouterr().out


def test_half_a_price_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = failure(capsys, "compare", write(tmp_path / "a.json", rows({})), "--gpu-kw", "1")
    assert code == EXIT_BAD_INPUT
    assert "--gpu-hour-usd and --gpu-kw together" in said


@pytest.mark.parametrize(
    "arguments", [["--at", "-3"], ["--where", "planet=mars"], ["--where", "model"], ["--model", ""]]
)
def test_a_wrong_argument_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["compare", write(tmp_path / "a.json", rows({})), *arguments])
    assert stopped.value.code == 2
    assert "specdec compare: error" in capsys.readouterr().err


def test_a_short_filter_is_its_long_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "a.json", rows({}))
    for short, long in (("--model=nope", "model=nope"), ("--framework=nope,none", "framework=nope,none")):
        assert failure(capsys, "compare", file, short) == failure(capsys, "compare", file, "--where", long)


def saved(path: Path, factor: float, version: str) -> str:
    measurements = tuple(
        measured(c, mtp=mtp, throughput=10 * c**0.7 * factor * (1 + mtp / 4), interactivity=200 / c**0.4 * factor)
        for c in (4, 8, 16)
        for mtp in (0, 3)
    )
    save_run(Run(tool_version=version, started_at="2026-11-23T12:00:00+00:00", measurements=measurements), path)
    return str(path)


def test_two_saved_runs_are_compared_old_with_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = saved(tmp_path / "old.json", 1.0, "1"), saved(tmp_path / "new.json", 0.9, "2")
    assert main(["compare", old, new]) == 0
    out = capsys.readouterr().out
    assert "new against old at matched interactivity" in out
    assert "old serves" in out
    assert "0.90x" in out


def test_a_saved_run_is_reported_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = saved(tmp_path / "run.json", 1.0, "1")
    assert main(["report", run, "--md", str(tmp_path / "out.md")]) == 0
    out = capsys.readouterr().out
    assert "MTP 3 against Off at matched interactivity" in out
    assert "measured points" in out
    assert "| cell" in (tmp_path / "out.md").read_text()


def test_a_run_and_a_result_file_do_not_mix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = failure(capsys, "compare", saved(tmp_path / "run.json", 1, "1"), write(tmp_path / "a.json", rows({})))
    assert code == EXIT_BAD_INPUT
    assert "two saved runs, or published results only" in said


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    out = capsys.readouterr().out
    assert "reference engine, then candidate engine" in out
    assert "--where engine=sglang" in out
