"""Settings -> where the engines of this session come from: attached, launched here, or simulated."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.engine.launch import LaunchedEngines, installed_version
from pytest_specdec.engine.provision import AttachedEngines, Attachment, EngineSource, SimulatedEngines, detect_mode
from pytest_specdec.engine.registry import LAUNCHERS
from pytest_specdec.engine.template import Template
from pytest_specdec.errors import EngineError, SpecdecError
from pytest_specdec.pipeline.settings import Settings
from pytest_specdec.simulator.faults.catalogue import find_fault
from pytest_specdec.simulator.presets import find_preset, preset_for_model

Say = Callable[[str], None]
AskHook = Callable[[str, str, EngineSpec, Mapping[str, str], Template], Template | None]
"""Asks the hook `pytest_specdec_launch` for a template; None when nobody answers."""
_SWAP_WAIT_S = 1800.0
_SWAP_LOOK_S = 2.0


def engine_source(settings: Settings, specs: Sequence[EngineSpec], say: Say, ask_hook: AskHook) -> EngineSource:
    """Choose by the settings; modes that the user did not name are asked from the endpoints here.

    Raises:
        EngineError: an endpoint without a named mode cannot be asked for it.
        InvalidInputError: no such simulated preset, or a launch command with an unknown placeholder.
    """
    if settings.endpoints:
        return _attached(settings, list(dict.fromkeys(spec.model for spec in specs)))
    return _launched(settings, specs, say, ask_hook) if settings.launch else _simulated(settings)


def exchange_hosts(source: EngineSource, settings: Settings, model: str, say: Say) -> AttachedEngines:
    """Have the servers of the two hosts exchanged, and wait until the endpoints say so.

    Raises:
        EngineError: there are not two endpoints, the command failed, or the endpoints kept their modes.
    """
    if not isinstance(source, AttachedEngines) or len(source.attachments) != 2:
        raise EngineError("--specdec-swap exchanges exactly two endpoints")
    exchanged = source.exchanged()
    if settings.swap:
        say(f"exchanging the servers: {settings.swap}")
        result = subprocess.run(settings.swap, shell=True, check=False)  # noqa: S602 - the user's own command
        if result.returncode:
            raise EngineError(f"the swap command failed with exit code {result.returncode}: {settings.swap}")
    else:
        say("exchange the servers of the two hosts now; waiting until the endpoints say so")
    alias = settings.served_models.get(model)
    deadline = time.monotonic() + _SWAP_WAIT_S
    while time.monotonic() < deadline:
        try:
            modes = [detect_mode(a.endpoint, model, alias, settings.engine) for a in exchanged.attachments]
            if modes == [(a.mtp, a.acceptance) for a in exchanged.attachments]:
                return exchanged
        except SpecdecError:
            pass  # a server that is being restarted does not answer
        time.sleep(_SWAP_LOOK_S)
    raise EngineError(f"the endpoints did not exchange their modes within {_SWAP_WAIT_S / 60:.0f} min")


def _attached(settings: Settings, models: Sequence[str]) -> AttachedEngines:
    attachments = []
    for option in settings.endpoints:
        # Credentials in the URL are meant for this endpoint; a key of the environment may be for another.
        api_key = None if urlsplit(option.url).username else settings.api_key
        endpoint = Endpoint(url=option.url, api_key=api_key, headers=settings.headers)
        mtp, acceptance = option.mtp, option.acceptance
        if mtp is None:
            model = option.model or (models[0] if models else "")
            mtp, acceptance = detect_mode(endpoint, model, settings.served_models.get(model), settings.engine)
        attachments.append(Attachment(model=option.model, mtp=mtp, endpoint=endpoint, acceptance=acceptance))
    return AttachedEngines(attachments=tuple(attachments))


def _launched(settings: Settings, specs: Sequence[EngineSpec], say: Say, ask_hook: AskHook) -> LaunchedEngines:
    assert settings.launch is not None, "unreachable because the option was given"
    name, launch = settings.launch, LAUNCHERS[settings.launch]
    version = installed_version(settings.launch_python, launch.distributions)
    default = Template(start=settings.launch_command or launch.choose(version).start, stop=settings.launch_stop)

    def template(engine: EngineSpec, values: Mapping[str, str]) -> Template:
        return ask_hook(name, version, engine, values, default) or default

    engines = LaunchedEngines(
        template=template,
        python=settings.launch_python,
        arguments=settings.launch_arguments,
        timeout_s=settings.launch_timeout_s,
        logs=settings.runs / "logs",
        said=say,
        api_key=settings.api_key,
        headers=settings.headers,
    )
    engines.check(specs)
    return engines


def _simulated(settings: Settings) -> SimulatedEngines:
    preset, _, fault = (settings.simulate or "").partition("@")
    named = find_preset(preset).name if preset else None
    if fault:
        find_fault(fault)

    def preset_of(model: str) -> str | None:
        matching = None if named else preset_for_model(model)
        return named or (matching.name if matching else None)

    return SimulatedEngines(preset_of=preset_of, fault=fault or None)
