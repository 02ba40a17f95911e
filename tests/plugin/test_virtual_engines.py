"""Virtual engines, held against the simulated engine behind HTTP that they stand for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from small_suite import Suite
from virtual_engines import VirtualEngine, VirtualHost

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.measure.http_engine import GpuOptions, HttpEngine
from pytest_specdec.measure.live_engine import LiveEngine, OpenEngine

Serve = Callable[..., str]
READS = "def test_it(measurement):\n    assert measurement.throughput > 0\n"


def measured(suite: Suite, *arguments: str) -> dict[str, Any]:
    suite.write(READS)
    suite.run("-k", "mtp3-c4", *arguments).assert_outcomes(passed=1, deselected=3)
    (found,) = suite.saved_run()["measurements"]
    return dict(found)


@pytest.mark.usefixtures("unlimited_client")
def test_a_virtual_server_is_measured_like_the_process_that_it_stands_for(suite: Suite) -> None:
    virtual = measured(suite, "--specdec-window=1")
    suite.host.real = True
    real = measured(suite, "--specdec-window=1")
    assert real["environment"].pop("endpoint") != virtual["environment"].pop("endpoint")
    for same in ("cell", "environment", "price"):
        assert real[same] == virtual[same]
    assert real["by_prompt"]["wording"] == virtual["by_prompt"]["wording"]
    both = min(len(real["by_prompt"]["requests"]), len(virtual["by_prompt"]["requests"]))
    assert real["by_prompt"]["requests"][:both] == virtual["by_prompt"]["requests"][:both]
    assert real["tokens"]["reason"] == virtual["tokens"]["reason"] == ""
    # Streams are cut at the end: a step of 4 tokens of each of the 4 streams may be counted and not have come.
    assert 0 <= virtual["tokens"]["server_generated"] - virtual["tokens"]["usage_generated"] <= 4 * 4
    assert real["acceptance"]["source"] == virtual["acceptance"]["source"]
    assert real["acceptance"]["length"] == pytest.approx(virtual["acceptance"]["length"], rel=0.05)
    assert real["values"].keys() == virtual["values"].keys()
    # A busy machine makes the real client late, and never early.
    assert real["values"]["total_tok_s_gpu"][0] < 1.1 * virtual["values"]["total_tok_s_gpu"][0]


@pytest.mark.parametrize("mtp", [0, 3])
@pytest.mark.parametrize(
    "options",
    [{"dialect": name} for name in ("vllm", "sglang", "trtllm")]
    + [{"control": False}, {"metrics": False}, {"stream_interval": 4}],
    ids=str,
)
def test_a_virtual_server_says_of_itself_what_one_behind_http_says(
    host: VirtualHost, serve: Serve, serve_http: Serve, mtp: int, options: dict[str, Any]
) -> None:
    virtual, real = (connected(host, start(mtp=mtp, **options), mtp) for start in (serve, serve_http))
    assert isinstance(virtual, VirtualEngine)
    assert isinstance(real, HttpEngine)
    assert virtual.facts == real.facts
    assert virtual.live.served == real.served
    assert msgspec.structs.replace(virtual.environment, endpoint=real.endpoint.url) == real.environment
    assert replace(virtual.live.target, base_url=real.target.base_url) == real.target


def connected(host: VirtualHost, url: str, mtp: int) -> LiveEngine:
    """Connect as a campaign does."""
    running = OpenEngine(endpoint=Endpoint(url=url), hardware="h200")

    async def connect() -> LiveEngine:
        to = host.connector(prompt_files={}, gpu=GpuOptions(), said=print)
        async with to(running, EngineSpec("toy", "fp8", "tp1", mtp)) as live:
            return live

    return asyncio.run(connect())


def test_a_start_of_a_virtual_server_decides_what_is_measured_on_it(suite: Suite) -> None:
    first, second = (measured(suite)["values"] for _ in range(2))
    assert second["acceptance_length"][0] != pytest.approx(first["acceptance_length"][0], rel=1e-6)
    suite.host.starts = 0
    again = measured(suite)["values"]
    assert again.keys() == first.keys()
    for name, (value, _) in first.items():
        assert again[name][0] == pytest.approx(value, rel=1e-6)


def test_a_virtual_engine_that_dies_ends_its_points(suite: Suite) -> None:
    suite.write(READS)
    result = suite.run("--specdec-simulate=tiny@crash-at-warm-up", "-k", "mtp3", simulate=False)
    result.assert_outcomes(errors=2, deselected=2)
    result.stdout.fnmatch_lines(["*-c4: 8 of 8 requests failed*"])


def test_a_deadline_ends_a_point_on_the_virtual_clock(suite: Suite) -> None:
    suite.write(READS)
    result = suite.run("-o", "specdec_deadline_s=0.1", "-k", "off-c2")
    result.assert_outcomes(errors=1, deselected=3)
    result.stdout.fnmatch_lines(["*deadline of 0.1 s*"])
