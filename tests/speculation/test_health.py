"""What is wrong with a point by itself, whatever its baseline says."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.domain.acceptance import SpecCounters, acceptance_from, gauge_acceptance
from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.domain.token_check import TokenTruth
from pytest_specdec.domain.traffic import PlannedRequest, RequestSample, Traffic
from pytest_specdec.speculation.health import Finding, find
from pytest_specdec.speculation.signs import Signs, signs_of

MTP = Cell(EngineSpec(model="m", precision="fp8", mtp=3), Workload(isl=1024, osl=1024), 16)
OFF = msgspec.structs.replace(MTP, engine=MTP.engine.off())
PINNED = msgspec.structs.replace(MTP, engine=msgspec.structs.replace(MTP.engine, acceptance="1.1"))
COUNTERS = SpecCounters(steps=1000, drafted=3000, accepted=2100, per_position=(900, 700, 500))
HEALTHY = Signs(
    verify_steps=1000, drafts_per_step=3.0, verify_share=1.01, tokens_per_chunk=3.1, waiting=0, preemptions=0
)


def found(
    cell: Cell = MTP, counters: SpecCounters = COUNTERS, tokens: TokenTruth | None = None, **changes: Any
) -> dict[str, Finding]:
    signs = msgspec.structs.replace(HEALTHY, **changes)
    return {finding.check: finding for finding in find(cell, acceptance_from(counters), signs, tokens)}


def test_a_healthy_point_has_no_finding() -> None:
    assert found() == {}


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"verify_steps": 0.0}, "speculation-off", "no draft tokens"),
        ({"verify_share": 0.6}, "speculation-off", "40% of the output did not come from verify steps"),
        ({"drafts_per_step": 2.0}, "draft-tokens", "2.00 draft tokens per step, 3 configured"),
        ({"verify_share": 2.0}, "counters-lie", "verified 2.00 times the tokens it generated"),
        ({"tokens_per_chunk": 2.5}, "counters-lie", "a step brings 3.10 tokens, and a chunk, which holds at least one"),
    ],
)
def test_broken_speculation_breaks_the_point(changes: dict[str, Any], check: str, words: str) -> None:
    finding = found(**changes)[check]
    assert finding.severity == "broken"
    assert words in finding.words
    assert found(OFF, **changes) == {}, "Off has no speculation"


def test_a_broken_drafter_is_told_by_its_first_position_unless_it_is_pinned() -> None:
    broken = SpecCounters(steps=1000, drafted=3000, accepted=40, per_position=(39, 1, 0))
    finding = found(MTP, broken, tokens_per_chunk=1.04)["drafter-broken"]
    assert finding.severity == "broken"
    assert "3.9%" in finding.words
    assert found(PINNED, broken, tokens_per_chunk=1.04) == {}


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"acceptance_drift": -0.2}, "acceptance-drifts"),
        ({"waiting": 3.0}, "queue-limited"),
        ({"preemptions": 2.0}, "preempted"),
        ({"prefix_hits": 0.03}, "prefix-hits"),
        ({"gauge_length": 4.0}, "gauge-lies"),
    ],
)
def test_what_a_reader_must_know_is_a_warning(changes: dict[str, Any], check: str) -> None:
    assert {name: finding.severity for name, finding in found(**changes).items()} == {check: "warning"}


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"prefix_hits": 0.5}, "prefix-hits", "50.0% of the prompt tokens were hits"),
        ({"prompt_excess": 0.06}, "prompt-tokens", "prompts are +6.0% off the requested ISL"),
        ({"prompt_excess": -0.06}, "prompt-tokens", "prompts are -6.0% off the requested ISL"),
        ({"completion_excess": 0.25}, "completion-tokens", "25.0% more tokens by `usage` than were asked for"),
    ],
)
def test_another_workload_than_was_asked_for_breaks_the_point(changes: dict[str, Any], check: str, words: str) -> None:
    for cell in (MTP, OFF):
        findings = found(cell, **changes)
        assert {name: finding.severity for name, finding in findings.items()} == {check: "broken"}
        assert words in findings[check].words


def test_a_short_prompt_may_be_a_token_or_two_off() -> None:
    short = msgspec.structs.replace(MTP, workload=Workload(isl=64, osl=48))
    assert found(short, prompt_excess=0.03)["prompt-tokens"].severity == "warning"
    assert found(short, prompt_excess=0.3)["prompt-tokens"].severity == "broken"


@pytest.mark.parametrize(
    ("isl", "hits", "severity"),
    [
        (256, 0.08, "warning"),  # 20 tokens: the frame of a chat template
        (256, 0.24, "warning"),
        (256, 0.3, "broken"),
        (2048, 0.04, "warning"),  # 82 tokens, and still few of them all
        (2048, 0.06, "broken"),
    ],
)
def test_the_frame_that_prompts_share_is_no_other_workload(isl: int, hits: float, severity: str) -> None:
    cell = msgspec.structs.replace(MTP, workload=Workload(isl=isl, osl=1024))
    assert found(cell, prefix_hits=hits)["prefix-hits"].severity == severity


def test_prompts_of_a_file_share_what_they_like_and_natural_ends_are_early() -> None:
    of_file = msgspec.structs.replace(MTP, workload=Workload(isl=0, osl=256, prompts="file-1", ignore_eos=False))
    assert found(of_file, prefix_hits=0.5)["prefix-hits"].severity == "warning"
    assert found(of_file, completion_excess=-0.4) == {}
    assert found(of_file, completion_excess=0.4)["completion-tokens"].severity == "broken"


def test_a_gauge_is_held_against_counters_and_without_them_against_the_stream() -> None:
    words = found(gauge_length=4.0)["gauge-lies"].words
    assert words == "the gauge says 4.00 tokens per step, the counters 3.10"
    assert found(gauge_length=3.3) == {}
    alone = find(MTP, gauge_acceptance(4.0, 3), msgspec.structs.replace(HEALTHY, gauge_length=4.0), None)
    assert alone[0].words == "the gauge says 4.00 tokens per step, the chunks of the stream 3.10"
    lower = msgspec.structs.replace(HEALTHY, gauge_length=2.0, tokens_per_chunk=4.0)
    assert find(MTP, gauge_acceptance(2.0, 3), lower, None) == (), "a chunk may hold several steps"


@pytest.mark.parametrize(
    ("server", "severity"), [(None, "warning"), (1100, "warning"), (999, "warning"), (980, "broken")]
)
def test_a_server_that_counts_less_than_it_said_lies(server: float | None, severity: str) -> None:
    truth = TokenTruth(
        usage_generated=1000, server_generated=server, usage_prompt=10, server_prompt=10, unfinished=0, reason="why"
    )
    assert found(tokens=truth)["token-truth"].severity == severity


def test_chunks_of_several_steps_are_no_lie() -> None:
    assert found(tokens_per_chunk=9.3) == {}


def test_tokens_that_do_not_add_up_are_told() -> None:
    truth = TokenTruth(
        usage_generated=1, server_generated=2, usage_prompt=0, server_prompt=0, unfinished=0, reason="lost count"
    )
    assert found(tokens=truth)["token-truth"].words == "token truth: lost count"


def test_what_is_unknown_is_no_finding() -> None:
    assert find(MTP, None, Signs(), None) == ()


def traffic(sizes: list[list[int]], gap: float = 0.02) -> Traffic:
    """Streams of chunks of these sizes, all in the window."""
    samples = [
        RequestSample(
            request=PlannedRequest(index=i, prompt=i, isl=100, osl=sum(chunks)),
            start_s=0.0,
            chunk_s=np.array([0.1 + gap * k for k in range(len(chunks))]),
            chunk_tokens=np.array(chunks),
            prompt_tokens=100,
            status="ok",
        )
        for i, chunks in enumerate(sizes)
    ]
    longest = max(len(chunks) for chunks in sizes)
    return Traffic(samples=samples, window_start_s=0.0, window_end_s=0.2 + gap * longest)


@given(st.lists(st.lists(st.integers(1, 4), min_size=2, max_size=30), min_size=1, max_size=5))
def test_tokens_per_chunk_leave_first_and_last_chunks_out(sizes: list[list[int]]) -> None:
    """The first is the prefill's, and of the last `max_tokens` may have cut accepted drafts off."""
    whole = [size for chunks in sizes for size in chunks[1:-1]]
    expected = pytest.approx(sum(whole) / len(whole)) if whole else None
    assert signs_of(traffic(sizes)).tokens_per_chunk == expected


