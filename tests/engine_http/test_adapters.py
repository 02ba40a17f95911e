"""Each adapter against its engine's behaviour: recorded answers of real vLLM, and the simulator's dialects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pytest_specdec.domain.facts import Facts
from pytest_specdec.engine import endpoint as endpoint_module
from pytest_specdec.engine import sglang, vllm
from pytest_specdec.engine.counters import UNREADABLE, EngineReading, Samples
from pytest_specdec.engine.endpoint import Endpoint, Served, wait_until_idle
from pytest_specdec.engine.registry import ENGINES
from pytest_specdec.simulator.dialects.registry import DIALECTS
from pytest_specdec.simulator.server import SimulatorOptions, start

SAMPLES = Path(__file__).parent.parent / "data" / "vllm_samples"
T = TypeVar("T")


def recorded(name: str) -> Samples:
    return Samples.parse((SAMPLES / name).read_text())


def served(**options: Any) -> Served:
    return against(lambda endpoint: endpoint.introspect("tiny"), **options)


def against(test: Callable[[Endpoint], Awaitable[T]], **options: Any) -> T:
    async def main() -> T:
        server = await start(SimulatorOptions(preset="tiny", **options))
        try:
            return await test(Endpoint(url=server.url))
        finally:
            await server.close()

    return asyncio.run(main())


async def ask(endpoint: Endpoint, **fields: Any) -> tuple[int, str]:
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Count to ten."}],
        "max_tokens": 40,
        "ignore_eos": True,
        "temperature": 0,
        **fields,
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{endpoint.root}/v1/chat/completions", json=body) as response,
    ):
        return response.status, await response.text()


# ---- vLLM, recorded


def test_recorded_metrics_of_vllm_with_mtp_3_are_read() -> None:
    reading = ENGINES["vllm"].reading(recorded("metrics_mtp3.txt"))
    assert reading.speculation is not None
    assert (reading.speculation.steps, reading.speculation.drafted, reading.speculation.accepted) == (1925, 5775, 5215)
    assert len(reading.speculation.per_position) == 3
    assert sum(reading.speculation.per_position) == 5215
    assert (reading.running, reading.waiting) == (0, 0)
    assert reading.ttft_s is not None


def test_recorded_metrics_of_vllm_without_speculation_say_off() -> None:
    reading = ENGINES["vllm"].reading(recorded("metrics_base.txt"))
    assert reading.speculation is None
    assert reading.generation_tokens
    assert vllm.inferred(recorded("metrics_base.txt"), "").draft_tokens == 0


def test_recorded_settings_of_vllm_in_development_mode() -> None:
    config = json.loads((SAMPLES / "server_info_mtp3.json").read_text())["vllm_config"]
    assert vllm.configured(config) == Facts(
        draft_tokens=3,
        method="mtp",
        verification="lossless",
        acceptance="natural",
        tensor_parallel=1,
        pipeline_parallel=1,
        data_parallel=1,
        expert_parallel=1,
        quantization="none",
        dtype="float32",
        kv_cache_dtype="auto",
        max_running=16,
        prefix_cache=True,
        stream_interval=1,
    )


@pytest.mark.parametrize(("parallel", "most"), [({"data_parallel_size": 4}, 64), ({}, 16)])
def test_vllm_means_its_limit_of_running_requests_per_rank(parallel: dict[str, int], most: int) -> None:
    config = {"scheduler_config": {"max_num_seqs": 16}, "parallel_config": parallel}
    assert vllm.configured(config).max_running == most


@pytest.mark.parametrize(
    ("name", "version", "counts"),
    [
        ("vllm", "0.22.0", True),
        ("unknown", "", True),
        ("sglang", "0.5.19", False),
        ("sglang", "0.5.20", True),
        ("sglang", "0.5.23.post1", True),
        ("sglang", "unknown", False),
        ("trtllm", "1.3.0", False),
    ],
)
def test_streams_are_cut_only_where_the_engine_counts_them(name: str, version: str, counts: bool) -> None:  # noqa: FBT001
    assert ENGINES[name].counts_cut_streams(version) == counts


def test_without_development_mode_metrics_and_the_fingerprint_tell_what_they_can() -> None:
    facts = vllm.inferred(recorded("metrics_mtp3.txt"), "vllm-0.32.0-d7aee6cb")
    assert facts == Facts(
        draft_tokens=3,
        tensor_parallel=1,
        pipeline_parallel=1,
        data_parallel=1,
        expert_parallel=1,
        kv_cache_dtype="auto",
        prefix_cache=True,
    )
    wide = vllm.inferred(Samples(), "vllm-0.33.0rc1.dev5+gabc-tp8-dp2-ep-0123abcd")
    assert (wide.tensor_parallel, wide.data_parallel, wide.expert_parallel) == (8, 2, 16)
    assert wide.draft_tokens is None


@pytest.mark.parametrize("fingerprint", ["", "fp_custom", "vllm-0.32.0", "vllm-0.32.0-nothexad"])
def test_a_fingerprint_of_another_form_tells_nothing(fingerprint: str) -> None:
    assert vllm.inferred(Samples(), fingerprint) == Facts()


@pytest.mark.parametrize(
    ("speculative", "expected"),
    [
        ({"rejection_sample_method": "strict"}, Facts(verification="lossless", acceptance="natural")),
        ({"rejection_sample_method": "standard"}, Facts(verification="lossless", acceptance="natural")),
        ({"rejection_sample_method": "fly"}, Facts(verification="fly", acceptance="natural")),
        (
            {"rejection_sample_method": "synthetic", "synthetic_acceptance_rates": [1.0, 0.5, 0.0]},
            Facts(acceptance="2.5"),
        ),
        ({"method": "deepseek_mtp", "num_speculative_tokens": 1}, Facts(method="mtp", draft_tokens=1)),
        ({"method": "eagle3"}, Facts(method="eagle3")),
    ],
)
def test_names_of_vllms_speculation_are_brought_to_their_meaning(
    speculative: dict[str, object], expected: Facts
) -> None:
    assert vllm.configured({"speculative_config": speculative}) == expected


def test_statistics_that_are_switched_off_do_not_say_off() -> None:
    assert vllm.inferred(Samples.parse("process_start_time_seconds 1.0\n"), "").draft_tokens is None


def test_lmdeploy_speaks_vllms_metrics() -> None:
    text = (SAMPLES / "metrics_mtp3.txt").read_text().replace("vllm:", "lmdeploy:")
    reading = ENGINES["lmdeploy"].reading(Samples.parse(text))
    assert reading.speculation == ENGINES["vllm"].reading(recorded("metrics_mtp3.txt")).speculation


def test_ranks_are_summed() -> None:
    text = (SAMPLES / "metrics_mtp3.txt").read_text()
    second = "\n".join(line.replace('engine="0"', 'engine="1"') for line in text.splitlines() if line[0] != "#")
    one, two = (ENGINES["vllm"].reading(Samples.parse(t)) for t in (text, f"{text}\n{second}\n"))
    assert one.speculation is not None
    assert two.speculation == one.speculation + one.speculation


def test_ranks_that_disagree_on_a_setting_leave_it_unknown() -> None:
    text = 'x{engine="0",dtype="fp8"} 1\nx{engine="1",dtype="bf16"} 1\n'
    assert Samples.parse(text).label("x", "dtype") is None
    assert Samples.parse(text.splitlines()[0] + "\n").label("x", "dtype") == "fp8"


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("text", ["", "other:spec_accept_length 2.5\n", "<html>", "vllm:x{ 1"])
def test_what_is_not_known_is_unreadable_and_never_zero(name: str, text: str) -> None:
    assert ENGINES[name].reading(Samples.parse(text)) == UNREADABLE


# ---- SGLang's arguments


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({}, Facts()),
        ({"speculative_algorithm": None}, Facts(draft_tokens=0)),
        (
            {"speculative_algorithm": "NEXTN", "speculative_num_steps": 3},
            Facts(draft_tokens=3, method="mtp"),
        ),
        (
            {
                "model_path": "m",
                "speculative_algorithm": "EAGLE",
                "speculative_num_steps": 3,
                "speculative_draft_model_path": "other",
            },
            Facts(draft_tokens=3, method="eagle"),
        ),
        (
            {
                "speculative_algorithm": "EAGLE3",
                "speculative_num_steps": 5,
                "speculative_accept_threshold_single": 0.5,
                "speculative_accept_threshold_acc": 1.0,
            },
            Facts(draft_tokens=5, method="eagle3", verification="threshold"),
        ),
        ({"quantization": None, "dtype": "auto"}, Facts(quantization="none")),
        ({"disable_radix_cache": False}, Facts(prefix_cache=True)),
        (
            {"max_running_requests": 99, "internal_states": [{"effective_max_running_requests_per_dp": 24}] * 2},
            Facts(max_running=48),
        ),
        ({"max_running_requests": 99, "internal_states": [{}]}, Facts(max_running=99)),
        ({"max_running_requests": None}, Facts()),
    ],
)
def test_sglangs_arguments_are_brought_to_their_meaning(info: dict[str, object], expected: Facts) -> None:
    assert sglang.configured(info) == expected


# ---- all of them, against the simulator's dialects


@pytest.mark.parametrize("mtp", [0, 3])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_engine_is_recognised_and_tells_its_mode(dialect: str, mtp: int) -> None:
    found = served(dialect=dialect, mtp=mtp)
    assert found.adapter is ENGINES[dialect]
    assert found.facts.draft_tokens == mtp
    assert found.facts.method == ("mtp" if mtp else None)
    assert found.engine == "simulated"
    assert found.version != "unknown"


@pytest.mark.parametrize(
    ("dialect", "draft_tokens"),
    # vLLM's counters are gone with its metrics; SGLang tells by other means; TensorRT-LLM has no other.
    [("vllm", None), ("sglang", 3), ("trtllm", None)],
)
def test_with_metrics_off_an_engine_is_still_recognised_and_nothing_is_guessed(
    dialect: str, draft_tokens: int | None
) -> None:
    async def test(endpoint: Endpoint) -> tuple[Served, object]:
        found = await endpoint.introspect("tiny")
        return found, await endpoint.reading(found.adapter)

    found, reading = against(test, dialect=dialect, mtp=3, metrics=False, control=False)
    assert found.adapter is ENGINES[dialect]
    assert found.facts.draft_tokens == draft_tokens
    assert reading == UNREADABLE


def test_a_gateways_own_name_does_not_hide_the_engine() -> None:
    """The owner says sglang and the metrics are TensorRT-LLM's: named by hand it is what the user says."""
    found = against(lambda endpoint: endpoint.introspect("tiny", engine="unknown"), dialect="sglang", mtp=3)
    assert found.adapter is ENGINES["unknown"]
    assert found.facts == Facts()


