"""pytest's own surfaces: JUnit, words, durations, last failed, skips."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from small_suite import HOLDS, PAYS, Suite

FIXED = "--specdec-gate=fixed"
READS = "def test_reads(measurement):\n    assert measurement.throughput > 0\n"


def properties(path: Path, test: str = "") -> dict[str, str]:
    """Properties of a test case in a JUnit file, or of the suite."""
    suite = ET.parse(path).getroot().find("testsuite")
    assert suite is not None
    # A rerun makes one test case per attempt; the last one decides.
    holder = [c for c in suite.iter("testcase") if test in c.attrib["name"]][-1] if test else suite
    found = [(p.attrib["name"], p.attrib["value"]) for p in holder.findall("properties/property")]
    assert len(dict(found)) == len(found), "a property comes twice"
    return dict(found)


def regressed(suite: Suite) -> None:
    """Off is far above its baselines and MTP far below, in throughput alone: to be read with the fixed margin.

    The suite's own gate may find a toy on a busy machine too noisy to say so.
    """
    suite.write(HOLDS)
    suite.run("--specdec-update").assert_outcomes(passed=4)
    for name, path in suite.baselines.items():
        factor = 25 if "mtp3" in name else 0.2
        content = json.loads(path.read_text())
        for runs in content["points"].values():
            for run in runs:
                value = run["values"]["total_tok_s_gpu"][0] * factor
                run["values"] = {"total_tok_s_gpu": [value, value * 0.001]}
        path.write_text(json.dumps(content))


def test_junit_has_values_uncertainty_units_and_the_verdict(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("-k", "mtp3-c4", "--junitxml=out.xml")
    found = properties(suite.pytester.path / "out.xml", "mtp3-c4")
    (point,) = suite.saved_run()["measurements"]
    value, half_width = point["values"]["acceptance_length"]
    assert float(found["acceptance_length"]) == value
    assert float(found["acceptance_length_half_width"]) == half_width
    assert found["acceptance_length_unit"] == "tok/step"
    assert found["verdict"] == "no baseline"
    assert found["cell"] == "toy-fp8-64x48-mtp3-c4"
    assert found["simulated"].startswith("SIMULATED")


def test_junit_describes_the_run_once(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update", "--junitxml=out.xml").assert_outcomes(passed=4)
    found = properties(suite.pytester.path / "out.xml")
    assert found["specdec_points_measured"] == "4"
    assert found["specdec_hardware"] == "simulated-h200"
    assert found["specdec_simulated"].startswith("SIMULATED")
    assert (suite.pytester.path / ".specdec" / "runs" / found["specdec_run"]).exists()


def test_junit_of_a_comparison_has_its_ratios(suite: Suite) -> None:
    suite.write(PAYS)
    suite.run("--junitxml=out.xml").assert_outcomes(passed=1)
    found = properties(suite.pytester.path / "out.xml", "test_pays")
    mtp, off = (
        next(
            p["values"]["total_tok_s_gpu"][0]
            for p in suite.saved_run()["measurements"]
            if p["cell"]["concurrency"] == 4 and p["cell"]["engine"].get("mtp", 0) == k
        )
        for k in (3, 0)
    )
    assert float(found["throughput_ratio_c4"]) == pytest.approx(mtp / off)
    assert "throughput_ratio_c4_half_width" in found


def test_junit_of_other_tests_is_left_alone(suite: Suite) -> None:
    suite.pytester.makepyfile("def test_it(request):\n    request.node.user_properties.append(('mine', 1))\n")
    suite.run("--junitxml=out.xml").assert_outcomes(passed=1)
    assert properties(suite.pytester.path / "out.xml", "test_it") == {"mine": "1"}
    assert properties(suite.pytester.path / "out.xml") == {}


def test_without_junit_nothing_is_missed(suite: Suite) -> None:
    suite.write(READS)
    suite.run("-p", "no:junitxml", "-k", "off-c2").assert_outcomes(passed=1)


def test_outcomes_have_words_and_letters_and_the_summary_lists_them(suite: Suite) -> None:
    regressed(suite)
    verbose = suite.run("-v", "-rA", FIXED)
    verbose.assert_outcomes(passed=2, failed=2)
    verbose.stdout.fnmatch_lines_random(
        [
            "test_suite.py::test_holds[[]toy-fp8-64x48-off-c2[]] PASSED*",
            "test_suite.py::test_holds[[]toy-fp8-64x48-mtp3-c2[]] REGRESSED*",
            "PASSED test_suite.py::test_holds[[]toy-fp8-64x48-off-c4[]]",
            "REGRESSED test_suite.py::test_holds[[]toy-fp8-64x48-mtp3-c4[]]*",
        ]
    )
    quiet = suite.run("-q", FIXED).stdout
    quiet.fnmatch_lines(["..RR*"])
    assert "test session starts" not in quiet.str()


def test_last_failed_measures_only_what_failed(suite: Suite) -> None:
    regressed(suite)
    first = suite.run(FIXED, cache=True)
    first.assert_outcomes(passed=2, failed=2)
    again = suite.run(FIXED, "--lf", cache=True)
    again.assert_outcomes(failed=2)
    assert {p["cell"]["engine"].get("mtp", 0) for p in suite.saved_run()["measurements"]} == {3}


def test_an_undecided_point_that_only_warns_is_named_with_its_reason(suite: Suite) -> None:
    suite.write("def test_it(measurement):\n    assert measurement.throughput > measurement.throughput.value\n")
    result = suite.run("-k", "off-c2", "--specdec-inconclusive=warn")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["INCONCLUSIVE, not failed: test_suite.py::test_it*off-c2*: inconclusive: *interval*"])


def test_durations_show_the_measuring_and_charge_no_test_with_it(suite: Suite) -> None:
    suite.write(READS)
    lines = suite.run("--durations=3", "--durations-min=2", "--specdec-window=3", "-k", "c2").stdout.lines
    measuring = lines.index(next(line for line in lines if "measured before the tests, charged to none" in line))
    tests = lines[lines.index(next(line for line in lines if "slowest 3 durations" in line)) + 1 : measuring]
    assert not [line for line in tests if "test_reads" in line], "the window alone is 3 s long"
    assert lines[measuring + 1].split()[1] in ("starting", "measuring")
    total = next(line for line in lines[measuring:] if "s in all" in line)
    assert total.endswith("s in all, 4 engines and points")
    assert float(total.split("s ")[0]) > 6


def test_durations_of_a_suite_of_others_are_pytests_own(suite: Suite) -> None:
    suite.pytester.makepyfile("def test_it(): pass")
    assert "charged to none" not in suite.run("--durations=0").stdout.str()


def test_what_is_skipped_is_not_measured(suite: Suite) -> None:
    suite.write("@pytest.mark.skip(reason='later')\n" + READS)
    suite.run().assert_outcomes(skipped=4)
    assert not (suite.pytester.path / ".specdec").exists()


def test_the_tables_fit_the_terminal(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.write(READS)
    monkeypatch.setenv("COLUMNS", "80")
    lines = suite.run("-q").stdout.lines
    tables = [line for line in lines if line.startswith(("cell ", "---", "toy-", "  note"))]
    assert sum(line.startswith("cell ") for line in tables) > 1, "the columns that do not fit come below"
    assert max(map(len, tables)) <= 80


def test_what_cannot_be_compared_has_a_word_and_the_reason(suite: Suite) -> None:
    suite.write(HOLDS)
    suite.run("--specdec-update").assert_outcomes(passed=4)
    for path in suite.baselines.values():
        path.write_text(path.read_text().replace('"seed": 0', '"seed": 7'))
    result = suite.run("-v", "-k", "off-c2")
    result.stdout.fnmatch_lines(["*off-c2* NOT COMPARABLE*", "*workload differs: measured *seed 0* baseline *seed 7*"])
    result.assert_outcomes(failed=1)


def test_a_suite_of_others_pays_for_nothing_heavy(suite: Suite) -> None:
    suite.pytester.makepyfile(
        "import sys\n"
        "def test_one(): pass\n"
        "def test_two():\n"
        "    assert not {'numpy', 'scipy', 'pandas', 'tabulate', 'aiohttp', 'openai'} & set(sys.modules)\n"
    )
    suite.pytester.runpytest_subprocess("--junitxml=out.xml", "--durations=1").assert_outcomes(passed=2)
