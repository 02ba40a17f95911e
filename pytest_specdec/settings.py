"""Command-line options and ini keys of pytest -> one frozen object."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from pytest_specdec.cell import NATURAL
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.facts import Facts, parse_facts
from pytest_specdec.matrix import AXES, TIERS
from pytest_specdec.slo import Slo, parse_slo

T = TypeVar("T")

LAUNCHERS = ("vllm", "sglang", "trtllm")
ENGINES = ("vllm", "sglang", "trtllm", "lmdeploy", "unknown")
REPORT_SUFFIXES = (".md", ".json", ".csv")
API_KEY_VARIABLES = ("SPECDEC_API_KEY", "OPENAI_API_KEY")

_ENDPOINT = re.compile(
    r"(?:(?P<model>[^=@]+)@)?(?:(?P<mode>off|mtp=\d+)(?:,al=(?P<pinned>\d+(?:\.\d+)?))?=)?(?P<url>https?://[^\s]+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOption:
    """One `--specdec-endpoint`; None is not said."""

    model: str | None
    mtp: int | None
    url: str
    acceptance: str = NATURAL
    """`natural`, or the acceptance length that its synthetic mode is pinned to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a user can choose, command line before ini file."""

    endpoints: tuple[EndpointOption, ...]
    served_models: Mapping[str, str]
    api_key: str | None
    engine: str | None
    """Name of the adapter; None to find out."""
    facts: Mapping[str, Facts]
    """Declared facts by mode; those of every mode under the empty name."""
    simulate: str | None
    launch: str | None
    launch_python: str
    launch_arguments: str
    launch_command: str
    launch_stop: str
    launch_timeout_s: float
    swap: str | None
    """Command that exchanges the servers of two hosts, empty to wait for a person, None not to."""
    only: tuple[tuple[str, tuple[str, ...]], ...]
    tier: str
    update: str | None
    budget_s: float | None
    budget_usd: float | None
    window_s: tuple[float, float]
    """Shortest and longest window of a point; equal for a fixed length."""
    precision: float
    """Relative half-width at which a point is sure enough."""
    settle_s: float
    warm_up_s: float
    no_progress_s: float
    deadline_s: float
    levels: tuple[float, ...]
    refine: bool
    headers: Mapping[str, str] = field(repr=False)
    slo: Slo | None
    dcgm_url: str | None
    gpus: tuple[str, ...] | None
    reports: tuple[Path, ...]
    inconclusive: str
    hardware: str | None
    gpu_hour_usd: float | None
    gpu_kw: float | None
    baselines: Path
    runs: Path
    seed: int

    @classmethod
    def from_config(cls, config: pytest.Config) -> Settings:
        """Read and check every option.

        Raises:
            InvalidInputError: options that contradict each other, or an ini value that cannot be read.
        """
        option = config.option
        if option.specdec_swap is not None and len(option.specdec_endpoint) < 2:
            raise InvalidInputError("--specdec-swap needs two --specdec-endpoint, one per host, to exchange")
        chosen = [
            name
            for name, value in (
                ("--specdec-endpoint", option.specdec_endpoint),
                ("--specdec-launch", option.specdec_launch),
                ("--specdec-simulate", option.specdec_simulate),
            )
            if value
        ]
        if len(chosen) > 1:
            raise InvalidInputError(f"{' and '.join(chosen)} cannot go together: each says where the engine comes from")
        if option.specdec_refine and not option.specdec_at:
            raise InvalidInputError(
                "--specdec-refine needs to know the interactivity levels to refine at: --specdec-at 55,75"
            )
        usd, kw = (_number(config, name) for name in ("specdec_gpu_hour_usd", "specdec_gpu_kw"))
        if (usd is None) != (kw is None):
            raise InvalidInputError("give specdec_gpu_hour_usd and specdec_gpu_kw together, or neither")
        budget_s, budget_usd = option.specdec_budget or (None, None)
        return cls(
            endpoints=tuple(option.specdec_endpoint),
            served_models=dict(option.specdec_served_model),
            api_key=next((os.environ[name] for name in API_KEY_VARIABLES if os.environ.get(name)), None),
            engine=option.specdec_engine or option.specdec_launch,
            facts=_facts(option.specdec_facts),
            simulate=option.specdec_simulate,
            launch=option.specdec_launch,
            launch_python=config.getini("specdec_launch_python") or sys.executable,
            launch_arguments=_one_line(config, "specdec_launch_arguments"),
            launch_command=_one_line(config, "specdec_launch_command"),
            launch_stop=_one_line(config, "specdec_launch_stop"),
            launch_timeout_s=_number(config, "specdec_launch_timeout_s") or 1800.0,
            swap=option.specdec_swap,
            only=tuple(option.specdec_only),
            tier=_choice(config, "specdec_tier", TIERS),
            update=option.specdec_update,
            budget_s=budget_s,
            budget_usd=budget_usd,
            window_s=_read(config, "specdec_window_s", _window) or (10.0, 120.0),
            precision=_read(config, "specdec_precision", _percent) or 0.01,
            settle_s=_number(config, "specdec_settle_s") or 1.0,
            warm_up_s=_number(config, "specdec_warm_up_s") or 20.0,
            no_progress_s=_number(config, "specdec_no_progress_s") or 60.0,
            deadline_s=_number(config, "specdec_deadline_s") or 1800.0,
            levels=option.specdec_at or (),
            refine=option.specdec_refine,
            headers=dict(option.specdec_header),
            slo=option.specdec_slo,
            dcgm_url=option.specdec_dcgm,
            gpus=option.specdec_gpus,
            reports=tuple(option.specdec_report),
            inconclusive=_choice(config, "specdec_inconclusive", ("fail", "warn")),
            hardware=option.specdec_hardware,
            gpu_hour_usd=usd,
            gpu_kw=kw,
            baselines=_path(config, "specdec_baselines"),
            runs=_path(config, "specdec_runs"),
            seed=option.specdec_seed,
        )


def add_options(parser: pytest.Parser) -> None:
    """Register every option and ini key in one group."""
    group = parser.getgroup("specdec", "speculative decoding: measure, compare and gate MTP")
    option = group.addoption
    option(
        "--specdec-endpoint",
        action="append",
        default=[],
        type=_endpoint,
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
        type=_alias,
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
        metavar="PRESET",
        help="Simulated engine to use when no endpoint is given (default: by the suite's model)",
    )
    option(
        "--specdec-launch",
        choices=LAUNCHERS,
        metavar="ENGINE",
        help=f"Start the engine, measure it and stop it, once per engine of the plan ({', '.join(LAUNCHERS)}); see the "
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
        type=_only,
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
        choices=["new", "all"],
        help="Store what was measured as baselines: new ones only (default), or all. Review the diff.",
    )
    option(
        "--specdec-budget",
        type=_budget,
        metavar="30min|$5",
        help="Stop measuring when this much time or GPU money is spent; what is left is not judged, and fails.",
    )
    option(
        "--specdec-window",
        type=_window,
        dest="specdec_window_s",
        metavar="MIN..MAX",
        help="Seconds of the measured window: each point is measured until it is sure (--specdec-precision), for at "
        "least MIN and at most MAX; one number is a fixed length (ini: specdec_window_s, default 10..120)",
    )
    option(
        "--specdec-precision",
        type=_percent,
        metavar="PERCENT",
        help="A point is sure when the 95 %% intervals of its throughput and TPOT reach no farther than this to "
        "either side "
        "(ini: specdec_precision, default 1%%)",
    )
    option(
        "--specdec-at",
        type=_levels,
        metavar="55,75,96",
        help="Interactivity levels of the comparison tables in tok/s/user (default: the published table's, else "
        "25, 50 and 75 %% of the overlap)",
    )
    option(
        "--specdec-refine",
        action="store_true",
        help="For each level of --specdec-at, also measure the two neighbouring concurrencies between which it lies, "
        "so that tables do not rest on points far away. These points are neither judged nor stored.",
    )
    option(
        "--specdec-slo",
        type=_slo,
        metavar="BOUNDS",
        help="Report goodput: requests per second that meet every bound, such as ttft=500,tpot=50 (ms) or e2e=30s",
    )
    option(
        "--specdec-report",
        action="append",
        default=[],
        type=_report,
        metavar="FILE",
        help="Write a report; the format follows the name: .md, .json (the whole run) or .csv. Repeat for several.",
    )
    option(
        "--specdec-inconclusive",
        choices=["fail", "warn"],
        help="What an assertion that the interval does not decide comes to (ini: specdec_inconclusive, default fail)",
    )
    option("--specdec-hardware", metavar="GPU", help="Declare the GPU of the endpoints (default: the suite's)")
    option(
        "--specdec-gpu-hour-usd",
        type=_positive,
        metavar="USD",
        help="Price per GPU-hour, with --specdec-gpu-kw (ini keys of the same names; default: list price)",
    )
    option("--specdec-gpu-kw", type=_positive, metavar="KW", help="Provisioned all-in power per GPU in kW")
    option(
        "--specdec-dcgm",
        metavar="URL",
        help="Metrics of a DCGM exporter (http://host:9400/metrics): power, clocks, temperature, throttling, measured "
        "J/token. Without it NVML is asked, for engines on this host (pip install 'pytest-specdec[gpu]')",
    )
    option(
        "--specdec-gpus",
        type=_gpus,
        metavar="LIST",
        help="GPUs of the engine by index or UUID, where telemetry sees more than those (default: all)",
    )
    option(
        "--specdec-header",
        action="append",
        default=[],
        type=_header,
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
        ("specdec_launch_timeout_s", "", "Seconds until a launched engine must be healthy (default 1800)"),
    ):
        parser.addini(name, text, default=default)


def _number(config: pytest.Config, name: str) -> float | None:
    return _read(config, name, _positive)


def _read(config: pytest.Config, name: str, parse: Callable[[str], T]) -> T | None:
    """The option where it was given, else the ini key; None where neither was."""
    given: T | None = getattr(config.option, name, None)
    text = str(config.getini(name))
    if given is not None or not text:
        return given
    try:
        return parse(text)
    except argparse.ArgumentTypeError as error:
        raise InvalidInputError(f"ini key {name}: {error}") from error


def _facts(path: Path | None) -> Mapping[str, Facts]:
    if path is None:
        return {}
    try:
        return parse_facts(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInputError(f"--specdec-facts {path}: {error.strerror}") from error
    except (InvalidInputError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"--specdec-facts {path}: {error}") from error


def _one_line(config: pytest.Config, name: str) -> str:
    """A long command may go over several lines of the ini file; to a shell a line's end would end the command."""
    return " ".join(str(config.getini(name)).split("\n")).strip()