def test_signs_come_from_the_changes_of_counters() -> None:
    counters = SpecCounters(steps=100, drafted=300, accepted=210, per_position=(90, 70, 50))
    signs = signs_of(
        traffic([[1, *[3] * 103]]),
        speculation=counters,
        generated=311.0,
        waiting=[9, 9, 0, 2],
        preemptions=1.0,
        prefix_queries=100.0,
        prefix_hits=25.0,
        gauge_lengths=[3.0, 4.0],
    )
    assert (signs.gauge_length, signs.completion_excess) == (3.5, 0.0)
    assert (signs.verify_steps, signs.drafts_per_step) == (100, 3.0)
    assert signs.verify_share == pytest.approx(310 / 310)
    assert (signs.waiting, signs.preemptions, signs.prefix_hits, signs.prompt_excess) == (1.0, 1.0, 0.25, 0.0)


def test_acceptance_that_wears_off_in_the_window_is_seen_and_steady_acceptance_is_not() -> None:
    rng = np.random.default_rng(3)
    steady = [[1, *rng.integers(1, 5, 400).tolist()] for _ in range(8)]
    assert signs_of(traffic(steady)).acceptance_drift == 0
    worn = [[1, *(1 + rng.binomial(3, np.linspace(0.9, 0.3, 400))).tolist()] for _ in range(8)]
    assert signs_of(traffic(worn)).acceptance_drift < -0.3
