"""The closed loop and the prompts against servers that behave, and servers that do not."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web

from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.domain.traffic import PlannedRequest
from pytest_specdec.errors import EngineError, InvalidInputError
from pytest_specdec.estimators.window import Reviewer, StopRule
from pytest_specdec.load.point import Limits, LoadResult, Progress, _incomplete, put_under_load
from pytest_specdec.load.target import Target
from pytest_specdec.load.writers import PromptWriter, Writer, supports_continuous_usage
from pytest_specdec.simulator.server import SimulatorOptions, start
from pytest_specdec.simulator.text import TEMPLATE_TOKENS, count_tokens

WORKLOAD = Workload(isl=256, osl=64)
CELL = Cell(EngineSpec(model="m", precision="fp8"), WORKLOAD, 4)
LIMITS = Limits(settle_s=0.05, warm_up_s=0.2, no_progress_s=5.0, deadline_s=20.0)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def loop_on_simulator(
    concurrency: int = 4, *, continuous: bool = True, counted: bool = True, **options: Any
) -> LoadResult:
    server = await start(SimulatorOptions(preset="tiny", mtp=3, **options))
    try:
        target = Target(
            base_url=server.url,
            model="tiny",
            api_key=options.get("api_key"),
            continuous_usage=continuous,
            counts_cut_streams=counted,
        )
        writer = await PromptWriter.calibrate(target, WORKLOAD)
        return await load(target, writer, concurrency=concurrency)
    finally:
        await server.close()


async def load(  # noqa: PLR0913 - a point is all of these
    target: Target,
    writer: Writer,
    *,
    concurrency: int = 4,
    rate: float = 0.0,
    limits: Limits = LIMITS,
    window_s: float = 0.4,
    on_progress: Callable[[Progress], None] | None = None,
) -> LoadResult:
    """Load a server for a window of fixed length."""
    cell = msgspec.structs.replace(CELL, concurrency=0 if rate else concurrency, rate=rate)
    rule = StopRule(floor_s=window_s, ceiling_s=window_s, precision=0.01)
    review = Reviewer(rule, WORKLOAD)
    return await put_under_load(target, cell, writer, limits=limits, review=review, on_progress=on_progress)


@asynccontextmanager
async def streaming(handler: Handler) -> AsyncIterator[Target]:
    """A server that answers every request by `handler`."""
    application = web.Application()
    application.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Target(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}", model="m")
    finally:
        await runner.cleanup()


async def loop_on(handler: Handler, limits: Limits = LIMITS, concurrency: int = 2, window_s: float = 0.4) -> LoadResult:
    """Against a server that streams by `handler`; calibration is skipped."""
    async with streaming(handler) as target:
        writer = PromptWriter(target=target, workload=WORKLOAD, frame=20, costs={"Go on.": 3})
        return await load(target, writer, concurrency=concurrency, limits=limits, window_s=window_s)


async def respond(request: web.Request, *events: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        await response.write(event)
    return response


def test_exactly_the_asked_number_of_requests_is_in_flight() -> None:
    flying, most, seen = 0, 0, []

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        asked = msgspec.json.decode(await request.read())
        seen.append(asked)
        try:
            await asyncio.sleep(0.02)
            usage = {"prompt_tokens": 9, "completion_tokens": asked["max_tokens"]}
            chunk = {"choices": [{"delta": {"content": "x"}}], "usage": usage}
            return await respond(request, b"data: " + msgspec.json.encode(chunk) + b"\n\ndata: [DONE]\n\n")
        finally:
            flying -= 1

    result = asyncio.run(loop_on(handler, concurrency=5))
    assert most == 5
    assert {s.status for s in result.traffic.samples} <= {"ok", "cut"}
    assert all(a["temperature"] == 0 and a["ignore_eos"] and a["stream_options"]["include_usage"] for a in seen)
    assert len({a["messages"][0]["content"] for a in seen}) == len(seen), "every prompt is its own"


def test_streams_that_the_server_would_not_count_are_left_to_finish() -> None:
    result = asyncio.run(loop_on_simulator(counted=False))
    assert {s.status for s in result.traffic.samples} == {"ok"}
    assert all(s.output_tokens == s.request.osl for s in result.traffic.samples)


@pytest.mark.parametrize("continuous", [True, False])
def test_streams_at_the_end_are_cut_or_drained_and_always_counted(*, continuous: bool) -> None:
    result = asyncio.run(loop_on_simulator(continuous=continuous))
    statuses = {s.status for s in result.traffic.samples}
    assert ("cut" in statuses) == continuous
    assert "failed" not in statuses
    for sample in result.traffic.samples:
        if sample.status == "ok":
            assert sample.output_tokens == sample.request.osl
        assert sample.output_tokens >= len(sample.chunk_s) - 1


def test_the_server_counts_the_prompts_as_long_as_they_were_asked_for() -> None:
    result = asyncio.run(loop_on_simulator())
    off = [s.prompt_tokens - s.request.isl for s in result.traffic.samples if s.prompt_tokens is not None]
    assert off
    assert max(map(abs, off)) <= 2


def test_a_key_is_sent_and_never_shown() -> None:
    result = asyncio.run(loop_on_simulator(api_key="sesame"))
    assert not [s for s in result.traffic.samples if s.status == "failed"]
    assert "sesame" not in repr(Target(base_url="http://a", model="m", api_key="sesame"))


def test_an_answer_that_ends_early_is_a_failure_that_says_how_early() -> None:
    result = asyncio.run(loop_on_simulator(stop_after=63, concurrency=8))
    errors = {s.error for s in result.traffic.samples if s.status == "failed"}
    assert any(e and e.startswith("ended early: 63 of 64 tokens (finish_reason stop)") for e in errors)


def test_failures_that_come_with_200_end_the_point_as_others_do() -> None:
    with pytest.raises(EngineError, match="requests failed; the last one: server error after HTTP 200: simulated"):
        asyncio.run(loop_on_simulator(fail_after=10))


async def _refuses(_: web.Request) -> web.StreamResponse:
    return web.json_response({"error": {"message": "no such model"}}, status=404)


async def _html(_: web.Request) -> web.StreamResponse:
    return web.Response(status=502, text="<html>bad gateway</html>")


async def _hangs(request: web.Request) -> web.StreamResponse:
    response = await respond(request, b": hello\n\n")
    await asyncio.sleep(30)
    return response


async def _breaks_off(request: web.Request) -> web.StreamResponse:
    response = await respond(request, b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (_refuses, "HTTP 404: no such model"),
        (_html, "HTTP 502: <html>bad gateway</html>"),
        (_hangs, "no progress for 0.2 s"),
        (_breaks_off, "connection lost"),
    ],
)
def test_a_server_that_only_fails_ends_the_point_at_once_with_its_own_words(handler: Handler, message: str) -> None:
    limits = dataclasses.replace(LIMITS, no_progress_s=0.2)
    with pytest.raises(EngineError, match=message):
        asyncio.run(loop_on(handler, limits, window_s=30.0))


def test_a_point_that_never_ramps_meets_its_deadline() -> None:
    limits = dataclasses.replace(LIMITS, deadline_s=0.3)
    with pytest.raises(EngineError, match=r"deadline of 0.3 s: 0 requests had finished and 0 of 2 first ones"):
        asyncio.run(loop_on(_hangs, limits))


def test_a_stream_without_usage_is_a_failure() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await respond(request, b'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n')

    with pytest.raises(EngineError, match="no usage in the stream"):
        asyncio.run(loop_on(handler))


def test_progress_goes_through_ramp_warm_up_and_window() -> None:
    phases: list[str] = []

    async def main() -> None:
        server = await start(SimulatorOptions(preset="tiny"))
        target = Target(base_url=server.url, model="tiny")
        writer = await PromptWriter.calibrate(target, WORKLOAD)

        def tell(progress: Progress) -> None:
            if progress.phase not in phases:
                phases.append(progress.phase)

        await load(target, writer, on_progress=tell)
        await server.close()

    asyncio.run(main())
    assert phases == ["ramp", "warm-up", "window"]


@pytest.mark.parametrize("isl", [48, 100, 1000])
def test_prompts_have_the_asked_length_read_like_text_and_are_the_same_in_every_mode(isl: int) -> None:
    async def main() -> tuple[PromptWriter, PromptWriter]:
        servers = [await start(SimulatorOptions(preset="tiny", mtp=mtp)) for mtp in (0, 3)]
        targets = [Target(base_url=server.url, model="tiny") for server in servers]
        first = await PromptWriter.calibrate(targets[0], Workload(isl=isl, osl=8))
        for server in servers:
            await server.close()
        return first, first.retargeted(targets[1])

    off, mtp = asyncio.run(main())
    texts = [off.text(PlannedRequest(index=i, prompt=i, isl=isl, osl=8)) for i in range(20)]
    assert [mtp.text(PlannedRequest(index=i, prompt=i, isl=isl, osl=8)) for i in range(20)] == texts
    assert all(abs(count_tokens(text) + TEMPLATE_TOKENS - isl) <= 2 for text in texts)
    assert len({text[:30] for text in texts}) == 20, "no prefix cache finds two prompts alike"


def test_an_isl_below_the_template_names_the_shortest_one() -> None:
    writer = PromptWriter(
        target=Target(base_url="http://a", model="m"), workload=WORKLOAD, frame=30, costs={"Go on.": 3}
    )
    with pytest.raises(InvalidInputError, match="the shortest sequence here is 38"):
        writer.text(PlannedRequest(index=0, prompt=0, isl=29, osl=1))


def test_a_server_that_counts_on_every_chunk_is_recognised() -> None:
    async def main() -> bool:
        server = await start(SimulatorOptions(preset="tiny"))
        supported = await supports_continuous_usage(Target(base_url=server.url, model="tiny"))
        await server.close()
        return supported

    assert asyncio.run(main())


@pytest.mark.parametrize("counts", [(0, None, None, 16), (None, None, 16, 16), (None, None, None, 16)])
def test_a_server_that_counts_at_its_ends_only_is_not_taken_for_one_that_counts(counts: tuple[int | None, ...]) -> None:
    """Streams that are cut would have no tokens at all."""

    async def handler(request: web.Request) -> web.StreamResponse:
        chunks = [
            {"choices": [{"delta": {"content": "x"}}]}
            | ({} if count is None else {"usage": {"prompt_tokens": 9, "completion_tokens": count}})
            for count in counts
        ]
        return await respond(request, *(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks))

    async def main() -> bool:
        async with streaming(handler) as target:
            return await supports_continuous_usage(target)

    assert not asyncio.run(main())


@pytest.mark.parametrize(("reason", "broken"), [("stop", False), ("length", False), ("abort", True), (None, True)])
def test_an_answer_that_the_server_gave_up_is_a_failure(reason: str | None, broken: bool) -> None:  # noqa: FBT001
    request = PlannedRequest(index=0, prompt=0, isl=9, osl=64)
    natural = Workload(isl=9, osl=64, ignore_eos=False)
    said = _incomplete(request, 20, reason, natural)
    assert (said == f"the answer broke off after 20 tokens (finish_reason {reason})") == broken
    assert (said is None) == (not broken)
