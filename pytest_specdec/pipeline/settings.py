"""Every option of the plugin, one row each, in the groups that the stages of an invocation take."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pytest_specdec.domain.facts import Facts
from pytest_specdec.engine.registry import ENGINES, LAUNCHERS
from pytest_specdec.estimators.slo import Slo
from pytest_specdec.gate.rules import RULES
from pytest_specdec.measure.budget import Budget
from pytest_specdec.pipeline.option import option
from pytest_specdec.pipeline.option_values import (
    API_KEY_VARIABLES,
    EndpointOption,
    alias,
    budget,
    endpoint,
    exporter,
    fact_names,
    facts,
    gpus,
    header,
    levels,
    one_line,
    only,
    percent,
    positive,
    python,
    report,
    sessions,
    slo,
    window,
)
from pytest_specdec.report.formats import FORMATS
from pytest_specdec.suite.axes import AXES, TIERS

if TYPE_CHECKING:
    from pytest_specdec.redaction import Secrets

How = Literal["new", "all", "merge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Source of one engine, and the facts that the user declares of it."""

    endpoints: tuple[EndpointOption, ...] = option(
        endpoint, (), "--specdec-endpoint [MODEL@][off=|mtp=K[,al=L]=]URL", gather=tuple, source=True
    )(
        "Measure a running OpenAI-compatible server instead of the built-in simulated engine; repeat the option "
        "for each mode: off=http://a:8000/v1, mtp=3=http://b:8000/v1. Without a mode the server is asked for it; al=L "
        "says that its acceptance length is pinned. "
        f"The API key comes from the environment ({' or '.join(API_KEY_VARIABLES)}).",
        reference="Attach the reference engine, the version that the baseline is of, like --specdec-endpoint, on like "
        "hardware and with like settings: suspects are confirmed on reference and candidate in turn "
        "(--specdec-confirm)",
    )
    served_models: Mapping[str, str] = option(
        alias, MappingProxyType({}), "--specdec-served-model MODEL=NAME", gather=dict
    )("Name under which the servers serve a suite's model")
    engine: str | None = option(str, None, "--specdec-engine NAME", choices=ENGINES)(
        f"Kind of engine behind the endpoints ({', '.join(ENGINES)}) when they do not tell; unknown: use only "
        "OpenAI's API"
    )
    facts: Mapping[str, Facts] = option(facts, MappingProxyType({}), "--specdec-facts FILE")(
        "Declare what an endpoint cannot tell (TOML): driver, image, quantization ...; a table [off] or [mtp3] "
        "for one mode. A declaration that the endpoint contradicts is an error."
    )
    """Declared facts by mode; those of every mode under the empty name."""
    launch: str | None = option(str, None, "--specdec-launch ENGINE", choices=LAUNCHERS, source=True)(
        f"Start the engine, measure it and stop it, for each engine of the plan ({', '.join(LAUNCHERS)}); see the "
        "ini keys specdec_launch_*",
        reference="Start the reference engine like --specdec-launch; name its installation, for instance with the ini "
        "key specdec_reference_launch_python (a key specdec_reference_launch_* that is not set is as for the "
        "candidate)",
    )
    simulate: str | None = option(str, None, "--specdec-simulate PRESET[@FAULT]", source=True)(
        "Simulated engine to use when no endpoint is given (default: by the suite's model), optionally with a "
        "published regression (specdec simulate --fault list): h200-qwen3.5-397b-fp8@drafter-broken",
        reference="Simulate the reference engine like --specdec-simulate",
    )
    launch_python: str = option(python, "", ini="specdec_launch_python", shown="the Python that runs pytest")(
        "Python of the environment that has the engine installed",
        reference="Same as specdec_launch_python, for the reference engine",
    )
    launch_arguments: str = option(one_line, "", ini="specdec_launch_arguments")(
        "More arguments for the engine's start command",
        reference="Same as specdec_launch_arguments, for the reference engine",
    )
    launch_command: str = option(one_line, "", ini="specdec_launch_command")(
        "A start command of your own with {model}, {mtp}, {port}, {tp} and so on",
        reference="Same as specdec_launch_command, for the reference engine",
    )
    launch_stop: str = option(one_line, "", ini="specdec_launch_stop")(
        "A command that stops what does not end with its process: docker stop {name}",
        reference="Same as specdec_launch_stop, for the reference engine",
    )
    launch_timeout_s: float = option(positive, "1800", ini="specdec_launch_timeout_s")(
        "Seconds until a launched engine must be healthy"
    )
    hardware: str | None = option(str, None, "--specdec-hardware GPU", shown="the suite's")(
        "Declare the GPU of the endpoints"
    )
    headers: Mapping[str, str] = option(
        header, MappingProxyType({}), "--specdec-header 'NAME: VALUE'", gather=dict, secret=True
    )(
        "Add a header to every request, as some gateways require; @VARIABLE as VALUE is read from the "
        "environment, where a secret belongs. Repeat the option for several."
    )
    api_key: str | None = field(default=None, repr=False)
    """From the environment only, where a secret belongs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSettings:
    """Selection of cells from the suites."""

    only: tuple[tuple[str, tuple[str, ...]], ...] = option(only, (), "--specdec-only AXIS=VALUE[,VALUE]", gather=tuple)(
        f"Keep the cells with exactly these values (unlike -k, c1 does not match c16). Axes: {', '.join(AXES)}."
    )
    tier: str = option(str, "smoke", "--specdec-tier", ini="specdec_tier", choices=TIERS)(
        "How much of each suite to run; each tier includes the ones before it"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSettings:
    """Measurement of the cells, and its budget."""

    window_s: tuple[float, float] = option(window, "10..120", "--specdec-window MIN..MAX", ini="specdec_window_s")(
        "Seconds of the measured window: each cell is measured until it reaches --specdec-precision, for at "
        "least MIN and at most MAX; one number is a fixed length"
    )
    """Shortest and longest window of a cell; equal for a fixed length."""
    precision: float = option(percent, "1%", "--specdec-precision PERCENT", ini="specdec_precision")(
        "Stop measuring a cell when the half-widths of the 95 % CIs of its throughput and TPOT are at most this"
    )
    """Relative half-width of the interval."""
    settle_s: float = option(positive, "1", ini="specdec_settle_s")("Minimum seconds between the ramp and the window")
    warm_up_s: float = option(positive, "20", ini="specdec_warm_up_s")(
        "Maximum seconds for the step time to level off before the window"
    )
    no_progress_s: float = option(positive, "60", ini="specdec_no_progress_s")(
        "Seconds without a byte after which a request has failed"
    )
    deadline_s: float = option(positive, "1800", ini="specdec_deadline_s")(
        "Seconds after which the measurement of a cell has failed"
    )
    levels: tuple[float, ...] = option(
        levels, (), "--specdec-at 55,75,96", shown="the published table's, else 25, 50 and 75 % of the overlap"
    )("Interactivity levels of the comparison tables in tok/s/user")
    refine: bool = option(bool, False, "--specdec-refine")(
        "For each level of --specdec-at, also measure the two neighbouring concurrencies between which it lies, "
        "until the value read there reaches --specdec-precision. These cells are neither judged nor stored."
    )
    slo: Slo | None = option(slo, None, "--specdec-slo BOUNDS")(
        "Report goodput: requests per second that meet every bound, such as ttft=500,tpot=50 (ms) or e2e=30s"
    )
    dcgm_url: str | None = option(exporter, None, "--specdec-dcgm URL")(
        "Read power, clocks, temperature and throttling from a DCGM exporter (http://host:9400/metrics) and "
        "measure J/token. Without it NVML is read, for engines on this host (pip install 'pytest-specdec[gpu]')."
    )
    gpus: tuple[str, ...] | None = option(gpus, None, "--specdec-gpus LIST", shown="all")(
        "GPUs of the engine by index or UUID, where telemetry sees others too"
    )
    gpu_hour_usd: float | None = option(
        positive, None, "--specdec-gpu-hour-usd USD", ini="specdec_gpu_hour_usd", shown="list price of the hardware"
    )("Price per GPU-hour, together with --specdec-gpu-kw")
    gpu_kw: float | None = option(
        positive, None, "--specdec-gpu-kw KW", ini="specdec_gpu_kw", shown="list value of the hardware"
    )("Provisioned all-in power per GPU in kW, together with --specdec-gpu-hour-usd")
    budget: Budget = option(budget, Budget(), "--specdec-budget 30min|4gpuh|$5")(
        "Stop measuring when this much time, GPU-hours or GPU money is spent, server starts included; cells that "
        "are left are inconclusive"
    )
    seed: int = option(int, "0", "--specdec-seed N")("Seed of the order of the cells")
    swap: str | None = option(str, None, "--specdec-swap COMMAND", bare="")(
        "With two endpoints on two hosts: measure, run COMMAND to exchange the servers (without it, wait until "
        "you have), and measure again, so that the effect of MTP is told apart from the node's"
    )
    """Command that exchanges the servers of two hosts, empty to wait for the user, None not to."""
    resume: Path | None = option(Path, None, "--specdec-resume RUN")(
        "Continue an interrupted run (.specdec/runs/...json) with the same options: cells that it measured are "
        "not measured again, after a check that engine and facts are the same"
    )
    runs: Path = option(Path, ".specdec/runs", ini="specdec_runs")(
        "Folder of the saved runs, relative to rootdir; logs of launched engines go to its folder logs"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """Judgement of the results."""

    rule: str = option(str, next(iter(RULES)), "--specdec-gate", ini="specdec_gate", choices=tuple(RULES))(
        f"Gate rule. {'; '.join(f'{rule.name}: {rule.help}' for rule in RULES.values())}"
    )
    fixed_margin: float = option(percent, "5%", ini="specdec_fixed_margin")("Loss at which the fixed gate fails")
    alpha: float = option(percent, "1%", ini="specdec_alpha")("Chance of a false alarm in a whole suite")
    required_facts: tuple[str, ...] = option(fact_names, (), ini="specdec_required_facts")(
        "Facts that must be known, such as: driver image gpu_clock_mhz"
    )
    exhaustive: bool = option(bool, False, "--specdec-exhaustive")(
        "Confirm every suspect, also when one regression is proven already"
    )
    confirm: str = option(str, "auto", "--specdec-confirm", ini="specdec_confirm", choices=("auto", "never"))(
        "Whether to measure suspects, cells with a possible loss, again. auto: on reference and candidate engine "
        "in turn where a reference engine is given (--specdec-reference-endpoint, -launch or -simulate), else on fresh "
        "starts of the candidate, which prove large losses only; never: suspects stay inconclusive, and cells that the "
        "first analysis cannot decide are too noisy"
    )
    inconclusive: str = option(
        str, "fail", "--specdec-inconclusive", ini="specdec_inconclusive", choices=("fail", "warn")
    )("Outcome of an assertion that the interval does not decide")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineSettings:
    """Folder and update of the baselines."""

    folder: Path = option(Path, "baselines", ini="specdec_baselines")("Folder of the baselines, relative to rootdir")
    update: How | None = option(str, None, "--specdec-update", bare="new", choices=("new", "all", "merge"))(
        "Measure several sessions (--specdec-sessions) and store them as baselines. new (default): only cells "
        "without one; all: replace; merge: add sessions to the stored ones (of an attached server, which is not "
        "restarted, or of another day). A loss, or a gain that is not confirmed, needs --specdec-reason; broken "
        "speculation is never stored. Review the diff."
    )
    sessions: tuple[int, int] = option(sessions, "5x2", "--specdec-sessions SxR", ini="specdec_sessions")(
        "For --specdec-update and --specdec-selftest: S sessions (server starts) of R repeats per cell, so that a "
        "baseline knows its own noise. An attached server is not restarted: it gives one session of R repeats, and "
        "--specdec-update=merge adds others."
    )
    """Sessions, and repeats in each, of a new baseline."""
    reason: str = option(str, "", "--specdec-reason TEXT")(
        "Why a loss or an unconfirmed gain becomes the baseline; stored with user and date"
    )
    new_anchor: bool = option(bool, False, "--specdec-new-anchor")(
        "With --specdec-update=all: also replace the anchor, the first baseline, from which small losses add up"
    )
    selftest: bool = option(bool, False, "--specdec-selftest")(
        "Compare the engine with itself: measure the plan in several sessions, estimate the machine's noise and "
        "the minimum detectable effect, and store them beside the baselines; no test is run (short: specdec selftest)"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """Report files to write."""

    files: tuple[Path, ...] = option(report, (), "--specdec-report FILE", gather=tuple)(
        "Write a report; its format follows the name: "
        f"{', '.join(f'{one.suffix} ({one.about})' for one in FORMATS)}. Repeat the option for several."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a user can choose; each stage takes its own group."""

    candidate: EngineSettings = EngineSettings()
    reference: EngineSettings | None = None
    """The engine that suspects are compared with; None where the user names none."""
    suite: SuiteSettings = SuiteSettings()
    measure: MeasureSettings = MeasureSettings()
    gate: GateSettings = GateSettings()
    baselines: BaselineSettings = BaselineSettings()
    reports: ReportSettings = ReportSettings()

    def secrets(self) -> Secrets:
        """Text that no output may show: keys, headers, credentials in URLs, commands and the environment."""
        from pytest_specdec.redaction import find_secrets  # noqa: PLC0415 - only a run needs it

        engines = [engine for engine in (self.candidate, self.reference) if engine is not None]
        return find_secrets(
            values=(self.candidate.api_key, *self.candidate.headers.values()),
            urls=(*(given.url for engine in engines for given in engine.endpoints), self.measure.dcgm_url),
            commands=(
                self.measure.swap or "",
                *(
                    command
                    for engine in engines
                    for command in (engine.launch_command, engine.launch_arguments, engine.launch_stop)
                ),
            ),
            environment=os.environ,
        )


GROUPS = (EngineSettings, SuiteSettings, MeasureSettings, GateSettings, BaselineSettings, ReportSettings)
