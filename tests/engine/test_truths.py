"""What the suite believes of an engine, on a real one: tokens, acceptance, streams, settings, that MTP can pay."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from functools import reduce
from operator import add
from pathlib import Path

import pytest
from live import HERE, MODEL, PYTHON, RECIPE, Drained, drained, engine, paired_ratio, serving

from pytest_specdec.domain.acceptance import SpecCounters
from pytest_specdec.domain.cell import parse_sequence
from pytest_specdec.domain.facts import Facts
from pytest_specdec.domain.token_check import token_truth
from pytest_specdec.engine.endpoint import Endpoint

WORKLOAD = parse_sequence("256x127", shortest=1.0)  # an odd length, so that max_tokens cuts drafts off
STREAM_INTERVAL = 3
ROUNDS = 4

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="no real engine: SPECDEC_VLLM_PYTHON does not name a Python with vLLM (tests/engine/README.md)"
)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """MTP 3 without development mode, several steps per chunk, details with every answer."""
    arguments = f"--stream-interval {STREAM_INTERVAL} --per-request-spec-decode-metrics summary"
    command = RECIPE.replace("VLLM_SERVER_DEV_MODE=1", "VLLM_SERVER_DEV_MODE=0")
    with serving(engine(3), tmp_path_factory.mktemp("logs"), arguments, command) as up:
        yield up


@pytest.fixture(scope="module")
def point(endpoint: Endpoint) -> Drained:
    return asyncio.run(drained(endpoint, str(MODEL), WORKLOAD, 4, seconds=4))


def test_usage_is_the_change_of_the_servers_counters_to_the_token(point: Drained) -> None:
    assert point.after.generation_tokens is not None
    assert point.before.generation_tokens is not None
    assert point.after.prompt_tokens is not None
    assert point.before.prompt_tokens is not None
    truth = token_truth(
        point.traffic.samples,
        point.after.generation_tokens - point.before.generation_tokens,
        point.after.prompt_tokens - point.before.prompt_tokens,
    )
    assert (truth.unfinished, truth.reason) == (0, "")
    assert truth.usage_generated == truth.server_generated
    assert truth.usage_prompt == truth.server_prompt


def test_accepted_drafts_include_those_that_max_tokens_cut_off(point: Drained) -> None:
    """Requests + steps + accepted bounds the tokens from above, and is no equation."""
    assert point.before.speculation is not None
    assert point.after.speculation is not None
    made = point.after.speculation - point.before.speculation
    requests = len(point.traffic.samples)
    tokens = sum(sample.output_tokens for sample in point.traffic.samples)
    assert tokens < requests + made.steps + made.accepted <= tokens + 3 * requests


def test_details_of_each_request_add_up_to_the_counters(point: Drained) -> None:
    details = [sample.speculation for sample in point.traffic.samples if sample.speculation is not None]
    assert len(details) == len(point.traffic.samples)
    assert point.before.speculation is not None
    assert point.after.speculation is not None
    summed = reduce(add, details, SpecCounters(steps=0, drafted=0, accepted=0))
    assert summed == point.after.speculation - point.before.speculation


def test_chunks_of_several_steps_change_no_token(point: Drained) -> None:
    """The first token comes at once, then up to `interval` steps of up to 4 tokens to a chunk."""
    for sample in point.traffic.samples:
        assert sample.output_tokens == sample.request.osl
    full = [s for s in point.traffic.samples if s.output_tokens == WORKLOAD.osl]
    assert full
    assert all(len(s.chunk_s) <= 2 + WORKLOAD.osl / STREAM_INTERVAL for s in full)


def test_without_development_mode_the_settings_are_inferred(point: Drained) -> None:
    assert point.served.adapter.name == "vllm"
    assert point.served.facts == Facts(
        draft_tokens=3,
        tensor_parallel=1,
        pipeline_parallel=1,
        data_parallel=1,
        expert_parallel=1,
        kv_cache_dtype="auto",
        prefix_cache=True,
    )


def test_mtp_pays_on_a_deeper_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the ratio over alternating rounds; asserts acceptance only, for speed here is this machine's noise."""
    deep = tmp_path / "deep"
    subprocess.run([PYTHON, HERE / "deepen_target.py", MODEL, deep, "22"], check=True)
    workload = parse_sequence("128x96", shortest=1.0)
    speeds: dict[int, list[float]] = {0: [], 3: []}
    with serving(engine(0, deep), tmp_path) as off, serving(engine(3, deep), tmp_path) as mtp:
        for _ in range(ROUNDS):
            for draft_tokens, endpoint in ((0, off), (3, mtp)):
                found = asyncio.run(drained(endpoint, str(deep), workload, 1, seconds=3))
                speeds[draft_tokens].append(found.output_tok_s)
                if draft_tokens:
                    assert found.acceptance is not None
                    assert 3.5 < found.acceptance.length <= 4.0
    ratio, low, high = paired_ratio(speeds[3], speeds[0])
    with capsys.disabled():
        print(
            f"\n24-layer target, concurrency 1: MTP 3 makes {ratio:.2f} [{low:.2f}, {high:.2f}] times the output tok/s "
            f"of Off over {ROUNDS} alternating rounds (95 %)"
        )
