"""Settings from pytest: the command line comes before the ini file, the ini file before the defaults."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pytest_specdec.domain.facts import BUNDLE
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.pipeline.option import Option, rows
from pytest_specdec.pipeline.option_values import API_KEY_VARIABLES
from pytest_specdec.pipeline.settings import (
    BaselineSettings,
    EngineSettings,
    GateSettings,
    MeasureSettings,
    ReportSettings,
    Settings,
    SuiteSettings,
)

G = TypeVar("G")
_INSTALLATION = ("launch_python", "launch_arguments", "launch_command")
"""Fields of which one differs between two engines that are launched by the same recipe."""


def read_settings(config: pytest.Config) -> Settings:
    """Read and check every option.

    Raises:
        InvalidInputError: options that contradict each other, or an ini value that cannot be read.
    """
    candidate = _candidate(config)
    settings = Settings(
        candidate=candidate,
        reference=_reference(config, candidate),
        suite=read_group(config, SuiteSettings),
        measure=read_group(config, MeasureSettings),
        gate=read_group(config, GateSettings),
        baselines=read_group(config, BaselineSettings),
        reports=read_group(config, ReportSettings),
    )
    measure = settings.measure
    if measure.swap is not None and len(candidate.endpoints) < 2:
        raise InvalidInputError("--specdec-swap needs two --specdec-endpoint, one per host, to exchange")
    if measure.refine and not measure.levels:
        raise InvalidInputError(
            "--specdec-refine needs to know the interactivity levels to refine at: --specdec-at 55,75"
        )
    if (measure.gpu_hour_usd is None) != (measure.gpu_kw is None):
        raise InvalidInputError("give specdec_gpu_hour_usd and specdec_gpu_kw together, or neither")
    return settings


def read_group(config: pytest.Config, group: type[G]) -> G:
    """Read every row of a settings group.

    Raises:
        InvalidInputError: an ini value that cannot be read.
    """
    found = {name: (row, _given(config, row)) for name, row in rows(group)}
    return group(
        **{name: _from_rootdir(config, row.default) if value is None else value for name, (row, value) in found.items()}
    )


def _given(config: pytest.Config, row: Option) -> Any:  # noqa: ANN401 - of the type of the row's field
    """The value of the flag, else of the ini key; None where the user gives neither."""
    value = config.getoption(row.flag) if row.flag else None
    if value is not None:
        return row.gather(value) if row.gather else value
    text = str(config.getini(row.ini)) if row.ini else ""
    if not text:
        return None
    if row.choices and text not in row.choices:
        raise InvalidInputError(f"ini key {row.ini}: {text!r} is not one of {', '.join(row.choices)}")
    try:
        return _from_rootdir(config, row.parse(text))
    except argparse.ArgumentTypeError as error:
        raise InvalidInputError(f"ini key {row.ini}: {error}") from error


def _from_rootdir(config: pytest.Config, value: object) -> object:
    """A path of the ini file is relative to the rootdir, one of the command line to the working directory."""
    return config.rootpath / value if isinstance(value, Path) else value


def _candidate(config: pytest.Config) -> EngineSettings:
    _refuse_two_sources(config, [row for _, row in rows(EngineSettings)], "engine")
    read = read_group(config, EngineSettings)
    key = next((os.environ[name] for name in API_KEY_VARIABLES if os.environ.get(name)), None)
    return replace(read, engine=read.engine or read.launch, api_key=key)


def _reference(config: pytest.Config, candidate: EngineSettings) -> EngineSettings | None:
    """The reference engine: its own options, the candidate's where it has none; None where no source is given."""
    variants = {name: row.of_reference() for name, row in rows(EngineSettings) if row.reference}
    if not _refuse_two_sources(config, list(variants.values()), "reference engine"):
        return None
    given = {name: value for name, row in variants.items() if (value := _given(config, row)) is not None}
    sources = {name: row.default for name, row in variants.items() if row.source}
    own = replace(candidate, **(sources | given))
    if own.launch and own.launch == candidate.launch and not given.keys() & set(_INSTALLATION):
        raise InvalidInputError(
            f"--specdec-reference-launch {own.launch} would start the candidate engine once more, which confirms "
            "nothing: name the installation of the reference engine, such as -o "
            "specdec_reference_launch_python=/old/bin/python (or the ini keys specdec_reference_launch_command, "
            "specdec_reference_launch_arguments)"
        )
    # Image, torch and CUDA are declared of the candidate: an upgrade is what brings others.
    facts = {mode: declared.without(BUNDLE) for mode, declared in candidate.facts.items()}
    return replace(own, engine=own.launch or candidate.engine, facts=facts)


def _refuse_two_sources(config: pytest.Config, options: Sequence[Option], whose: str) -> bool:
    """Tell whether a source of an engine is given; two contradict each other."""
    named = [row.flag for row in options if row.source and config.getoption(row.flag)]
    if len(named) > 1:
        raise InvalidInputError(f"{' and '.join(named)} cannot go together: each says where the {whose} comes from")
    return bool(named)