def _choice(config: pytest.Config, name: str, choices: Sequence[str]) -> str:
    given = getattr(config.option, name, None) or str(config.getini(name))
    if given not in choices:
        raise InvalidInputError(f"ini key {name}: {given!r} is not one of {', '.join(choices)}")
    return str(given)


def _path(config: pytest.Config, name: str) -> Path:
    return config.rootpath / str(config.getini(name))


def _endpoint(text: str) -> EndpointOption:
    match = _ENDPOINT.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not [MODEL@][off=|mtp=K=]URL, such as mtp=3=http://host:8000/v1")
    mode = match["mode"]
    mtp = None if mode is None else 0 if mode == "off" else int(mode.removeprefix("mtp="))
    if match["pinned"] and not mtp:
        raise argparse.ArgumentTypeError(f"{text!r}: al= pins the acceptance length of an MTP mode: mtp=3,al=2.5=URL")
    acceptance = f"{float(match['pinned']):g}" if match["pinned"] else NATURAL
    return EndpointOption(model=match["model"], mtp=mtp, url=match["url"], acceptance=acceptance)


def _alias(text: str) -> tuple[str, str]:
    model, sign, name = text.partition("=")
    if not (model and sign and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not MODEL=NAME")
    return model, name


def _only(text: str) -> tuple[str, tuple[str, ...]]:
    axis, sign, values = text.partition("=")
    if axis not in AXES or not sign or not values:
        raise argparse.ArgumentTypeError(f"{text!r} is not AXIS=VALUE with AXIS one of {', '.join(AXES)}")
    # `off` reads better than 0 and means the same.
    return axis, tuple("0" if axis == "mtp" and value == "off" else value for value in values.split(","))


def _budget(text: str) -> tuple[float | None, float | None]:
    match = re.fullmatch(r"(\$)?(\d+(?:\.\d+)?)\s*(min|h)?", text.strip())
    if match is None or bool(match[1]) == bool(match[3]) or float(match[2]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a budget such as 30min, 2h or '$5'")
    amount = float(match[2])
    return (None, amount) if match[1] else (amount * (3600 if match[3] == "h" else 60), None)


def _window(text: str) -> tuple[float, float]:
    least, dots, most = text.partition("..")
    floor = _positive(least)
    ceiling = _positive(most) if dots else floor
    if ceiling < floor:
        raise argparse.ArgumentTypeError(f"{text!r}: the longest window is shorter than the shortest one")
    return floor, ceiling


def _percent(text: str) -> float:
    number = _positive(text.strip().removesuffix("%").strip())
    if number >= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage below 100")
    return number / 100


def _slo(text: str) -> Slo:
    try:
        return parse_slo(text)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _gpus(text: str) -> tuple[str, ...] | None:
    return tuple(part.strip() for part in text.split(",") if part.strip()) or None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = (part.strip() for part in text.partition(":"))
    if not colon or not value or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise argparse.ArgumentTypeError("it is not of the form 'NAME: VALUE'")
    if value.startswith("@"):
        if value[1:] not in os.environ:
            raise argparse.ArgumentTypeError(f"{name}: there is no environment variable {value[1:]}")
        value = os.environ[value[1:]]
    if not value.isprintable():
        raise argparse.ArgumentTypeError(f"{name}: the value has characters that no header may have")
    return name, value


def _levels(text: str) -> tuple[float, ...]:
    return tuple(_positive(part) for part in text.split(","))


def _report(text: str) -> Path:
    path = Path(text)
    if path.suffix not in REPORT_SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text!r}: the name must end in one of {', '.join(REPORT_SUFFIXES)}")
    return path


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number
