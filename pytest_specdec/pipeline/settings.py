"""What a user has chosen, command line before ini file -> one frozen object."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import pytest

from pytest_specdec.domain.facts import BUNDLE, Facts, parse_facts
from pytest_specdec.engine.provision import EndpointOption
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.estimators.slo import Slo
from pytest_specdec.gate.rules import RULES
from pytest_specdec.measure.budget import Budget
from pytest_specdec.pipeline.option_values import API_KEY_VARIABLES, percent, positive, sessions, window
from pytest_specdec.suite.axes import TIERS

if TYPE_CHECKING:
    from pytest_specdec.redaction import Secrets

T = TypeVar("T")


How = Literal["new", "all", "merge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OldEngine:
    """Where the old engine comes from: attached, launched or simulated."""

    endpoints: tuple[EndpointOption, ...]
    launch: str | None
    launch_python: str
    launch_arguments: str
    launch_command: str
    launch_stop: str
    simulate: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a user can choose, command line before ini file."""

    endpoints: tuple[EndpointOption, ...]
    served_models: Mapping[str, str]
    api_key: str | None = field(repr=False)
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
    update: How | None
    sessions: tuple[int, int]
    """Sessions, and runs in each, of a new baseline."""
    reason: str
    new_anchor: bool
    resume: Path | None
    gate: str
    """Name of the gate's rule."""
    fixed_margin: float
    alpha: float
    """Chance of a false alarm in a whole suite."""
    required_facts: tuple[str, ...]
    selftest: bool
    exhaustive: bool
    confirm: str
    """`auto`: measure more where a suspect must be confirmed; `never`."""
    old: OldEngine | None
    """Where the old engine comes from, to confirm suspects on both."""
    budget: Budget
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
            sessions=_read(config, "specdec_sessions", sessions) or (5, 2),
            reason=option.specdec_reason,
            new_anchor=option.specdec_new_anchor,
            resume=option.specdec_resume,
            gate=_choice(config, "specdec_gate", tuple(RULES)),
            fixed_margin=_read(config, "specdec_fixed_margin", percent) or 0.05,
            alpha=_read(config, "specdec_alpha", percent) or 0.01,
            required_facts=_fact_names(config),
            selftest=option.specdec_selftest,
            exhaustive=option.specdec_exhaustive,
            confirm=_choice(config, "specdec_confirm", ("auto", "never")),
            old=_old_engine(config),
            budget=option.specdec_budget or Budget(),
            window_s=_read(config, "specdec_window_s", window) or (10.0, 120.0),
            precision=_read(config, "specdec_precision", percent) or 0.01,
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

    def secrets(self) -> Secrets:
        """What no output may show: keys, headers, credentials of URLs and of start commands, variables that say so."""
        from pytest_specdec.redaction import find_secrets  # noqa: PLC0415 - only a run needs it

        old = self.old
        endpoints = (*self.endpoints, *(old.endpoints if old else ()))
        return find_secrets(
            values=(self.api_key, *self.headers.values()),
            urls=(*(option.url for option in endpoints), self.dcgm_url),
            commands=(
                self.launch_command,
                self.launch_arguments,
                self.launch_stop,
                self.swap or "",
                *((old.launch_command, old.launch_arguments, old.launch_stop) if old else ()),
            ),
            environment=os.environ,
        )

    def reference(self) -> Settings | None:
        """The settings with the old engine in the place of the new one; None where there is none."""
        if self.old is None:
            return None
        chosen = {field.name: getattr(self.old, field.name) for field in fields(OldEngine)}
        # Image, torch and CUDA are declared of the new engine: an upgrade is what brings others.
        facts = {mode: declared.without(BUNDLE) for mode, declared in self.facts.items()}
        return replace(self, **chosen, engine=self.old.launch or self.engine, facts=facts)


def _old_engine(config: pytest.Config) -> OldEngine | None:
    option = config.option
    chosen = [
        name
        for name, value in (
            ("--specdec-reference-endpoint", option.specdec_reference_endpoint),
            ("--specdec-reference-launch", option.specdec_reference_launch),
            ("--specdec-reference-simulate", option.specdec_reference_simulate),
        )
        if value
    ]
    if len(chosen) > 1:
        raise InvalidInputError(f"{' and '.join(chosen)} cannot go together: each says where the old engine comes from")
    if not chosen:
        return None

    def of_launch(key: str) -> str:
        return _one_line(config, f"specdec_reference_launch_{key}") or _one_line(config, f"specdec_launch_{key}")

    launched = option.specdec_reference_launch
    own = [key for key in ("python", "arguments", "command") if _one_line(config, f"specdec_reference_launch_{key}")]
    if launched and launched == option.specdec_launch and not own:
        raise InvalidInputError(
            f"--specdec-reference-launch {launched} would start the new engine once more, which confirms nothing: say "
            "where the old one is installed, such as -o specdec_reference_launch_python=/old/bin/python (or the ini "
            "keys specdec_reference_launch_command, specdec_reference_launch_arguments)"
        )
    return OldEngine(
        endpoints=tuple(option.specdec_reference_endpoint),
        launch=option.specdec_reference_launch,
        launch_python=of_launch("python") or sys.executable,
        launch_arguments=of_launch("arguments"),
        launch_command=of_launch("command"),
        launch_stop=of_launch("stop"),
        simulate=option.specdec_reference_simulate,
    )


def _fact_names(config: pytest.Config) -> tuple[str, ...]:
    names = tuple(_one_line(config, "specdec_required_facts").replace(",", " ").split())
    unknown = [name for name in names if name not in Facts.__struct_fields__]
    if unknown:
        raise InvalidInputError(
            f"ini key specdec_required_facts: unknown fact {unknown[0]!r}; there are: "
            f"{', '.join(Facts.__struct_fields__)}"
        )
    return names


def _number(config: pytest.Config, name: str) -> float | None:
    return _read(config, name, positive)


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
