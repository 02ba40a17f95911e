"""Command-line options and ini keys: what there is, and what it says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_specdec.engine.registry import ENGINES, LAUNCHERS
from pytest_specdec.pipeline.option_values import (
    API_KEY_VARIABLES,
    alias,
    budget,
    endpoint,
    exporter,
    gpus,
    header,
    levels,
    only,
    percent,
    positive,
    report,
    sessions,
    slo,
    window,
)
from pytest_specdec.suite.axes import AXES, TIERS


def add_options(parser: pytest.Parser) -> None:
    """Register every option and ini key in one group."""
    group = parser.getgroup("specdec", "speculative decoding: measure, compare and gate MTP")
    option = group.addoption
    option(
        "--specdec-endpoint",
        action="append",
        default=[],
        type=endpoint,
        metavar="[MODEL@][off=|mtp=K[,al=L]=]URL",
        help="Measure a running OpenAI-compatible server instead of the built-in simulated engine; repeat per mode: "
        "off=http://a:8000/v1, mtp=3=http://b:8000/v1. Without a mode the server is asked for it; al=L says that its "
        "acceptance length is pinned. "
        f"The API key comes from the environment ({' or '.join(API_KEY_VARIABLES)}).",
    )
    option(
        "--specdec-served-model",
        action="append",
        default=[],
        type=alias,
        metavar="MODEL=NAME",
        help="Name under which the servers serve a suite's model",
    )
    option(
        "--specdec-engine",
        choices=ENGINES,
        metavar="NAME",
        help=f"Which engine the endpoints are ({', '.join(ENGINES)}) when they do not tell; unknown: ask no more than "
        "OpenAI's API has",
    )
    option(
        "--specdec-facts",
        type=Path,
        metavar="FILE",
        help="Declare what an endpoint cannot tell (TOML): driver, image, quantization ...; a table [off] or [mtp3] "
        "for one mode. A declaration that the endpoint contradicts is an error.",
    )
    option(
        "--specdec-simulate",
        metavar="PRESET[@FAULT]",
        help="Simulated engine to use when no endpoint is given (default: by the suite's model), with a published "
        "regression if you like (specdec simulate --fault list): h200-qwen3.5-397b-fp8@drafter-broken",
    )
    option(
        "--specdec-launch",
        choices=LAUNCHERS,
        metavar="ENGINE",
        help=f"Start the engine, measure it and stop it, for each engine of the plan ({', '.join(LAUNCHERS)}); see the "
        "ini keys specdec_launch_*",
    )
    option(
        "--specdec-swap",
        nargs="?",
        const="",
        metavar="COMMAND",
        help="With two endpoints on two hosts: measure, run COMMAND (or wait for you) to exchange the servers, and "
        "measure again, so that MTP is told from the node.",
    )
    option(
        "--specdec-only",
        action="append",
        default=[],
        type=only,
        metavar="AXIS=VALUE[,VALUE]",
        help=f"Keep the cells with exactly these values (unlike -k, c1 does not match c16). Axes: {', '.join(AXES)}.",
    )
    option(
        "--specdec-tier",
        choices=TIERS,
        help="How much of each suite to run; each tier holds the ones before it (ini: specdec_tier, default smoke)",
    )
    option(
        "--specdec-update",
        nargs="?",
        const="new",
        choices=["new", "all", "merge"],
        help="Measure several sessions (--specdec-sessions) and store them as baselines, --specdec-update=HOW. new "
        "(default): only points that have none; all: replace; merge: further sessions beside the stored ones (of an "
        "attached server, which is not restarted, or of another day). A loss, or a gain that may be luck, needs "
        "--specdec-reason; broken speculation never becomes one. Review the diff.",
    )
    option(
        "--specdec-sessions",
        type=sessions,
        metavar="SxR",
        help="For --specdec-update and --specdec-selftest: S sessions (starts of the server) of R runs per point, so "
        "that a baseline knows its own noise (ini: specdec_sessions, default 5x2). An attached server is not "
        "restarted: there it is one session of R runs, and --specdec-update=merge adds others",
    )
    option(
        "--specdec-reason",
        default="",
        metavar="TEXT",
        help="Why a loss or an unconfirmed gain becomes the baseline; kept in the file with who and when",
    )
    option(
        "--specdec-new-anchor",
        action="store_true",
        help="With --specdec-update=all: also forget the first baseline, from which small losses are added up",
    )
    option(
        "--specdec-resume",
        type=Path,
        metavar="RUN",
        help="Go on with an interrupted run (.specdec/runs/...json), given the same options as then: what it measured "
        "is not measured again, after checking that engine and facts are the same",
    )
    option(
        "--specdec-gate",
        choices=["suite", "fixed"],
        help="How baselines judge: suite (default) keeps one promise about false alarms over all cells and says "
        "inconclusive where it must; fixed compares means with a fixed margin, and reports how often that is wrong "
        "(ini: specdec_gate)",
    )
    option(
        "--specdec-confirm",
        choices=["auto", "never"],
        help="Points that may have lost are suspects. auto: they are measured again, on old and new engine in turn "
        "where the old one is given (--specdec-reference-endpoint, -launch or -simulate), else on fresh starts of the "
        "new one, which prove large losses only; never: what looks like a loss stays inconclusive, what the first look "
        "cannot tell is called too noisy (ini: specdec_confirm, default auto)",
    )
    option(
        "--specdec-selftest",
        action="store_true",
        help="Compare the engine with itself: measure the plan in several sessions, fit the machine's noise, say what "
        "the gate can find on it and store that beside the baselines; no test is run (short: specdec selftest)",
    )
    option(
        "--specdec-exhaustive",
        action="store_true",
        help="Confirm every suspect, also when one regression is proven already",
    )
    option(
        "--specdec-reference-endpoint",
        action="append",
        default=[],
        type=endpoint,
        metavar="[MODEL@][off=|mtp=K[,al=L]=]URL",
        help="The old engine (the version that the baseline is of), attached like --specdec-endpoint, on like hardware "
        "and with like settings: suspects are confirmed on old and new in turn (--specdec-confirm)",
    )
    option(
        "--specdec-reference-launch",
        choices=LAUNCHERS,
        metavar="ENGINE",
        help="The old engine, started like --specdec-launch; say where it is installed, for instance with the ini key "
        "specdec_reference_launch_python (specdec_reference_launch_*: what they leave out is as for the new one)",
    )
    option(
        "--specdec-reference-simulate",
        metavar="PRESET",
        help="The old engine, simulated like --specdec-simulate",
    )
    option(
        "--specdec-budget",
        type=budget,
        metavar="30min|4gpuh|$5",
        help="Stop measuring when this much time, this many GPU-hours or this much GPU money is spent, starts of "
        "servers included; what is left is inconclusive",
    )
    option(
        "--specdec-window",
        type=window,
        dest="specdec_window_s",
        metavar="MIN..MAX",
        help="Seconds of the measured window: each point is measured until it is sure (--specdec-precision), for at "
        "least MIN and at most MAX; one number is a fixed length (ini: specdec_window_s, default 10..120)",
    )
    option(
        "--specdec-precision",
        type=percent,
        metavar="PERCENT",
        help="A point is sure when the 95 %% intervals of its throughput and TPOT reach no farther than this to "
        "either side "
        "(ini: specdec_precision, default 1%%)",
    )
    option(
        "--specdec-at",
        type=levels,
        metavar="55,75,96",
        help="Interactivity levels of the comparison tables in tok/s/user (default: the published table's, else "
        "25, 50 and 75 %% of the overlap)",
    )
    option(
        "--specdec-refine",
        action="store_true",
        help="For each level of --specdec-at, also measure the two neighbouring concurrencies between which it lies, "
        "so that tables do not rest on points far away, until what is read there is sure to --specdec-precision. These "
        "points are neither judged nor stored.",
    )
    option(
        "--specdec-slo",
        type=slo,
        metavar="BOUNDS",
        help="Report goodput: requests per second that meet every bound, such as ttft=500,tpot=50 (ms) or e2e=30s",
    )
    option(
        "--specdec-report",
        action="append",
        default=[],
        type=report,
        metavar="FILE",
        help="Write a report; the format follows the name: .html (a page that opens offline), .md, .json (the whole "
        "run), .csv, and for trackers .bmf.json (Bencher), .bigger.json and .smaller.json (github-action-benchmark). "
        "Repeat for several.",
    )
    option(
        "--specdec-inconclusive",
        choices=["fail", "warn"],
        help="What an assertion that the interval does not decide comes to (ini: specdec_inconclusive, default fail)",
    )
    option("--specdec-hardware", metavar="GPU", help="Declare the GPU of the endpoints (default: the suite's)")
    option(
        "--specdec-gpu-hour-usd",
        type=positive,
        metavar="USD",
        help="Price per GPU-hour, with --specdec-gpu-kw (ini keys of the same names; default: list price)",
    )
    option("--specdec-gpu-kw", type=positive, metavar="KW", help="Provisioned all-in power per GPU in kW")
    option(
        "--specdec-dcgm",
        type=exporter,
        metavar="URL",
        help="Metrics of a DCGM exporter (http://host:9400/metrics): power, clocks, temperature, throttling, measured "
        "J/token. Without it NVML is asked, for engines on this host (pip install 'pytest-specdec[gpu]')",
    )
    option(
        "--specdec-gpus",
        type=gpus,
        metavar="LIST",
        help="GPUs of the engine by index or UUID, where telemetry sees more than those (default: all)",
    )
    option(
        "--specdec-header",
        action="append",
        default=[],
        type=header,
        metavar="'NAME: VALUE'",
        help="One more header for every request, as some gateways want it; @VARIABLE as VALUE is read from the "
        "environment, where a secret belongs. Repeat for several.",
    )
    option("--specdec-seed", type=int, default=0, metavar="N", help="Seed of the order of points (default 0)")
    for name, default, text in (
        ("specdec_tier", "smoke", "How much of each suite to run: smoke, nightly or release"),
        ("specdec_window_s", "", "Seconds of the measured window of each point, MIN..MAX or fixed (default 10..120)"),
        ("specdec_precision", "", "Relative half-width at which a point is sure enough (default 1%)"),
        ("specdec_settle_s", "", "Least seconds between the ramp and the window (default 1)"),
        ("specdec_warm_up_s", "", "Most seconds for the step time to become flat before the window (default 20)"),
        ("specdec_no_progress_s", "", "A request without a byte for so many seconds has failed (default 60)"),
        ("specdec_deadline_s", "", "A point that takes longer has failed (default 1800)"),
        ("specdec_inconclusive", "fail", "What an undecided assertion comes to: fail or warn"),
        ("specdec_gpu_hour_usd", "", "Price per GPU-hour in $ (default: list price of the hardware)"),
        ("specdec_gpu_kw", "", "Provisioned all-in power per GPU in kW (default: list of the hardware)"),
        ("specdec_baselines", "baselines", "Folder of the baselines, from the rootdir"),
        (
            "specdec_runs",
            ".specdec/runs",
            "Folder of the saved runs, from the rootdir; logs of launched engines below it",
        ),
        ("specdec_launch_python", "", "Python of the environment that has the engine (default: the one of pytest)"),
        ("specdec_launch_arguments", "", "More arguments for the engine's start command"),
        ("specdec_launch_command", "", "A start command of your own with {model}, {mtp}, {port}, {tp} and so on"),
        ("specdec_launch_stop", "", "A command that stops what does not end with its process: docker stop {name}"),
        ("specdec_reference_launch_python", "", "As specdec_launch_python, for the old engine"),
        ("specdec_reference_launch_arguments", "", "As specdec_launch_arguments, for the old engine"),
        ("specdec_reference_launch_command", "", "As specdec_launch_command, for the old engine"),
        ("specdec_reference_launch_stop", "", "As specdec_launch_stop, for the old engine"),
        ("specdec_sessions", "", "Sessions x runs of a new baseline (default 5x2)"),
        ("specdec_gate", "suite", "How baselines judge: suite or fixed"),
        ("specdec_confirm", "auto", "Whether suspects are measured again: auto or never"),
        ("specdec_fixed_margin", "5%", "Loss at which the fixed gate fails"),
        ("specdec_alpha", "1%", "Chance of a false alarm in a whole suite"),
        ("specdec_required_facts", "", "Facts that may not be unknown, such as: driver image gpu_clock_mhz"),
        ("specdec_launch_timeout_s", "", "Seconds until a launched engine must be healthy (default 1800)"),
    ):
        parser.addini(name, text, default=default)
