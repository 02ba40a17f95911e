"""What endpoints say of themselves: engines of three dialects, declared facts, pinned acceptance, cross-checks."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from small_suite import PAYS, Suite
from virtual_engines import VirtualHost

Serve = Callable[..., str]
READS = "def test_it(measurement):\n    assert measurement.throughput > 0\n"
PINNED = """
@pytest.mark.specdec(acceptance=["natural", 2.5])
def test_holds(measurement, baseline):
    assert measurement >= baseline
"""


def run(suite: Suite, url: str, *more: str, mode: str = "") -> pytest.RunResult:
    return suite.run(f"--specdec-endpoint={mode}{url}", *more, simulate=False)


@pytest.mark.parametrize(("dialect", "source"), [("vllm", "counters"), ("sglang", "requests"), ("trtllm", "counters")])
def test_acceptance_and_tokens_are_the_same_whatever_the_engine_counts(
    suite: Suite, serve: Serve, dialect: str, source: str
) -> None:
    suite.write(READS)
    run(suite, serve(mtp=3, dialect=dialect)).assert_outcomes(passed=2, deselected=2)
    for found in suite.saved_run()["measurements"]:
        # The tiny preset accepts 0.9 + 0.8 + 0.7 drafts a step.
        assert found["acceptance"]["length"] == pytest.approx(3.4, abs=0.2)
        assert found["acceptance"]["draft_tokens"] == 3
        assert found["acceptance"]["source"] == source
        assert found["tokens"]["reason"] == ""
        assert found["tokens"]["server_generated"] >= found["tokens"]["usage_generated"] > 0
        assert found["environment"]["facts"]["draft_tokens"] == "3"
        assert found["server_ttft"]["server_mean_ms"] > 0
        assert "token-truth" not in {finding["check"] for finding in found.get("findings", [])}
        if dialect == "trtllm":  # it counts no stream that was cut
            assert found["tokens"]["unfinished"] == 0
            assert found["tokens"]["server_generated"] == found["tokens"]["usage_generated"]


def test_without_metrics_sglang_still_has_the_details_of_each_request(suite: Suite, serve: Serve) -> None:
    suite.write(READS)
    run(suite, serve(mtp=3, dialect="sglang", metrics=False)).assert_outcomes(passed=2, deselected=2)
    for found in suite.saved_run()["measurements"]:
        assert found["acceptance"]["source"] == "requests"
        assert found["tokens"]["reason"] == "the server's metrics do not count tokens"
        assert any(note.startswith("token truth: ") for note in found["notes"])


def test_without_metrics_vllm_is_measured_when_its_mode_is_named(suite: Suite, serve: Serve) -> None:
    suite.write(READS)
    url = serve(mtp=3, metrics=False, control=False, details=False)
    result = run(suite, url)
    assert f"{url} does not report whether it speculates; name its mode: --specdec-endpoint off=" in result.stderr.str()
    result = run(suite, url, mode="mtp=3=")
    result.assert_outcomes(passed=2, deselected=2)
    result.stdout.fnmatch_lines(["*acceptance unknown: the engine exports neither counters nor a gauge of it"])
    assert all(found["acceptance"] is None for found in suite.saved_run()["measurements"])


def test_chunks_of_several_steps_change_no_token(suite: Suite, serve: Serve) -> None:
    suite.write(READS)
    run(suite, serve(mtp=3, dialect="sglang", stream_interval=4)).assert_outcomes(passed=2, deselected=2)
    for found in suite.saved_run()["measurements"]:
        assert found["tokens"]["reason"] == ""
        assert found["environment"]["facts"]["stream_interval"] == "4"


def test_sglangs_silent_cap_is_named_as_what_limits_the_point(suite: Suite, serve: Serve) -> None:
    suite.write("@pytest.mark.specdec(concurrency=60)\n" + READS)
    result = run(suite, serve(mtp=3, dialect="sglang"))
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["*mtp3-c60: queue-limited: *"])


def test_a_suite_pins_acceptance_as_an_axis(suite: Suite) -> None:
    suite.write(PINNED, PAYS.replace("mtp=3", "mtp=3, acceptance=2.5"))
    result = suite.run("--specdec-update")
    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(["*MTP 3 AL 2.5*", "*acceptance length is pinned to 2.5: the speed of the system*"])
    found = {m["cell"]["engine"]["acceptance"]: m["acceptance"] for m in suite.saved_run()["measurements"]}
    assert found["2.5"]["length"] == pytest.approx(2.5, rel=0.03)
    names = sorted(path.name for path in (suite.pytester.path / "baselines").rglob("*.json"))
    assert names == [
        "simulated-tp1-fp8-64x48-mtp3-al2.5.json",
        "simulated-tp1-fp8-64x48-mtp3.json",
        "simulated-tp1-fp8-64x48-off.json",
    ]
    only = suite.run("--specdec-only=acceptance=2.5", "-k", "holds", "--collect-only", "-q")
    assert [line.partition("[")[2] for line in only.stdout.lines if "test_holds" in line] == [
        "toy-fp8-64x48-mtp3-al2.5-c2]",
        "toy-fp8-64x48-mtp3-al2.5-c4]",
    ]


def test_an_endpoint_with_pinned_acceptance_is_not_taken_for_a_natural_one(suite: Suite, serve: Serve) -> None:
    suite.write(READS)
    url = serve(mtp=3, acceptance=2.5)
    result = run(suite, url, mode="mtp=3=")
    result.assert_outcomes(errors=2, deselected=2)
    result.stdout.fnmatch_lines(["*wants natural acceptance and the endpoint runs acceptance length pinned to 2.5"])
    suite.write("@pytest.mark.specdec(acceptance=2.5, mtp=3)\n" + READS)
    run(suite, url).assert_outcomes(passed=2)
    run(suite, url, mode="mtp=3,al=2.5=").assert_outcomes(passed=2)


def test_a_pin_that_did_not_take_effect_is_engine_trouble(suite: Suite, serve: Serve) -> None:
    suite.write("@pytest.mark.specdec(acceptance=2.5, mtp=3)\n" + READS)
    result = run(suite, serve(mtp=3, control=False), mode="mtp=3,al=2.5=")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*is pinned to 2.5 and was measured as 3.*synthetic mode did not take effect"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("acceptance=0.5, mtp=3", "must be 'natural' or an acceptance length from 1: 0.5"),
        ('acceptance="half", mtp=3', "must be 'natural' or an acceptance length from 1: 'half'"),
        ("acceptance=2.5, mtp=1", "acceptance 2.5 of the specdec marker cannot be reached: with 1 draft tokens"),
    ],
)
def test_an_impossible_acceptance_is_a_usage_error(suite: Suite, arguments: str, message: str) -> None:
    suite.write(f"@pytest.mark.specdec({arguments})\n" + READS)
    result = suite.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()


def test_declared_facts_are_kept_and_named_as_declared(suite: Suite, serve: Serve) -> None:
    suite.write(READS)
    suite.pytester.path.joinpath("facts.toml").write_text('driver = "570.86"\n[mtp3]\nimage = "mine:1"\n')
    run(suite, serve(mtp=3), "--specdec-facts=facts.toml").assert_outcomes(passed=2, deselected=2)
    environment = suite.saved_run()["measurements"][0]["environment"]
    assert (environment["facts"]["driver"], environment["facts"]["image"]) == ("570.86", "mine:1")
    assert environment["declared"] == ["driver", "image"]


def test_a_declaration_that_the_endpoint_contradicts_is_an_error(suite: Suite, serve: Serve) -> None:
    suite.write(READS)
    suite.pytester.path.joinpath("facts.toml").write_text("stream_interval = 50\n")
    result = run(suite, serve(mtp=3), "--specdec-facts=facts.toml")
    result.assert_outcomes(failed=2, deselected=2)
    result.stdout.fnmatch_lines(["*--specdec-facts declares stream_interval = 50 and the endpoint says 1"])


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "facts.toml: No such file or directory"), ("a b", "facts.toml: not TOML")],
)
def test_a_facts_file_that_cannot_be_used_is_a_usage_error(suite: Suite, content: str | None, message: str) -> None:
    suite.write(READS)
    if content is not None:
        suite.pytester.path.joinpath("facts.toml").write_text(content)
    result = suite.run("--specdec-facts=facts.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()


def test_an_engine_may_be_named(suite: Suite, serve: Serve) -> None:
    suite.write(READS)
    url = serve(mtp=3)
    run(suite, url, "--specdec-engine=unknown", mode="mtp=3=").assert_outcomes(passed=2, deselected=2)
    assert suite.saved_run()["measurements"][0]["environment"]["facts"] == {}


@contextlib.contextmanager
def relay(url: str, *, delay_s: float, buffers: bool = False) -> Iterator[str]:
    """Hold answers back, as a busy front end does; or hand each out only when nothing more of it comes."""
    target = urlsplit(url)
    loop = asyncio.new_event_loop()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hold_s: float) -> None:
        while data := await reader.read(65536):
            if hold_s and buffers:
                with contextlib.suppress(TimeoutError):
                    while more := await asyncio.wait_for(reader.read(65536), hold_s):
                        data += more
                writer.write(data)
            else:
                # The pace stays: every read is late by the same time.
                loop.call_later(hold_s, writer.write, data)
        await asyncio.sleep(hold_s)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Closed also when the relay ends first: a transport that outlives its loop warns in whatever test comes next.
        with contextlib.closing(writer):
            back, forth = await asyncio.open_connection(target.hostname, target.port)
            with contextlib.closing(forth):
                await asyncio.gather(pump(reader, forth, 0), pump(back, writer, delay_s))

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(connect, "127.0.0.1", 0)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

    async def end() -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # closed transports let their sockets go with the next turn of the loop

    asyncio.run_coroutine_threadsafe(end(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_a_ttft_that_is_not_the_engines_is_noticed(suite: Suite, serve_http: Serve) -> None:
    suite.write(READS)
    with relay(serve_http(mtp=3), delay_s=0.05) as url:
        result = run(suite, url, "-k", "c2", mode="mtp=3=")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(["*mean TTFT is *by the server's own histogram: the difference arises outside*"])


def test_an_answer_that_comes_all_at_once_is_not_a_speed(suite: Suite, serve_http: Serve) -> None:
    suite.write(READS)
    with relay(serve_http(mtp=3), delay_s=0.05, buffers=True) as url:
        result = run(suite, url, "-k", "c2", mode="mtp=3=")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["*every answer arrived all at once: something on the way *buffers the stream*"])


def test_somebody_elses_tokens_are_noticed(suite: Suite, serve: Serve, host: VirtualHost) -> None:
    suite.write(READS)
    url = serve(mtp=3)
    host.other_client(url, prompt_tokens=3000, tokens=5)
    result = run(suite, url, "-k", "c2", mode="mtp=3=")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(["*token truth: *3000 *"])
