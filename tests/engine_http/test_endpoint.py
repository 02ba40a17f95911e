"""The control path: what endpoints say of themselves, and every way in which they are not what they should be."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.engine import endpoint as endpoint_module
from pytest_specdec.engine.endpoint import Endpoint, Served, wait_until_idle
from pytest_specdec.engine.registry import ENGINES
from pytest_specdec.engine.simulated import simulated_engine
from pytest_specdec.errors import EngineError
from pytest_specdec.simulator.server import SimulatorOptions, start


def look(model: str = "tiny", alias: str | None = None, key: str | None = None, **options: object) -> Served:
    async def main() -> Served:
        server = await start(SimulatorOptions(preset="tiny", **options))  # type: ignore[arg-type]
        try:
            endpoint = Endpoint(url=server.url, api_key=key)
            served = await endpoint.introspect(model, alias)
            await endpoint.smoke(served.model)
            return served
        finally:
            await server.close()

    return asyncio.run(main())


def test_an_endpoint_says_what_it_is() -> None:
    served = look(mtp=2)
    assert (served.model, served.engine, served.facts.draft_tokens, served.simulated) == (
        "tiny",
        "simulated",
        2,
        "tiny",
    )


def test_a_model_is_found_under_another_spelling_and_under_an_alias() -> None:
    assert look("org/Tiny-FP8").model == "tiny"
    assert look("Anything", alias="tiny").model == "tiny"


def test_a_wrong_model_lists_what_is_served_and_how_to_name_it() -> None:
    with pytest.raises(
        EngineError, match=r"does not serve 'big'; it serves tiny\. .*--specdec-served-model 'big=NAME'"
    ):
        look("big")


def test_a_wrong_key_says_which_variable_to_set() -> None:
    with pytest.raises(EngineError, match=r"refused the API key \(HTTP 401\): set SPECDEC_API_KEY"):
        look(api_key="right", key="wrong")
    assert look(api_key="right", key="right").model == "tiny"


def test_nobody_there_is_one_sentence() -> None:
    with pytest.raises(EngineError, match=r"http://127\.0\.0\.1:9/v1 cannot be reached \(.*\): is the server up\?"):
        asyncio.run(Endpoint(url="http://127.0.0.1:9/v1").introspect("m"))


def test_credentials_in_a_url_are_not_shown() -> None:
    endpoint = Endpoint(url="http://user:secret@host:80/v1?token=x", api_key="hush")
    assert endpoint.shown == "http://host:80/v1"
    assert "hush" not in repr(endpoint)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def against(handler: Handler, what: Callable[[Endpoint], Awaitable[object]]) -> object:
    async def main() -> object:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            return await what(Endpoint(url=f"http://127.0.0.1:{runner.addresses[0][1]}/v1"))
        finally:
            await runner.cleanup()

    return asyncio.run(main())


async def _page(_: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>hello</html>", content_type="text/html")


async def _other_json(_: web.Request) -> web.StreamResponse:
    return web.json_response({"status": "fine"})


async def _nothing(_: web.Request) -> web.StreamResponse:
    return web.Response(status=404)


async def _broken(_: web.Request) -> web.StreamResponse:
    return web.json_response({"error": "kaput"}, status=500)


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (_page, "is not OpenAI-compatible"),
        (_other_json, "is not OpenAI-compatible"),
        (_nothing, r"is not OpenAI-compatible: /models is not there \(HTTP 404\)"),
        (_broken, "/models failed with HTTP 500"),
    ],
)
def test_a_server_that_speaks_something_else_is_named(handler: Handler, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        against(handler, lambda endpoint: endpoint.introspect("m"))


def test_somebody_elses_requests_are_noticed() -> None:
    async def busy(_: web.Request) -> web.StreamResponse:
        return web.Response(text="vllm:num_requests_running 3.0\nvllm:num_requests_waiting 1.0\n")

    with pytest.raises(EngineError, match="is busy: 4 requests of another client"):
        against(busy, lambda endpoint: wait_until_idle(endpoint, ENGINES["vllm"], seconds=0.3))


def test_requests_of_somebody_else_are_noticed_by_counters_that_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "_STILL_S", 0.3)
    steps = iter(range(10**6))

    async def counts(_: web.Request) -> web.StreamResponse:
        text = "trtllm_num_requests_running 1.0\ntrtllm_request_success_total 5.0\n"
        return web.Response(text=f"{text}trtllm_generation_tokens_total {next(steps)}\n")

    with pytest.raises(EngineError, match="is busy: its counters have moved for 1 s"):
        against(counts, lambda endpoint: wait_until_idle(endpoint, ENGINES["trtllm"], seconds=0.6))


def test_gauges_that_lag_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(range(10**6))

    async def late(_: web.Request) -> web.StreamResponse:
        return web.Response(text=f"sglang:num_running_reqs {1 if next(looks) < 5 else 0}\n")

    async def wait(endpoint: Endpoint) -> object:
        return await wait_until_idle(endpoint, ENGINES["sglang"], seconds=0.01)

    assert ENGINES["sglang"].gauges_lag_s == 35
    assert ENGINES["vllm"].gauges_lag_s == ENGINES["trtllm"].gauges_lag_s == 0
    against(late, wait)
    looks = iter(range(10**6))
    monkeypatch.setattr(type(ENGINES["sglang"]), "gauges_lag_s", 0.1)
    with pytest.raises(EngineError, match="is busy: 1 requests"):
        against(late, wait)


def test_a_simulated_engine_is_a_process_that_ends_with_its_context() -> None:
    with simulated_engine("tiny", EngineSpec(model="mine", precision="fp8", mtp=1)) as endpoint:
        assert asyncio.run(endpoint.introspect("mine")).facts.draft_tokens == 1
    with pytest.raises(EngineError, match="cannot be reached"):
        asyncio.run(endpoint.introspect("mine"))


def test_a_simulated_engine_that_cannot_start_says_its_last_words() -> None:
    with (
        pytest.raises(EngineError, match=r"did not start: .*unknown preset 'nope'"),
        simulated_engine("nope", EngineSpec(model="m", precision="fp8")),
    ):
        pass


def test_a_simulated_engine_does_not_outlive_a_killed_parent() -> None:
    script = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-m', 'pytest_specdec', 'simulate', '--preset', 'tiny', '--port', '0',\n"
        "                      '--exit-with-parent'], stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while _alive(child):
        assert time.monotonic() < deadline, "the simulated engine outlived its parent"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_sigterm_stops_the_simulated_engine_without_a_traceback() -> None:
    command = [sys.executable, "-m", "pytest_specdec", "simulate", "--preset", "tiny", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert b"ready at http://127.0.0.1:" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, b"")
