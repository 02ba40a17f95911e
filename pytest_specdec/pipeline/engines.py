"""The engines of one invocation, made once from the settings: attached, launched here, or simulated."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.domain.facts import facts_for
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.engine.launch import LaunchedEngines, installed_version
from pytest_specdec.engine.provision import (
    AttachedEngines,
    Attachment,
    EngineSource,
    Say,
    SimulatedEngines,
    detect_mode,
)
from pytest_specdec.engine.registry import LAUNCHERS
from pytest_specdec.engine.template import Template
from pytest_specdec.errors import EngineError, SpecdecError
from pytest_specdec.measure.http_engine import GpuOptions, HttpEngines
from pytest_specdec.measure.live_engine import Connect, OpenEngine
from pytest_specdec.pipeline.settings import EngineSettings, Settings
from pytest_specdec.results.run import Arm
from pytest_specdec.simulator.faults.catalogue import find_fault
from pytest_specdec.simulator.presets import find_preset, preset_for_model
from pytest_specdec.suite.demand import Declared
from pytest_specdec.workload.prompt_file import PromptFile

AskHook = Callable[[str, str, EngineSpec, Mapping[str, str], Template], Template | None]
"""Asks the hook `pytest_specdec_launch` for a template; None when no conftest answers."""
_SWAP_WAIT_S = 1800.0
_SWAP_POLL_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One arm's engines, with the settings that they are opened by."""

    source: EngineSource
    settings: EngineSettings

    @contextmanager
    def open(self, engine: EngineSpec, server_start: str, declared: Declared, said: Say) -> Iterator[OpenEngine]:
        """Have an engine up, together with the user's declarations of it."""
        settings = self.settings
        with self.source.open(engine, said) as running:
            yield OpenEngine(
                endpoint=running.endpoint,
                died=running.died,
                kind=settings.engine,
                declared=facts_for(settings.facts, engine),
                hardware=settings.hardware or declared.hardware.get(engine, "") or "unknown",
                alias=settings.served_models.get(engine.model),
                server_start=server_start,
            )


class Connector(Protocol):
    """Makes the connections to engines; tests bring one that runs the simulator's core in virtual time."""

    def __call__(self, *, prompt_files: Mapping[str, PromptFile], gpu: GpuOptions, said: Say) -> Connect:
        """Return the connect function of one campaign."""


def over_http(*, prompt_files: Mapping[str, PromptFile], gpu: GpuOptions, said: Say) -> Connect:
    """Connect to engines over HTTP."""
    return HttpEngines(prompt_files=prompt_files, gpu=gpu, said=said).connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The candidate engine, and the reference engine where the user gave one."""

    candidate: Side
    reference: Side | None = None
    connector: Connector = over_http
    clock: Callable[[], float] = time.monotonic
    """Clock of the budget, seconds."""

    @property
    def arms(self) -> dict[Arm, Side]:
        """The arms that there are."""
        reference: dict[Arm, Side] = {} if self.reference is None else {"reference": self.reference}
        return {"candidate": self.candidate, **reference}

    def exchanged(self, swap: str, model: str, say: Say) -> Engines:
        """Have the servers of the candidate's two hosts exchanged, and wait until the endpoints confirm it.

        Raises:
            EngineError: there are not two endpoints, the command failed, or the endpoints kept their modes.
        """
        source = _exchange_hosts(self.candidate, swap, model, say)
        return replace(self, candidate=replace(self.candidate, source=source))


def make_engines(settings: Settings, specs: Iterable[EngineSpec], ask_hook: AskHook) -> Engines:
    """Make both arms; endpoints without a named mode are asked for it here.

    Raises:
        EngineError: an endpoint without a named mode cannot be asked for it.
        InvalidInputError: no such simulated preset, or a launch command with an unknown placeholder.
    """
    wanted = list(dict.fromkeys(specs))
    logs = settings.measure.runs / "logs"

    def side(chosen: EngineSettings) -> Side:
        return Side(source=_source(chosen, wanted, logs, ask_hook), settings=chosen)

    reference = settings.reference
    return Engines(candidate=side(settings.candidate), reference=None if reference is None else side(reference))


def _source(settings: EngineSettings, specs: Sequence[EngineSpec], logs: Path, ask_hook: AskHook) -> EngineSource:
    if settings.endpoints:
        return _attached(settings, list(dict.fromkeys(spec.model for spec in specs)))
    if settings.launch:
        return _launched(settings, settings.launch, specs, logs, ask_hook)
    return _simulated(settings.simulate or "")


def _exchange_hosts(side: Side, swap: str, model: str, say: Say) -> AttachedEngines:
    source, settings = side.source, side.settings
    if not isinstance(source, AttachedEngines) or len(source.attachments) != 2:
        raise EngineError("--specdec-swap exchanges exactly two endpoints")
    exchanged = source.exchanged()
    if swap:
        say(f"exchanging the servers: {swap}")
        result = subprocess.run(swap, shell=True, check=False)  # noqa: S602 - the user's own command
        if result.returncode:
            raise EngineError(f"the swap command failed with exit code {result.returncode}: {swap}")
    else:
        say("exchange the servers of the two hosts now; waiting until the endpoints confirm it")
    alias = settings.served_models.get(model)
    deadline = time.monotonic() + _SWAP_WAIT_S
    while time.monotonic() < deadline:
        try:
            modes = [detect_mode(a.endpoint, model, alias, settings.engine) for a in exchanged.attachments]
            if modes == [a.speculation for a in exchanged.attachments]:
                return exchanged
        except SpecdecError:
            pass  # a server that is being restarted does not answer
        time.sleep(_SWAP_POLL_S)
    raise EngineError(f"the endpoints did not exchange their modes within {_SWAP_WAIT_S / 60:.0f} min")


def _attached(settings: EngineSettings, models: Sequence[str]) -> AttachedEngines:
    attachments = []
    for option in settings.endpoints:
        # Credentials in the URL are meant for this endpoint; a key of the environment may be for another.
        api_key = None if urlsplit(option.url).username else settings.api_key
        endpoint = Endpoint(url=option.url, api_key=api_key, headers=settings.headers)
        speculation = option.speculation
        if speculation is None:
            model = option.model or (models[0] if models else "")
            speculation = detect_mode(endpoint, model, settings.served_models.get(model), settings.engine)
        attachments.append(Attachment(model=option.model, speculation=speculation, endpoint=endpoint))
    return AttachedEngines(attachments=tuple(attachments))


def _launched(
    settings: EngineSettings, name: str, specs: Sequence[EngineSpec], logs: Path, ask_hook: AskHook
) -> LaunchedEngines:
    launch = LAUNCHERS[name]
    version = installed_version(settings.launch_python, launch.distributions)
    default = Template(start=settings.launch_command or launch.choose(version).start, stop=settings.launch_stop)

    def template(engine: EngineSpec, values: Mapping[str, str]) -> Template:
        return ask_hook(name, version, engine, values, default) or default

    engines = LaunchedEngines(
        template=template,
        python=settings.launch_python,
        arguments=settings.launch_arguments,
        timeout_s=settings.launch_timeout_s,
        logs=logs,
        api_key=settings.api_key,
        headers=settings.headers,
    )
    engines.check(specs)
    return engines


def _simulated(simulate: str) -> SimulatedEngines:
    preset, _, fault = simulate.partition("@")
    named = find_preset(preset).name if preset else None
    if fault:
        find_fault(fault)

    def preset_of(model: str) -> str | None:
        matching = None if named else preset_for_model(model)
        return named or (matching.name if matching else None)

    return SimulatedEngines(preset_of=preset_of, fault=fault or None)
