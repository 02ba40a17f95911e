"""Acceptance by prompt: kept from requests, joined over runs, paired, stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import measured
from studies import examples

from pytest_specdec.domain.acceptance import Acceptance, SpecCounters, counters_of_histogram
from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.traffic import PlannedRequest, RequestSample, Status
from pytest_specdec.engine.sglang import Sglang
from pytest_specdec.engine.vllm import Vllm
from pytest_specdec.load.target import Target
from pytest_specdec.load.transport import Transport
from pytest_specdec.load.writers import PromptWriter
from pytest_specdec.results.baseline import BaselineFile, BaselineRun, baseline_run, load_baseline, save_baseline
from pytest_specdec.results.merge import merge_runs
from pytest_specdec.simulator.server import SimulatorOptions, start
from pytest_specdec.speculation.prompt_acceptance import (
    MOST_PROMPTS,
    PromptAcceptance,
    acceptance_by_prompt,
    joined,
    pair,
)

unhurried = examples(30)
histograms = st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any)


def sample(
    index: int, histogram: Sequence[int] = (1, 2, 3, 4), *, status: Status = "ok", chunks: Sequence[int] = (1, 4, 4, 2)
) -> RequestSample:
    return RequestSample(
        request=PlannedRequest(index=index, prompt=16_000_000 + index, isl=100, osl=sum(chunks)),
        start_s=0.0,
        chunk_s=np.arange(len(chunks), dtype=np.float64),
        chunk_tokens=np.array(chunks),
        prompt_tokens=103,
        status=status,
        speculation=counters_of_histogram(histogram, 3) if status == "ok" else None,
    )


def kept(samples: Sequence[RequestSample], **more: bool | str) -> PromptAcceptance:
    found = acceptance_by_prompt(samples, **more)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_what_the_engine_counted_is_kept_by_prompt_in_the_order_of_requests() -> None:
    found = kept([sample(7), sample(2, (10, 0, 0, 0)), sample(3, status="cut"), sample(4, status="failed")])
    assert found == PromptAcceptance(
        requests=(2, 7),
        context=(108, 108),
        growth=(11, 11),
        steps=(10, 10),
        accepted=((0, 9), (0, 7), (0, 4)),
        early_chunks=(2, 2),
        late_chunks=(1, 1),
    )


def test_an_engine_that_does_not_count_by_request_leaves_nothing() -> None:
    assert acceptance_by_prompt([replace(sample(1), speculation=None)]) is None
    assert acceptance_by_prompt([replace(sample(1), speculation=SpecCounters(steps=0, drafted=0, accepted=0))]) is None


def test_tokens_that_were_spread_over_chunks_tell_nothing_of_halves() -> None:
    assert kept([sample(1)], counted=False).early_chunks == ()


@unhurried
@given(st.integers(1, 700), st.integers(1, 700))
def test_of_many_prompts_two_runs_keep_common_ones(first: int, second: int) -> None:
    runs = [kept([sample(index) for index in range(count)]) for count in sorted((first, second))]
    few, many = (set(run.requests) for run in runs)
    assert all(len(run.requests) <= MOST_PROMPTS for run in runs)
    assert len(few) >= min(first, second, MOST_PROMPTS // 2)
    shared = min(first, second)
    assert len(few & many) == len({index for index in many if index < shared})


@unhurried
@given(st.lists(st.lists(histograms, min_size=1, max_size=6), min_size=1, max_size=4))
def test_joining_sums_by_prompt(runs: list[list[list[int]]]) -> None:
    found = joined([kept([sample(i, h) for i, h in enumerate(run)]) for run in runs])
    assert found is not None
    assert sum(found.steps) == sum(sum(h) for run in runs for h in run)
    assert found.requests == tuple(range(max(map(len, runs))))
    first = [counters_of_histogram(run[0], 3) for run in runs]
    assert found.accepted[1][0] == sum(counters.per_position[1] for counters in first)
    assert found.early_chunks[0] == 2 * len(runs)


def test_runs_of_other_pieces_are_not_joined_and_not_paired() -> None:
    ours, theirs = (kept([sample(i) for i in range(30)], wording=wording) for wording in ("a", "b"))
    assert joined([ours, theirs, None, ours], "b") == theirs
    assert joined([ours, theirs], "c") is None
    assert joined([None]) is None
    assert len(pair(ours, theirs)) == 0
    assert len(pair(ours, ours)) == 30


def test_pairs_are_the_prompts_that_both_have_and_answered_at_length() -> None:
    before = kept([sample(i, (10, 20, 30, 40)) for i in range(10)])
    after = kept([sample(i, (1, 2, 3, 4) if i == 5 else (40, 30, 20, 10)) for i in range(3, 14)])
    found = pair(before, after)
    assert found.requests.tolist() == [3, 4, 6, 7, 8, 9]
    assert found.before.length.tolist() == pytest.approx([3.0] * 6)
    assert found.after.length.tolist() == pytest.approx([2.0] * 6)
    assert found.after.rates[0].tolist() == pytest.approx([60.5 / 101] * 6)


def test_it_lies_in_the_baseline_file_one_line_per_list(tmp_path: Path) -> None:
    by_prompt = kept([sample(i) for i in range(120)], wording="f00")
    acceptance = Acceptance(2.0 / 3, 1.0 / 3, (0.123456, 0.2), 2, 10.0)
    now = msgspec.structs.replace(measured(mtp=3, acceptance=3.1), by_prompt=by_prompt, acceptance=acceptance)
    run = baseline_run(now)
    assert run.acceptance is not None
    assert run.acceptance.per_position == (0.1235, 0.2)
    path = tmp_path / "curve.json"
    save_baseline(
        BaselineFile(
            engine=now.cell.engine,
            workload=now.cell.workload,
            environment=now.environment,
            price=now.price,
            points={"8": [run]},
        ),
        path,
    )
    assert load_baseline(path).points["8"] == [run]
    lines = path.read_text().splitlines()
    assert any(line.strip().startswith('"requests": [0, 1, 2, 3,') for line in lines)
    assert len(lines) < 100
    assert path.stat().st_size < 8000


def test_a_baseline_of_before_is_still_read() -> None:
    old = b'{"measured_at": "", "version": "1", "values": {"acceptance_length": [3.1, 0.01]}}'
    found = msgspec.json.decode(old, type=BaselineRun)
    assert (found.acceptance, found.by_prompt) == (None, None)


def test_merged_runs_have_the_prompts_of_all() -> None:
    runs = [
        msgspec.structs.replace(measured(mtp=3), by_prompt=kept([sample(i) for i in range(count)])) for count in (3, 5)
    ]
    merged = merge_runs(runs).by_prompt
    assert merged is not None
    assert merged.steps == (20, 20, 20, 10, 10)


# ---- end to end, over HTTP


@pytest.mark.parametrize(("dialect", "adapter"), [("vllm", Vllm()), ("sglang", Sglang())])
def test_simulated_engines_count_by_request_as_theirs_do(dialect: str, adapter: Vllm | Sglang) -> None:
    workload = Workload(isl=64, osl=64)

    async def main(seed: int, *, details: bool = True) -> PromptAcceptance | None:
        options = SimulatorOptions(preset="tiny", mtp=3, dialect=dialect, seed=seed, speed=20, details=details)
        server = await start(options)
        target = Target(base_url=server.url, model="tiny", fields=adapter.request_fields)
        writer = await PromptWriter.calibrate(target, workload)
        planned = [PlannedRequest(index=i, prompt=i, isl=64, osl=64) for i in range(4)]
        async with Transport(target, no_progress_s=10.0) as transport:
            answers = [await transport.fetch(writer.body(request)) for request in planned]
        await server.close()
        streams = [answer.stream() for answer in answers]
        samples = [
            RequestSample(
                request=request,
                start_s=0.0,
                chunk_s=stream.chunk_s,
                chunk_tokens=stream.chunk_tokens,
                prompt_tokens=stream.prompt_tokens,
                status="ok",
                speculation=stream.speculation,
            )
            for request, stream in zip(planned, streams, strict=True)
        ]
        return acceptance_by_prompt(samples, wording=writer.wording)

    found, again = asyncio.run(main(1)), asyncio.run(main(2))
    assert found is not None
    assert again is not None
    assert found.wording == again.wording, "the same pieces on another start"
    assert found.requests == (0, 1, 2, 3)
    for row in range(4):
        accepted = sum(column[row] for column in found.accepted)
        # The prefill's token; and max_tokens cuts off what the last step has too much.
        assert 0 <= 1 + found.steps[row] + accepted - 64 <= 3
        assert found.early_chunks[row] + found.late_chunks[row] == found.steps[row]
    assert len(pair(found, again)) == 4
    assert asyncio.run(main(1, details=False)) is None


def test_other_counts_of_the_same_sentence_are_another_wording() -> None:
    target = Target(base_url="http://a", model="m")
    one = PromptWriter(target=target, workload=Workload(isl=64, osl=8), frame=30, costs={"Go on.": 3})
    assert one.wording == one.retargeted(Target(base_url="http://b", model="m")).wording
    assert one.wording != replace(one, costs={"Go on.": 4}).wording
    assert one.wording != replace(one, frame=31).wording