@pytest.mark.parametrize("silence_s", [0, 5])
def test_a_gateway_that_drops_or_stalls_one_path_is_an_engine_that_is_not_known(
    silence_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module, "_TIMEOUT_S", 1.0)

    async def gateway(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            return web.json_response({"object": "list", "data": [{"id": "tiny", "object": "model", "created": 0}]})
        if request.path != "/prometheus/metrics":
            return web.Response(text="http_requests_total 3.0\n")
        await asyncio.sleep(silence_s)
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def main() -> Served:
        async with TestServer(_application(gateway)) as server:
            return await Endpoint(url=str(server.make_url("/v1"))).introspect("tiny")

    assert asyncio.run(main()).adapter is ENGINES["unknown"]


def _application(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    application = web.Application()
    application.router.add_get("/{path:.*}", handler)
    return application


def test_vllm_hides_its_settings_outside_development_mode() -> None:
    assert served(mtp=3, acceptance=2.5).facts.acceptance == "2.5"
    hidden = served(mtp=3, acceptance=2.5, control=False).facts
    assert (hidden.draft_tokens, hidden.acceptance, hidden.max_running) == (3, None, None)


def test_sglang_caps_the_batch_when_it_speculates_and_its_adapter_sees_it() -> None:
    assert served(dialect="sglang", mtp=3).facts.max_running == 48
    assert served(dialect="sglang", mtp=0).facts.max_running == 512
    assert served(dialect="sglang", mtp=3, max_running=100).facts.max_running == 100


@pytest.mark.parametrize(("dialect", "control", "done"), [
    ("vllm", True, True), ("vllm", False, False), ("sglang", True, True), ("trtllm", True, False),
])  # fmt: skip
def test_the_prefix_cache_is_reset_where_there_is_a_way(dialect: str, control: bool, done: bool) -> None:  # noqa: FBT001
    async def test(endpoint: Endpoint) -> bool:
        return await endpoint.reset_prefix_cache((await endpoint.introspect("tiny")).adapter)

    assert against(test, dialect=dialect, control=control) is done


@pytest.mark.parametrize("dialect", ["vllm", "sglang"])
def test_a_prefix_cache_in_use_is_not_reset(dialect: str) -> None:
    async def test(endpoint: Endpoint) -> bool:
        request = asyncio.create_task(ask(endpoint, max_tokens=20000))
        try:
            await asyncio.sleep(0.2)
            return await endpoint.reset_prefix_cache(ENGINES[dialect])
        finally:
            request.cancel()

    assert against(test, dialect=dialect) is False


@pytest.mark.parametrize("dialect", ["sglang", "trtllm"])
def test_tokens_are_counted_when_a_request_ends(dialect: str) -> None:
    async def test(endpoint: Endpoint) -> list[float | None]:
        request = asyncio.create_task(ask(endpoint, max_tokens=400))
        counts = []
        for _ in range(2):
            await asyncio.sleep(0.2)
            counts.append((await endpoint.reading(ENGINES[dialect])).generation_tokens)
            await request
        return counts

    assert against(test, dialect=dialect, mtp=3) == [0, 400]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_counters_of_a_drained_request_add_up(dialect: str) -> None:
    async def test(endpoint: Endpoint) -> Any:
        await ask(endpoint)
        return await endpoint.reading(ENGINES[dialect])

    reading = against(test, dialect=dialect, mtp=3)
    running = None if dialect == "trtllm" else 0
    assert (reading.running, reading.waiting, reading.requests, reading.generation_tokens) == (running, 0, 1, 40)
    steps = reading.verify_steps if dialect == "sglang" else reading.speculation.steps
    assert 39 / 4 <= steps <= 39


def test_the_gauge_of_an_idle_engine_says_nothing() -> None:
    assert ENGINES["sglang"].reading(Samples.parse("sglang:spec_accept_length 0.0\n")).gauge_length is None
    two = 'sglang:spec_accept_length{dp_rank="0"} 0.0\nsglang:spec_accept_length{dp_rank="1"} 2.5\n'
    assert ENGINES["sglang"].reading(Samples.parse(two)).gauge_length == 2.5


def test_tensorrt_llm_without_counters_by_position_has_steps_by_k() -> None:
    text = (
        'trtllm_speculative_config_info{spec_enabled="true",spec_num_tokens="3"} 1\n'
        "trtllm_spec_decode_num_draft_tokens_total 300\ntrtllm_spec_decode_num_accepted_tokens_total 150\n"
    )
    reading = ENGINES["trtllm"].reading(Samples.parse(text))
    assert reading.speculation is not None
    assert (reading.speculation.steps, reading.speculation.accepted) == (100, 150)


def test_tensorrt_llm_does_not_count_a_stream_that_was_cut() -> None:
    async def test(endpoint: Endpoint) -> list[float | None]:
        counts = []
        async with aiohttp.ClientSession() as session:
            body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 4000, "stream": True}
            async with session.post(f"{endpoint.root}/v1/chat/completions", json=body) as response:
                await response.content.readline()
                response.close()
        for _ in range(2):
            await wait_until_idle(endpoint, ENGINES["trtllm"], seconds=10)
            counts.append((await endpoint.reading(ENGINES["trtllm"])).generation_tokens)
            await ask(endpoint)
        return counts

    assert against(test, dialect="trtllm", mtp=3) == [0, 40]


def test_an_idle_tensorrt_llm_is_told_by_counters_for_its_gauge_keeps_the_last_value() -> None:
    async def test(endpoint: Endpoint) -> tuple[float | None, EngineReading]:
        await ask(endpoint)
        async with aiohttp.ClientSession() as session, session.get(f"{endpoint.root}/prometheus/metrics") as response:
            samples = Samples.parse(await response.text())
        idle = await wait_until_idle(endpoint, ENGINES["trtllm"], seconds=5)
        return samples.total("trtllm_num_requests_running"), idle

    gauge, idle = against(test, dialect="trtllm", mtp=3)
    assert gauge == 1
    assert (idle.requests, idle.generation_tokens) == (1, 40)


def test_tensorrt_llm_refuses_fields_that_it_does_not_know() -> None:
    async def test(endpoint: Endpoint) -> tuple[int, str]:
        return await ask(endpoint, return_spec_tokens_details=True)

    status, body = against(test, dialect="trtllm")
    assert status == 400
    assert "return_spec_tokens_details" in body
    assert against(test, dialect="sglang")[0] == 200


def test_reading_tensorrt_llms_json_metrics_drains_them() -> None:
    async def test(endpoint: Endpoint) -> list[int]:
        await ask(endpoint)
        async with aiohttp.ClientSession() as session:
            sizes = []
            for _ in range(2):
                async with session.get(f"{endpoint.root}/metrics") as response:
                    sizes.append(len(await response.json()))
        return sizes

    first, second = against(test, dialect="trtllm", mtp=3)
    assert first > 0
    assert second == 0
