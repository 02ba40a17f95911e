"""The simulated engine: its core in virtual time, its shell over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import numpy as np
import pytest
from closed_form import closed_form
from hypothesis import given
from hypothesis import strategies as st
from studies import examples
from virtual import run_closed_loop
from whole_stream import parse_stream

from pytest_specdec.domain.acceptance import acceptance_from
from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.price import Price
from pytest_specdec.engine.counters import Samples
from pytest_specdec.engine.vllm import Vllm
from pytest_specdec.errors import EngineError, InvalidInputError
from pytest_specdec.estimators.summary import summarize
from pytest_specdec.simulator.core import EngineCore, Sequence
from pytest_specdec.simulator.presets import PRESETS, find_preset, preset_for_model
from pytest_specdec.simulator.server import SimulatorOptions, start
from pytest_specdec.simulator.text import count_tokens, output_text

QWEN = find_preset("h200-qwen3.5-397b-fp8")
TINY = find_preset("tiny")
PRICE = Price(usd_per_gpu_hour=1.41, kw_per_gpu=1.73)


@pytest.mark.parametrize("mtp", [0, 3])
@pytest.mark.parametrize("concurrency", [4, 8, 16, 32, 64])
def test_the_virtual_sweep_equals_its_own_model_within_one_percent(mtp: int, concurrency: int) -> None:
    workload = Workload(isl=1024, osl=1024)
    run = run_closed_loop(QWEN, mtp=mtp, workload=workload, concurrency=concurrency, window_s=200, seed=concurrency)
    acceptance = acceptance_from(run.counters) if run.counters else None
    found, _ = summarize(run.traffic, workload, gpus=8, acceptance=acceptance, price=PRICE)
    model = closed_form(QWEN, workload, concurrency, mtp)
    assert found["total_tok_s_gpu"].value == pytest.approx(model.total_tok_s_gpu, rel=0.01)
    assert found["tpot_p50_ms"].value == pytest.approx(model.tpot_s * 1000, rel=0.01)
    if mtp:
        assert found["acceptance_length"].value == pytest.approx(3.245, rel=0.01)


@examples(40)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    mtp=st.integers(0, 4),
    max_running=st.integers(1, 12),
)
def test_every_request_gets_exactly_its_tokens_and_the_counters_say_so(
    lengths: list[int], mtp: int, max_running: int
) -> None:
    core = EngineCore(TINY, mtp=mtp, max_running=max_running)
    for key, length in enumerate(lengths):
        core.submit(Sequence(key=key, prompt_tokens=10, max_tokens=length), 0.0)
    got = dict.fromkeys(range(len(lengths)), 0)
    last: float = 0.0
    while core.next_event is not None:
        assert core.next_event >= last
        last = core.next_event
        for emission in core.complete():
            assert 1 <= emission.tokens <= mtp + 1
            got[emission.key] += emission.tokens
            assert emission.last == (got[emission.key] == lengths[emission.key])
        assert len(core.running) <= max_running
    assert list(got.values()) == lengths
    counts = core.counts
    assert (counts.generated, counts.finished) == (sum(lengths), len(lengths))
    assert counts.drafted == counts.steps * mtp
    assert sum(counts.per_position) == counts.accepted
    assert counts.per_position == sorted(counts.per_position, reverse=True)
    # One first token each, then one and the accepted drafts a step, less what max_tokens cut off.
    assert not mtp or counts.generated <= len(lengths) + counts.steps + counts.accepted


def test_measured_acceptance_is_the_models() -> None:
    drawn = QWEN.acceptance.draw(np.random.default_rng(0), 200_000, 3)
    assert 1 + drawn.mean() == pytest.approx(QWEN.acceptance.length(3), rel=0.005)
    for position, p in enumerate(QWEN.acceptance.per_position[:3]):
        assert (drawn > position).mean() == pytest.approx(p, abs=0.005)


def test_an_aborted_request_is_gone_wherever_it_was() -> None:
    core = EngineCore(TINY, mtp=0, max_running=1)
    for key in range(3):
        core.submit(Sequence(key=key, prompt_tokens=10, max_tokens=5), 0.0)
    core.abort(0)  # in its prefill
    core.abort(2)  # waiting
    seen = set()
    while core.next_event is not None:
        seen |= {emission.key for emission in core.complete()}
    assert seen == {1}
    assert core.counts.finished == 1


def test_an_idle_engine_has_no_event() -> None:
    assert EngineCore(TINY, mtp=0).next_event is None


def test_a_k_that_a_preset_does_not_know_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="up to 3 draft tokens, not 4"):
        EngineCore(find_preset("h200-deepseek-r1-fp8"), mtp=4)


def test_presets_are_found_by_name_and_by_model() -> None:
    assert preset_for_model("Qwen/Qwen3.5-397B-A17B-FP8") is QWEN
    found = preset_for_model("deepseek-ai/DeepSeek-R1-0528")
    assert found is not None
    assert found.name == "h200-deepseek-r1-fp8"
    assert preset_for_model("meta/Llama") is None
    with pytest.raises(InvalidInputError, match=", ".join(p.name for p in PRESETS)):
        find_preset("h300")


def test_words_and_signs_are_counted() -> None:
    assert count_tokens("A cat, extraordinarily large.") == 1 + 1 + 1 + 3 + 1 + 1
    assert output_text(5, 0, 4) == output_text(5, 0, 2) + output_text(5, 2, 2)


# ---- HTTP

Client = aiohttp.ClientSession


def over_http(test: Callable[[Client, str], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        server = await start(SimulatorOptions(preset="tiny", **options))
        try:
            async with aiohttp.ClientSession() as client:
                return await test(client, server.url.removesuffix("/v1"))
        finally:
            await server.close()

    return asyncio.run(main())


def ask(**more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Tell me of rivers."}]
    return {"model": "tiny", "messages": messages, "max_tokens": 40, "ignore_eos": True, **more}


STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}


def test_a_stream_has_a_chunk_per_step_and_usage_on_every_chunk() -> None:
    async def test(client: Client, root: str) -> bytes:
        async with client.post(f"{root}/v1/chat/completions", json=ask(**STREAM)) as response:
            assert response.headers["X-Specdec-Simulated"] == "tiny"
            return await response.read()

    body = over_http(test, mtp=3)
    first = json.loads(body.split(b"\n\n")[0].removeprefix(b"data: "))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert first["system_fingerprint"].startswith("simulated-tiny")
    stream = parse_stream([(0.0, body)])
    assert stream.completion_tokens == stream.chunk_tokens.sum() == 40
    assert stream.chunk_tokens[0] == 1
    assert stream.chunk_tokens.max() > 1
    assert stream.finish_reason == "length"
    assert body.endswith(b"data: [DONE]\n\n")


def test_speculation_does_not_change_what_is_said() -> None:
    async def test(client: Client, root: str) -> list[str]:
        said = []
        for path, body in (
            ("chat/completions", ask()),
            ("completions", {"model": "tiny", "prompt": "Rivers", "max_tokens": 30}),
        ):
            async with client.post(f"{root}/v1/{path}", json=body) as response:
                choice = (await response.json())["choices"][0]
                said.append(choice["message"]["content"] if "message" in choice else choice["text"])
        return said

    assert over_http(test, mtp=0) == over_http(test, mtp=3)


def test_the_metrics_are_vllms_and_speculation_is_in_them_only_with_mtp() -> None:
    async def test(client: Client, root: str) -> str:
        async with client.post(f"{root}/v1/chat/completions", json=ask()) as response:
            assert (await response.json())["usage"]["completion_tokens"] == 40
        async with client.get(f"{root}/metrics") as response:
            return await response.text()

    on, off = (Vllm().reading(Samples.parse(over_http(test, mtp=mtp))) for mtp in (3, 0))
    assert on.generation_tokens == off.generation_tokens == 40
    assert on.running == on.waiting == 0
    assert on.speculation is not None
    assert on.speculation.drafted == 3 * on.speculation.steps
    assert off.speculation is None


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (ask(model="other"), 404, "the model 'other' does not exist; this server has 'tiny'"),
        (ask(max_tokens=10**6), 400, "maximum context length"),
        ({"model": 3}, 400, "the request is not valid"),
    ],
)
def test_bad_requests_get_openai_shaped_errors(body: dict[str, Any], status: int, message: str) -> None:
    async def test(client: Client, root: str) -> tuple[int, str]:
        async with client.post(f"{root}/v1/chat/completions", json=body) as response:
            return response.status, (await response.json())["error"]["message"]

    got, said = over_http(test)
    assert got == status
    assert message in said


def test_a_key_is_wanted_where_one_was_set() -> None:
    async def test(client: Client, root: str) -> list[int]:
        statuses = []
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer right"}):
            async with client.get(f"{root}/v1/models", headers=headers) as response:
                statuses.append(response.status)
        return statuses

    assert over_http(test, api_key="right") == [401, 401, 200]


def test_a_broken_connection_frees_the_engine() -> None:
    async def test(client: Client, root: str) -> float | None:
        response = await client.post(
            f"{root}/v1/chat/completions",
            json=ask(
                **STREAM,
            )
            | {"max_tokens": 20000},
        )
        await response.content.readany()
        response.close()
        for _ in range(100):
            await asyncio.sleep(0.05)
            async with client.get(f"{root}/metrics") as metrics:
                running = Vllm().reading(Samples.parse(await metrics.text())).running
            if not running:
                break
        return running

    assert over_http(test) == 0


def test_an_answer_ends_by_itself_unless_it_is_told_not_to() -> None:
    async def test(client: Client, root: str) -> tuple[int, str]:
        async with client.post(f"{root}/v1/chat/completions", json=ask(max_tokens=5000, ignore_eos=False)) as response:
            answer = await response.json()
            return answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]

    tokens, reason = over_http(test, speed=100)
    assert 100 <= tokens < 600
    assert reason == "stop"


def test_a_port_in_use_is_one_sentence() -> None:
    async def main() -> None:
        server = await start(SimulatorOptions(preset="tiny"))
        port = int(server.url.split(":")[2].split("/")[0])
        try:
            await start(SimulatorOptions(preset="tiny", port=port))
        finally:
            await server.close()

    with pytest.raises(EngineError, match=r"cannot listen on 127\.0\.0\.1:\d+: .*in use"):
        asyncio.run(main())
