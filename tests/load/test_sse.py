"""Streams are read the same however the network cut them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import examples
from whole_stream import parse_stream

from pytest_specdec.domain.acceptance import SpecCounters
from pytest_specdec.load.sse import Stream, spread_tokens

SAMPLES = Path(__file__).parent.parent / "data" / "vllm_samples"
RECORDED = {path.stem: path.read_bytes() for path in sorted(SAMPLES.glob("*.sse"))}


def whole(data: bytes) -> Stream:
    return parse_stream([(1.0, data)])


def events(*chunks: object) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def said(text: str, counted: int | None = None, field: str = "content") -> dict[str, object]:
    usage = {} if counted is None else {"usage": {"prompt_tokens": 7, "completion_tokens": counted}}
    return {"choices": [{"index": 0, "delta": {field: text}}], **usage}


FINAL = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}


@pytest.mark.parametrize(
    ("name", "prompt", "tokens", "first"),
    [
        ("base", 3, 48, [1, 1, 1]),
        ("mtp1", 3, 48, [1, 2, 2]),
        ("mtp3", 3, 48, [1, 4, 4]),
        ("mtp1weak", 3, 48, [1, 1]),
        ("chat_stream_mtp1_full", 24, 24, [1]),
        ("completions_stream_mtp1_full", 3, 24, [1, 2]),
        ("chat_stream_mtp1_perreq", 24, 24, [1]),
    ],
)
def test_recorded_streams_of_vllm_have_the_tokens_that_vllm_counted(
    name: str, prompt: int, tokens: int, first: list[int]
) -> None:
    stream = whole(RECORDED[name])
    assert stream.error is None
    assert (stream.prompt_tokens, stream.completion_tokens) == (prompt, tokens)
    assert stream.chunk_tokens.sum() == tokens
    assert stream.chunk_tokens[: len(first)].tolist() == first
    assert stream.finish_reason == "length"


@examples(60)
@given(
    name=st.sampled_from(sorted(RECORDED)),
    cuts=st.lists(st.floats(0, 1), max_size=30),
    crlf=st.booleans(),
    pings=st.booleans(),
)
def test_cutting_the_bytes_anywhere_changes_no_token(*, name: str, cuts: list[float], crlf: bool, pings: bool) -> None:
    data = RECORDED[name]
    if pings:
        data = data.replace(b"\n\n", b"\n\n: ping\n\n")
    if crlf:
        data = data.replace(b"\n", b"\r\n")
    places = sorted({0, len(data), *(int(cut * len(data)) for cut in cuts)})
    reads = [(float(i), data[a:b]) for i, (a, b) in enumerate(itertools.pairwise(places))]
    cut, plain = parse_stream(reads), whole(RECORDED[name])
    assert cut.chunk_tokens.tolist() == plain.chunk_tokens.tolist()
    assert (cut.prompt_tokens, cut.completion_tokens, cut.error) == (plain.prompt_tokens, plain.completion_tokens, None)
    assert (np.diff(cut.chunk_s) >= 0).all()


FRAGMENTS = [
    *(b'data: {"choices":[{"delta":{"content":"x"}}],"usage":{"completion_tokens":%d}}' % n for n in (1, 2, 4)),
    *(b'data: {"choices":[{"text":"x","finish_reason":"length"}]}', b'data:{"choices":[{"text":"x"}]}'),
    *(b'data: {"choices":', b'data: [{"text":"x"}]}', b'[{"text":"x"}]}', b'data: {"choices":[{"text":'),
    *(b'"x"}]}', b'{"error":"full"}', b"data: [DONE]", b"event: message", b": ping", b" "),
]


@examples(300)
@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(FRAGMENTS), st.sampled_from([b"\n\n", b"\n\n", b"\n", b"\r\n\r\n", b"\r\n", b"\r", b""])
        ),
        max_size=12,
    ),
    joined=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_a_read_that_is_one_event_is_read_as_if_it_came_byte_by_byte(
    parts: list[tuple[bytes, bytes]], joined: list[bool]
) -> None:
    """Whole events take a shorter way through the parser; broken ones must not be any more welcome there."""
    reads: list[bytes] = []
    for (text, end), with_the_last in zip(parts, joined, strict=False):
        if reads and with_the_last:
            reads[-1] += text + end
        else:
            reads.append(text + end)
    timed = [(float(at), data) for at, data in enumerate(reads)]
    found = parse_stream(timed)
    slowly = parse_stream([(at, data[i : i + 1]) for at, data in timed for i in range(len(data))])
    assert found.chunk_s.tolist() == slowly.chunk_s.tolist()
    assert found.chunk_tokens.tolist() == slowly.chunk_tokens.tolist()
    assert (found.completion_tokens, found.finish_reason, found.error) == (
        slowly.completion_tokens,
        slowly.finish_reason,
        slowly.error,
    )


def test_an_event_arrives_with_its_last_byte() -> None:
    data = events(said("a", 1), said("b", 2))
    middle = data.index(b"\n\n") - 3
    stream = parse_stream([(1.0, data[:middle]), (2.0, data[middle:])])
    assert stream.chunk_s.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("field", ["content", "reasoning", "reasoning_content"])
def test_every_token_bearing_field_counts_and_a_role_does_not(field: str) -> None:
    role = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    stream = whole(events(role, said("a", field=field), said("b", field=field), FINAL))
    assert len(stream.chunk_s) == 2


def test_tool_calls_count() -> None:
    call = {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}}]}
    assert len(whole(events(call, FINAL)).chunk_s) == 1


def test_a_chunk_whose_text_is_withheld_counts_when_the_server_counted_on() -> None:
    assert whole(events(said("a", 1), said("", 3), said("b", 5), FINAL)).chunk_tokens.tolist() == [1, 2, 2]


def test_without_running_counts_the_first_chunk_has_one_token_and_the_sum_is_exact() -> None:
    assert whole(events(said("a"), said("b"), said("c"), FINAL)).chunk_tokens.tolist() == [1, 2, 2]


def test_usage_may_ride_on_the_last_chunk() -> None:
    stream = whole(events(said("a"), said("b", 4)))
    assert stream.completion_tokens == 4
    assert stream.chunk_tokens.sum() == 4


def test_a_final_usage_that_is_missing_leaves_the_running_count() -> None:
    stream = whole(events(said("a", 1), said("b", 4)))
    assert (stream.completion_tokens, stream.chunk_tokens.tolist()) == (4, [1, 3])


def test_recorded_details_of_one_request_of_vllm() -> None:
    assert whole(RECORDED["chat_stream_mtp1_perreq"]).speculation == SpecCounters(
        steps=12, drafted=12, accepted=12, per_position=(12.0,)
    )
    assert whole(RECORDED["base"]).speculation is None


def test_details_of_one_request_of_sglang_end_at_the_longest_acceptance() -> None:
    details = {
        "spec_verify_ct": 4,
        "spec_num_proposed_drafts": 12,
        "spec_num_correct_drafts": 3,
        "spec_correct_drafts_histogram": [2, 1, 1],
    }
    stream = whole(events(said("a", 1), {"choices": [], "sglext": {"spec_tokens_details": details}}))
    assert stream.speculation == SpecCounters(steps=4, drafted=12, accepted=3, per_position=(2.0, 1.0, 0.0))


@pytest.mark.parametrize("extension", [{"metrics": "fine"}, {"sglext": {"spec_tokens_details": None}}, {"metrics": {}}])
def test_an_extension_of_another_shape_is_passed_over(extension: dict[str, object]) -> None:
    stream = whole(events(said("a", 1) | extension))
    assert (stream.error, stream.speculation, stream.completion_tokens) == (None, None, 1)


def test_a_stream_without_usage_has_no_count() -> None:
    assert whole(events(said("a"))).completion_tokens is None


def test_an_error_event_is_the_servers_own_words() -> None:
    stream = whole(events(said("a", 1), {"error": {"message": "out of memory", "code": 500}}))
    assert stream.error == "server error after HTTP 200: out of memory"


@pytest.mark.parametrize("body", [b"data: <html>\n\n", b"data: {\n\n", b"data: [1]\n\n"])
def test_what_is_no_chunk_is_named(body: bytes) -> None:
    assert (whole(body).error or "").startswith("not an OpenAI chunk")


def test_a_last_event_without_its_blank_line_is_read() -> None:
    assert whole(events(said("a", 1)).removesuffix(b"\n\n")).completion_tokens == 1


@given(st.integers(0, 5000), st.integers(1, 500))
def test_spread_tokens_add_up_and_differ_by_at_most_one(total: int, chunks: int) -> None:
    spread = spread_tokens(total, chunks)
    assert spread.sum() == total
    assert (spread >= 0).all()
    if chunks > 2:
        assert spread[1:].max() - spread[1:].min() <= 1


def test_a_count_that_falls_is_a_failure_and_no_negative_chunk() -> None:
    stream = whole(events(said("a", 1), said("b", 4), said("c", 7), said("d", 5)))
    assert stream.error == "usage went backwards: 5 tokens after 7"
