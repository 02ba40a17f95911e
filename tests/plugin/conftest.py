"""The small suite, and servers to attach to."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from small_suite import Suite
from virtual_engines import VirtualHost, switch_on

import pytest_specdec
from pytest_specdec.domain import client_health as client
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.errors import EngineError
from pytest_specdec.simulator.server import Server, SimulatorOptions, start

# pytester puts sys.modules back after a run in this process: what a run would import is imported here, once for all,
# and numpy cannot be imported twice.
for module in pkgutil.walk_packages(pytest_specdec.__path__, "pytest_specdec."):
    if not module.name.startswith("pytest_specdec.engine.entry"):
        importlib.import_module(module.name)


@pytest.fixture(scope="session", autouse=True)
def _http_client_is_whole() -> None:
    """The HTTP client imports its backend with the first request: were that inside pytester, it would come twice."""
    with pytest.raises(EngineError):
        asyncio.run(Endpoint(url="http://127.0.0.1:9/v1").introspect("any"))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> VirtualHost:
    """Host of the virtual servers on which the test measures."""
    return switch_on(monkeypatch)


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, host: VirtualHost) -> Suite:
    for name in ("SPECDEC_API_KEY", "OPENAI_API_KEY", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return Suite(pytester, host)


@pytest.fixture
def serve(host: VirtualHost) -> Callable[..., str]:
    """Start simulated engines on the virtual clock; returns the URL of each."""

    def start_one(**options: Any) -> str:
        return host.start(SimulatorOptions(preset="tiny", model="toy", **options))

    return start_one


@pytest.fixture
def unlimited_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is never too late: the toy's requests take 40 ms, of which a busy machine is easily 2 % late."""
    for bound in [name for name in vars(client) if name.startswith("MOST_")]:
        monkeypatch.setattr(client, bound, float("inf"))


@pytest.fixture
def serve_http(unlimited_client: None) -> Iterator[Callable[..., str]]:  # noqa: ARG001 - asked for what it does
    """Start simulated engines behind HTTP, in a thread of this process; returns the URL of each."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers: list[Server] = []

    def start_one(**options: Any) -> str:
        chosen = SimulatorOptions(preset="tiny", model="toy", **options)
        servers.append(asyncio.run_coroutine_threadsafe(start(chosen), loop).result(10))
        return servers[-1].url

    yield start_one
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
