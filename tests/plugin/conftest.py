"""The small suite, and servers to attach to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from small_suite import Suite

import pytest_specdec.measure.runner  # noqa: F401 - imported for the side effect

# pytester puts sys.modules back after a run in this process, and numpy cannot be imported twice: have all of it first.
from pytest_specdec.domain import client_health as client
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.errors import EngineError
from pytest_specdec.simulator.server import Server, SimulatorOptions, start


@pytest.fixture(scope="session", autouse=True)
def _http_client_is_whole() -> None:
    """The HTTP client imports its backend with the first request: were that inside pytester, it would come twice."""
    with pytest.raises(EngineError):
        asyncio.run(Endpoint(url="http://127.0.0.1:9/v1").introspect("any"))


@pytest.fixture(autouse=True)
def _no_client_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy's requests take 40 ms, of which a busy machine is easily 2 % late; whoever wants bounds sets them."""
    for bound in [name for name in vars(client) if name.startswith("MOST_")]:
        monkeypatch.setattr(client, bound, float("inf"))


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    for name in ("SPECDEC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return Suite(pytester)


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start simulated engines in a thread of this process; returns the URL of each."""
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
