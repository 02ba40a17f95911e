"""An engine is added in one place: an adapter that is registered from outside of the package is everywhere."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pytest_specdec.domain.acceptance import SpecCounters
from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.engine.adapter import Adapter, RequestDetails
from pytest_specdec.engine.control import Control
from pytest_specdec.engine.counters import EngineReading, Samples
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.engine.launch import template_values
from pytest_specdec.engine.registry import ENGINES, LAUNCHERS, register
from pytest_specdec.engine.template import Launch, Recipe, Start, Template
from pytest_specdec.load.sse import StreamReader

ROOT = Path(__file__).parents[2]
PLUGIN = """
from pytest_specdec.engine.registry import register
from pytest_specdec.engine.template import Launch, Recipe
from pytest_specdec.engine.vllm import Vllm

START = "{python} -m pytest_specdec simulate --preset tiny --model {model} --port {port} {mine_drafts}"


class Mine(Vllm):
    name = "mine"
    launch = Launch(
        distributions=("mine",),
        recipes=(Recipe(since=(1,), start=START),),
        values=lambda engine, start: {"mine_drafts": f"--mtp {engine.mtp}"},
    )


register(Mine())
"""
SUITE = """
import pytest


@pytest.mark.specdec(
    model="toy", precision="fp8", hardware="h200", parallelism="tp1", mtp=3, sequence="64x48", concurrency=2
)
def test_it(measurement):
    assert measurement.throughput > 0
    assert measurement.environment.facts["draft_tokens"] == "3"
"""
INI = "[pytest]\nspecdec_window_s = 0.4\nspecdec_settle_s = 0.05\n"
SPEC = EngineSpec(model="m", precision="fp8", parallelism="tp1", mtp=3)
START = Start(host="127.0.0.1", port=8001, python="/opt/python", arguments="", scratch="/tmp/x")


class Mine(Adapter):
    name = "mine"
    owner = "mine-inc"
    metrics_prefix = "mine_"
    request_details = RequestDetails(
        extension="minext", table="details", histogram="hist", drafted="drafted", steps="steps"
    )
    launch = Launch(
        distributions=("mine",),
        recipes=(
            Recipe(since=(2,), start="mine --new {model} {mine_drafts}"),
            Recipe(since=(1,), start="mine {model} {mine_drafts}"),
        ),
        values=lambda engine, _: {"mine_drafts": f"--k {engine.mtp}"},
    )

    async def recognises(self, control: Control) -> bool:
        return "mine" in await control.json("/about")

    def reading(self, samples: Samples) -> EngineReading:
        return EngineReading(generation_tokens=samples.total("mine_tokens_total"))


@pytest.fixture
def mine() -> Iterator[Mine]:
    adapter = Mine()
    register(adapter)
    yield adapter
    del ENGINES["mine"], LAUNCHERS["mine"]


@pytest.mark.parametrize("by", ["metrics", "owner", "endpoint"])
def test_it_is_recognised(mine: Mine, by: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        model = {"id": "m", "object": "model", "owned_by": "Mine-Inc" if by == "owner" else "gateway"}
        answers: dict[str, object] = {"/v1/models": {"object": "list", "data": [model]}}
        if by == "endpoint":
            answers["/about"] = {"mine": True}
        if request.path == "/metrics":
            return web.Response(text="mine_tokens_total 7\n" if by == "metrics" else "other 1\n")
        return web.json_response(answers.get(request.path, {}))

    async def main() -> tuple[object, float | None]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", answer)
        async with TestServer(application) as server:
            endpoint = Endpoint(url=str(server.make_url("/v1")))
            found = (await endpoint.introspect("m")).adapter
            return found, (await endpoint.reading(found)).generation_tokens

    assert asyncio.run(main()) == (mine, 7 if by == "metrics" else None)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(("version", "command"), [("", "mine --new m --k 3"), ("1.9", "mine m --k 3")])
def test_its_recipe_is_chosen_and_its_placeholders_are_filled_in(version: str, command: str) -> None:
    template = Template(start=LAUNCHERS["mine"].choose(version).start)
    assert template.filled(template_values(SPEC, START)).start == command


@pytest.mark.usefixtures("mine")
def test_its_details_of_a_request_are_read() -> None:
    reader = StreamReader()
    details = {"hist": [1, 0, 1, 0], "drafted": 6, "steps": 2}
    chunk = {"choices": [], "minext": {"details": details}}
    reader.feed(0.0, b"data: " + msgspec.json.encode(chunk) + b"\n\n")
    found = reader.stream(ended=True).speculation
    assert found == SpecCounters(steps=2, drafted=6, accepted=2, per_position=(1, 1, 0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {"mine.py": PLUGIN, "test_suite.py": SUITE, "pytest.ini": INI}.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "mine", *arguments]
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}
    )


def test_a_plugin_brings_an_engine_that_is_launched_and_measured(folder: Path) -> None:
    done = run(folder, "--specdec-launch=mine")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("option", ["--specdec-engine", "--specdec-launch", "--specdec-reference-launch"])
def test_options_name_it_among_the_others(folder: Path, option: str) -> None:
    refused = run(folder, f"{option}=nobody")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "'vllm'" in refused.stderr
    assert "'mine'" in refused.stderr
