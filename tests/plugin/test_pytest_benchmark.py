"""Rows of pytest-benchmark: its options, its files and its own compare command read them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_suite import PAYS, Suite

from pytest_specdec.plugin.benchmark import OPERATION

ROWS = """
def test_speed(measurement, benchmark):
    assert measurement.throughput > 0
"""
OWN = """
def test_own(benchmark):
    benchmark(lambda: None)
"""


@pytest.fixture(autouse=True)
def _installed(suite: Suite) -> None:
    suite.plugins = ("benchmark", "rerunfailures")


def rows(path: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(path.read_text())["benchmarks"]}


def test_operations_per_second_are_output_tokens_per_second(suite: Suite) -> None:
    suite.write(ROWS)
    result = suite.run("--benchmark-json=out.json", "-k", "c4")
    result.assert_outcomes(passed=2)
    found = rows(suite.pytester.path / "out.json")
    for point in suite.saved_run()["measurements"]:
        mtp = point["cell"]["engine"].get("mtp", 0)
        row = found[f"test_speed[toy-fp8-64x48-{f'mtp{mtp}' if mtp else 'off'}-c4]"]
        value, half_width = point["values"]["output_tok_s_gpu"]
        assert row["stats"]["ops"] == pytest.approx(value, rel=1e-9)
        assert row["stats"]["rounds"] == len(point["batches_s"]) == 20
        spread = [seconds / sum(point["batches_s"]) * 20 for seconds in point["batches_s"]]
        assert row["stats"]["data"] == pytest.approx([s / value for s in spread], rel=1e-9)
        extra = row["extra_info"]
        assert extra["output_tok_s_gpu"] == value
        assert extra["output_tok_s_gpu_half_width"] == half_width
        assert extra["units"]["ttft_p50_ms"] == "ms"
        assert extra["ops"] == OPERATION
        assert extra["simulated"].startswith("SIMULATED")
        assert (row["params"]["mtp"], row["params"]["concurrency"]) == (str(mtp), "4")
    assert "SIMULATED" in json.loads((suite.pytester.path / "out.json").read_text())["specdec"]["simulated"]
    result.stdout.fnmatch_lines(["*benchmark 'SIMULATED toy-fp8-64x48-c4, *OPS = output tok/s': 2 tests*"])


def test_its_own_compare_command_reads_the_file_and_groups_by_the_axes_of_a_cell(suite: Suite) -> None:
    suite.write(ROWS)
    suite.run("--benchmark-json=out.json").assert_outcomes(passed=4)
    path = suite.pytester.path
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(path / "out.json"), f"--csv={path / 'out.csv'}"]
    done = subprocess.run(
        [*command, "--group-by=param:sequence,param:concurrency", "--columns=mean,ops"],
        cwd=path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "benchmark 'sequence=64x48 concurrency=2': 2 tests" in done.stdout
    found = rows(path / "out.json")
    with (path / "out.csv").open(encoding="utf-8") as file:
        read = {line["name"].rpartition("::")[2]: float(line["ops"]) for line in csv.DictReader(file)}
    assert read == {name: pytest.approx(row["stats"]["ops"]) for name, row in found.items()}


def test_disabled_it_measures_and_judges_and_records_no_row(suite: Suite) -> None:
    suite.write(ROWS)
    result = suite.run("--benchmark-disable", "-k", "off-c2", "-W", "error")
    result.assert_outcomes(passed=1)
    assert "measured points" in result.stdout.str()
    assert "benchmark '" not in result.stdout.str()


def test_what_benchmark_only_skips_is_not_measured(suite: Suite) -> None:
    suite.write(ROWS, PAYS.replace("mtp=3", "mtp=3, concurrency=8", 1), "def test_plain(measurement): pass\n")
    result = suite.run("--benchmark-only", "--specdec-only", "concurrency=2,8", "-k", "off-c2 or pays")
    result.assert_outcomes(passed=1, skipped=2)
    assert [str(point["cell"]["concurrency"]) for point in suite.saved_run()["measurements"]] == ["2"]


def test_skipped_nothing_is_measured(suite: Suite) -> None:
    suite.write(ROWS)
    suite.run("--benchmark-skip").assert_outcomes(skipped=4)
    assert not (suite.pytester.path / ".specdec").exists()


def doctor(suite: Suite, change: Callable[[dict[str, Any]], None]) -> None:
    (stored,) = (suite.pytester.path / ".benchmarks").rglob("*.json")
    content = json.loads(stored.read_text())
    for row in content["benchmarks"]:
        change(row)
    stored.write_text(json.dumps(content))


def test_a_stored_run_is_compared_and_its_failure_leaves_our_tables_whole(suite: Suite) -> None:
    suite.write(ROWS)
    suite.run("--benchmark-autosave", "-k", "off-c2").assert_outcomes(passed=1)

    def ten_times_as_fast(row: dict[str, Any]) -> None:
        row["stats"] |= {key: row["stats"][key] / 10 for key in ("min", "max", "mean", "median")}

    doctor(suite, ten_times_as_fast)
    compared = suite.run("--benchmark-compare", "-k", "off-c2")
    compared.stdout.fnmatch_lines_random(["test_speed*off-c2* (NOW)*", "test_speed*off-c2* (0001*"])
    failed = suite.run("-k", "off-c2", "--benchmark-compare", "--benchmark-compare-fail=mean:50%")
    assert failed.ret != pytest.ExitCode.OK
    failed.stdout.fnmatch_lines(["run saved: *"])
    assert "Performance has regressed" in failed.stderr.str() + failed.stdout.str()


def test_simulated_results_are_not_compared_with_real_ones(suite: Suite) -> None:
    suite.write(ROWS)
    suite.run("--benchmark-autosave", "-k", "off-c2").assert_outcomes(passed=1)
    doctor(suite, lambda row: row["extra_info"].pop("simulated"))
    result = suite.run("--benchmark-compare", "-k", "off-c2")
    result.stdout.fnmatch_lines(
        ["pytest-benchmark: 1 stored results, such as *off-c2*, are of real engines and this run is of simulated*"]
    )
    assert "(0001" not in result.stdout.str()


def test_a_stored_result_of_other_hardware_is_told(suite: Suite) -> None:
    suite.write(ROWS)
    suite.run("--benchmark-autosave", "-k", "off-c2").assert_outcomes(passed=1)
    doctor(suite, lambda row: row["extra_info"].update(hardware="simulated-b200"))
    result = suite.run("--benchmark-compare", "-k", "off-c2")
    assert "the stored result differs in hardware: simulated-b200 against simulated-h200" in result.stdout.str()


def test_other_peoples_benchmarks_are_left_alone(suite: Suite) -> None:
    suite.write(OWN, "def test_plain(measurement): pass\n")
    suite.run("--benchmark-json=out.json", "--benchmark-max-time=0.01", "-k", "own or off-c2").assert_outcomes(passed=2)
    content = json.loads((suite.pytester.path / "out.json").read_text())
    assert "specdec" not in content
    (row,) = content["benchmarks"]
    assert (row["name"], row["group"], row["extra_info"]) == ("test_own", None, {})


def test_a_group_of_the_suites_own_is_kept(suite: Suite) -> None:
    suite.write("@pytest.mark.benchmark(group='mine')", ROWS)
    suite.run("--benchmark-json=out.json", "-k", "off-c2").assert_outcomes(passed=1)
    assert {row["group"] for row in rows(suite.pytester.path / "out.json").values()} == {"mine"}


def test_a_row_is_recorded_once_and_also_of_a_test_that_fails_again_and_again(suite: Suite) -> None:
    suite.write("def test_slow(measurement, benchmark):\n    assert measurement.throughput < 1\n")
    result = suite.run("--benchmark-json=out.json", "-k", "off-c2", "--reruns=2", "-W", "error")
    assert result.parseoutcomes() == {"failed": 1, "rerun": 2, "deselected": 3}
    recorded = json.loads((suite.pytester.path / "out.json").read_text())["benchmarks"]
    assert [row["name"] for row in recorded] == ["test_slow[toy-fp8-64x48-off-c2]"]


def test_engine_trouble_is_no_misuse_of_the_fixture(suite: Suite) -> None:
    suite.write("def test_it(benchmark, measurement): pass\n")
    result = suite.run("-k", "off-c2", "-W", "error", "--specdec-endpoint=off=http://127.0.0.1:9/v1", simulate=False)
    result.assert_outcomes(errors=1)
    assert "not used at all" not in result.stdout.str()


def test_the_fixture_may_come_from_a_marker_and_the_plugin_may_be_absent(suite: Suite) -> None:
    suite.write(
        "pytestmark = [pytestmark, pytest.mark.usefixtures('benchmark')]\ndef test_it(measurement): pass\n", PAYS
    )
    suite.run("--benchmark-json=out.json", "-k", "off-c2 or pays", "-W", "error").assert_outcomes(passed=2)
    assert len(rows(suite.pytester.path / "out.json")) == 1
    suite.write("def test_it(measurement): pass\n")
    suite.run("-p", "no:benchmark", "-k", "off-c2").assert_outcomes(passed=1)
