"""Collection: plan, filters, tiers, and what is refused before anything is measured."""

from __future__ import annotations

import subprocess
import sys

import pytest
from small_suite import HOLDS, PAYS, Suite


def test_collect_only_prints_the_plan_with_its_price_and_starts_nothing(suite: Suite) -> None:
    suite.write(HOLDS, PAYS)
    result = suite.run("--collect-only", "-q")
    result.stdout.fnmatch_lines(
        [
            "specdec plan: 2 engines, 4 points, about 6 s, no GPU used*; tier smoke; simulated*",
            "*::test_holds[[]toy-fp8-64x48-off-c2[]]",
            "*::test_pays[[]toy-fp8-64x48-mtp3-vs-off[]]",
        ]
    )
    assert not (suite.pytester.path / ".specdec").exists()


@pytest.mark.parametrize(
    ("arguments", "points"),
    [
        (["-k", "mtp3-c4"], "1 engine, 1 point,"),
        (["-k", "pays"], "2 engines, 4 points,"),
        (["--specdec-only", "concurrency=2"], "2 engines, 2 points,"),
        (["--specdec-only", "mtp=off"], "1 engine, 2 points,"),
        (["--specdec-only", "mtp=3", "--specdec-only", "concurrency=4"], "2 engines, 2 points,"),
    ],
)
def test_filters_shrink_the_plan(suite: Suite, arguments: list[str], points: str) -> None:
    suite.write(HOLDS, PAYS)
    assert f"specdec plan: {points}" in suite.run("--collect-only", *arguments).stdout.str()


def test_a_filter_is_exact_where_k_is_not(suite: Suite) -> None:
    suite.write("@pytest.mark.specdec(concurrency=[1, 16])\ndef test_it(measurement): pass\n")
    assert "2 engines, 2 points" in suite.run("--collect-only", "--specdec-only", "concurrency=1").stdout.str()
    assert "2 engines, 4 points" in suite.run("--collect-only", "-k", "c1").stdout.str()


def test_a_tier_chooses_the_values_of_an_axis(suite: Suite) -> None:
    suite.write("@pytest.mark.specdec(mtp={'smoke': 0, 'nightly': [0, 1, 2]})\ndef test_it(measurement): pass\n")
    assert "1 engine, 2 points" in suite.run("--collect-only").stdout.str()
    assert "3 engines, 6 points" in suite.run("--collect-only", "--specdec-tier", "nightly").stdout.str()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("@pytest.mark.specdec(modle='x')\ndef test_it(measurement): pass", "unknown argument 'modle'"),
        ("@pytest.mark.specdec('x')\ndef test_it(measurement): pass", "takes named arguments only"),
        ("@pytest.mark.specdec(concurrency=[])\ndef test_it(measurement): pass", "the matrix has no cells"),
        ("@pytest.mark.specdec(mtp=0)\ndef test_it(comparison): pass", "needs an MTP mode"),
        ("def test_it(measurement, comparison): pass", "takes one of comparison, curve, measurement"),
        ("def test_it(baseline, curve): pass", "takes one of comparison, curve, measurement"),
    ],
)
def test_an_impossible_suite_is_a_usage_error_of_one_line(suite: Suite, body: str, message: str) -> None:
    suite.write(body)
    result = suite.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in result.stderr.lines if line.startswith("ERROR")]
    assert len(errors) == 1
    assert "test_suite.py::test_it: " in errors[0]
    assert message in errors[0]
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_a_fixture_without_a_marker_is_refused(suite: Suite) -> None:
    suite.pytester.makepyfile("def test_it(measurement): pass")
    result = suite.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *has no specdec marker*"])


def test_a_model_without_a_preset_is_engine_trouble_that_says_what_to_do(suite: Suite) -> None:
    suite.write(HOLDS)
    result = suite.run("-k", "off-c2", simulate=False)
    assert "no simulated preset for toy: name one with --specdec-simulate" in result.stdout.str()
    result.assert_outcomes(errors=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--specdec-endpoint", "mtp=x=http://a"], "is not [MODEL@][off=|mtp=K[,al=L]=]URL"),
        (["--specdec-only", "planet=mars"], "is not AXIS=VALUE"),
        (["--specdec-budget", "5"], "is not a budget such as 30min, 2h, 4gpuh (GPU-hours) or '$5'"),
        (["--specdec-window", "0"], "is not a positive number"),
        (["--specdec-report", "out.pdf"], "must end in one of .md, .json, .csv"),
        (["--specdec-served-model", "x"], "is not MODEL=NAME"),
        (["--specdec-swap"], "--specdec-swap needs two --specdec-endpoint"),
        (["--specdec-tier", "weekly"], "invalid choice: 'weekly'"),
        (["--specdec-simulate", "h300"], "unknown preset 'h300'; there are: h200-qwen3.5-397b-fp8"),
        (["-o", "specdec_gpu_kw="], "give specdec_gpu_hour_usd and specdec_gpu_kw together"),
        (["-o", "specdec_window_s=long"], "ini key specdec_window_s: 'long' is not a positive number"),
        (["-o", "specdec_tier=weekly"], "ini key specdec_tier: 'weekly' is not one of smoke, nightly, release"),
    ],
)
def test_options_that_cannot_be_are_usage_errors(suite: Suite, arguments: list[str], message: str) -> None:
    suite.write(HOLDS)
    simulate = "--specdec-simulate" not in arguments
    result = suite.run(*arguments, simulate=simulate)
    assert message in result.stderr.str() + result.stdout.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_xdist_workers_are_refused_and_other_tests_are_not(suite: Suite) -> None:
    suite.write(HOLDS, "def test_other(): pass\n")
    result = suite.pytester.runpytest_subprocess("-pspecdec", "-pxdist", "-n2", "--specdec-simulate=tiny")
    result.assert_outcomes(failed=4, passed=1)
    assert "several xdist workers would disturb each other's numbers: run the specdec tests without -n" in (
        result.stdout.str()
    )
    assert not (suite.pytester.path / ".specdec").exists()


def test_help_markers_and_fixtures_read_like_documentation(suite: Suite) -> None:
    text = suite.run("--help").stdout.str()
    for option in ("--specdec-endpoint", "--specdec-update", "--specdec-only", "--specdec-budget", "specdec_window_s"):
        assert option in text
    assert "speculative decoding: measure, compare and gate MTP" in text
    assert "@pytest.mark.specdec(model, precision, sequence" in suite.run("--markers").stdout.str()
    fixtures = suite.run("--fixtures").stdout.str()
    for sentence in ("reads the suite's verdict", "MTP against Off", "Measure one cell of your own now"):
        assert sentence in fixtures


def test_an_idle_plugin_imports_nothing_heavy() -> None:
    script = (
        "import sys, pytest\n"
        "code = pytest.main(['--version', '-q'])\n"
        "import pytest_specdec.plugin\n"
        "heavy = {'numpy', 'scipy', 'pandas', 'aiohttp', 'openai', 'uvloop', 'tabulate'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy)); sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
