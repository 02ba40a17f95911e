"""Files for benchmark trackers, by the schemas that the trackers publish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from measured import ENVIRONMENT, measured

from pytest_specdec.__main__ import main
from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.report.flat import series
from pytest_specdec.report.formats import format_of
from pytest_specdec.report.trackers import bencher, github_bigger, github_smaller
from pytest_specdec.results.run import Run, save_run

SIMULATED = msgspec.structs.replace(ENVIRONMENT, hardware="simulated-h200", engine="simulated", simulated="tiny")


class BencherMetric(msgspec.Struct, forbid_unknown_fields=True):
    """As https://bencher.dev/bmf.json says: a number, and two optional ones."""

    value: float
    lower_value: float | msgspec.UnsetType = msgspec.UNSET
    upper_value: float | msgspec.UnsetType = msgspec.UNSET


class GithubMetric(msgspec.Struct, forbid_unknown_fields=True):
    """As the README of github-action-benchmark says."""

    name: str
    unit: str
    value: float
    range: str = ""
    extra: str = ""


def run_of(**options: Any) -> Run:
    points = [measured(4, **options), measured(8, mtp=3, throughput=250.0, acceptance=2.5, **options)]
    return Run(tool_version="0.1.0", started_at="2026-11-23T12:00:00+00:00", complete=True, measurements=tuple(points))


def test_bencher_gets_every_metric_with_the_bounds_of_its_interval() -> None:
    content = msgspec.json.decode(bencher(run_of()), type=dict[str, dict[str, BencherMetric]])
    assert list(content) == [
        "model-fp8-1k1k-off-c4 (vllm on h200, tp8, workload v1)",
        "model-fp8-1k1k-mtp3-c8 (vllm on h200, tp8, workload v1)",
    ]
    point = content["model-fp8-1k1k-mtp3-c8 (vllm on h200, tp8, workload v1)"]
    assert point["total_tok_s_gpu"] == BencherMetric(value=250.0, lower_value=249.75, upper_value=250.25)
    assert point["ttft_p50_ms"] == BencherMetric(value=80.0)
    assert max(map(len, METRICS)) <= 64, "Bencher allows no longer names of measures"


def test_github_gets_two_files_and_each_metric_is_in_the_one_of_its_direction() -> None:
    files = {
        better: msgspec.json.decode(write(run_of()), type=list[GithubMetric])
        for better, write in (("higher", github_bigger), ("lower", github_smaller))
    }
    for better, rows in files.items():
        for row in rows:
            metric = next(m for m in METRICS.values() if row.name.endswith(f": {m.title}"))
            assert (metric.better, metric.unit) == (better, row.unit)
    throughput = next(row for row in files["higher"] if "c8" in row.name and "throughput" in row.name)
    assert (throughput.value, throughput.range) == (250.0, "± 0.2")
    assert throughput.extra.startswith("vllm 0.20.0\n")
    assert [row.range for row in files["lower"]] == ["", ""], "no interval of TTFT is known here"


def test_a_missing_metric_is_missing_and_not_zero() -> None:
    content = json.loads(bencher(run_of()))
    assert "acceptance_length" not in content["model-fp8-1k1k-off-c4 (vllm on h200, tp8, workload v1)"]
    assert "off-c4 (vllm on h200, tp8, workload v1): acceptance length" not in github_bigger(run_of())


def test_simulated_results_have_series_of_their_own_and_say_so() -> None:
    real, simulated = json.loads(bencher(run_of())), json.loads(bencher(run_of(environment=SIMULATED)))
    assert not real.keys() & simulated.keys()
    assert all("simulated-h200" in name for name in simulated)
    for write in (github_bigger, github_smaller):
        assert all(
            row["extra"].startswith("SIMULATED: no hardware")
            for row in json.loads(write(run_of(environment=SIMULATED)))
        )


def test_unlike_workloads_share_no_series_and_versions_of_the_engine_do() -> None:
    usual = measured(4)
    names = {series(measured(4, workload=Workload(isl=1024, osl=1024, **change))) for change in (
        {}, {"seed": 1}, {"thinking": True}, {"ignore_eos": False}, {"version": "2"}, {"temperature": 0.7},
    )}  # fmt: skip
    assert len(names) == 6
    newer = msgspec.structs.replace(ENVIRONMENT, version="0.21.0")
    assert series(measured(4, environment=newer)) == series(usual)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("out.bmf.json", ".bmf.json"),
        ("a.bigger.json", ".bigger.json"),
        ("x.smaller.json", ".smaller.json"),
        ("run.json", ".json"),
        ("run.pdf", ""),
        (".bmf.json", ".json"),
        (".md", ""),
    ],
)
def test_the_name_of_the_file_says_its_format(name: str, suffix: str) -> None:
    found = format_of(name)
    assert (found.suffix if found else "") == suffix


def test_the_command_writes_each_of_them_again_from_a_saved_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of()
    save_run(run, tmp_path / "run.json")
    writers = {"bmf": bencher, "bigger": github_bigger, "smaller": github_smaller}
    options = [word for name in writers for word in (f"--{name}", str(tmp_path / "out" / name))]
    assert main(["report", str(tmp_path / "run.json"), *options]) == 0
    said = capsys.readouterr().out
    for name, write in writers.items():
        assert (tmp_path / "out" / name).read_text() == write(run)
        assert f"wrote {tmp_path / 'out' / name}" in said


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_run(run_of(), tmp_path / "run.json")
    (tmp_path / "file").write_text("")
    assert main(["report", str(tmp_path / "run.json"), "--bmf", str(tmp_path / "file" / "out.bmf.json")]) == 10
    assert capsys.readouterr().err.startswith("specdec report: cannot write ")
