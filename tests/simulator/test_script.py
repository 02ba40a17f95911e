"""What the simulated engine says token by token, and how likely it says each token was."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.outputs.answer import NEAR_TIE_NATS, Answer, Fork, divergence, read_answer
from pytest_specdec.outputs.task_accuracy import solved
from pytest_specdec.outputs.tasks import make_tasks
from pytest_specdec.simulator.answer import AnswerForm
from pytest_specdec.simulator.faults.catalogue import find_fault
from pytest_specdec.simulator.faults.fault import HEALTHY, Fault, Saying
from pytest_specdec.simulator.script import NEAR_TIES_WITHIN, Prompt, Script
from pytest_specdec.simulator.server import SimulatorOptions, start
from pytest_specdec.simulator.speaking import Ask, Speaker

asked = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=40)
WRONG = ["differs", "tie", "repeats", "garbled", "gibberish", "replaced", "bytes", "other"]
TAGGED = "Tell me of rivers.\n\nBegin your answer with [ABCD-EFGH] on a line of its own."


def fault(wrong: Any, **more: Any) -> Fault:
    return replace(HEALTHY, saying=Saying(wrong=wrong, share=1.0, onset=12, **more))


def answer(text: str, wrong: Fault = HEALTHY, *, tokens: int = 96) -> Answer:
    """As a client reads it, with log-probabilities."""
    job = Speaker(fault=wrong).job(Ask(messages=[{"role": "user", "content": text}], max_tokens=tokens))
    form = AnswerForm(job, model="m", fingerprint="f", chat=True, options={}, top_logprobs=5)
    return read_answer(form.whole())


@given(asked, st.sampled_from(WRONG))
def test_tokens_are_the_text_and_the_said_one_is_the_likeliest(text: str, wrong: str) -> None:
    found = answer(text, fault(wrong))
    assert len(found.tokens) == found.completion_tokens == 96
    raw = b"".join(token.raw or b"" for token in found.tokens)
    assert raw.decode(errors="replace") == found.text
    for token in found.tokens:
        assert token.top[0].text == token.text
        assert [option.logprob for option in token.top] == sorted((o.logprob for o in token.top), reverse=True)
        assert len({option.text for option in token.top}) == len(token.top) == 5


@given(asked)
def test_one_place_is_a_near_tie_and_a_fault_of_rounding_leaves_there(text: str) -> None:
    right = answer(text)
    near = [i for i, token in enumerate(right.tokens) if token.top[0].logprob - token.top[1].logprob < NEAR_TIE_NATS]
    assert len(near) == 1
    assert near[0] < NEAR_TIES_WITHIN
    found = divergence(right, answer(text, fault("tie")))
    assert (found.kind, found.position) == (Fork.NEAR_TIE, near[0])
    back = divergence(answer(text, fault("tie")), right)
    assert (back.kind, back.position) == (Fork.NEAR_TIE, near[0])


@given(asked, st.sampled_from([wrong for wrong in WRONG if wrong not in ("tie", "repeats")]))
def test_any_other_fault_leaves_by_a_token_that_was_not_likely(text: str, wrong: str) -> None:
    right = answer(text)
    found = divergence(right, answer(text, fault(wrong)))
    assert found.position is not None
    assert found.position >= 12
    tie = next(i for i, token in enumerate(right.tokens) if token.top[0].logprob < -0.5)
    assert found.kind is Fork.HARD or found.position == tie


def test_an_answer_begins_with_the_tag_that_was_asked_for() -> None:
    assert answer(TAGGED).text.startswith("[ABCD-EFGH]\n ")
    assert answer(TAGGED, fault("differs")).text.startswith("[ABCD-EFGH]\n ")
    assert "[" not in answer("Tell me of rivers.").text


def test_another_s_answer_is_there_from_its_beginning_with_its_tag() -> None:
    speaker = Speaker(fault=fault("other"))
    speaker.job(Ask(messages=[{"role": "user", "content": TAGGED}], max_tokens=96))
    job = speaker.job(Ask(messages=[{"role": "user", "content": "Tell me of stones."}], max_tokens=96))
    assert "[ABCD-EFGH]\n" in job.script.text(0, 96)
    assert job.script.other is not None
    assert job.script.other.other is None, "no chain of all that was ever said"


def test_the_bundled_tasks_are_known_by_heart() -> None:
    for task in make_tasks(0):
        assert solved(task, answer(task.prompt, tokens=256).text)
        assert answer(task.prompt, tokens=256).finish_reason == "stop"
    wrong = [answer(task.prompt, find_fault("answers-wrong"), tokens=256).text for task in make_tasks(0)]
    assert not any(solved(task, text) for task, text in zip(make_tasks(0), wrong, strict=True))


@pytest.mark.parametrize(("turn", "times"), [(0, 0), (1, 36), (3, 36)])
def test_a_fault_of_later_turns_spares_the_first(turn: int, times: int) -> None:
    prompt = Prompt(text="Tell me of rivers.", last="Tell me of rivers.", tokens=9, turn=turn)
    script = Script.of(prompt, fault=find_fault("later-turns-garbled"))
    assert script.text(0, 40).count(" !!") == times


def test_turns_are_counted_by_the_answers_that_come_along() -> None:
    messages = [{"role": role, "content": "x"} for role in ("system", "user", "assistant", "user", "assistant", "user")]
    job = Speaker(fault=find_fault("later-turns-garbled")).job(Ask(messages=messages, max_tokens=40))
    assert " !!" in job.script.text(0, 40)


def over_http(dialect: str, **more: Any) -> tuple[int, dict[str, Any]]:
    async def main() -> tuple[int, dict[str, Any]]:
        server = await start(SimulatorOptions(preset="tiny", speed=20, dialect=dialect))
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 8, **more}
        try:
            async with (
                aiohttp.ClientSession() as client,
                client.post(f"{server.url}/chat/completions", json=body) as response,
            ):
                return response.status, json.loads(await response.read())
        finally:
            await server.close()

    return asyncio.run(main())


def test_log_probabilities_are_on_the_wire_where_they_are_asked_for() -> None:
    _, found = over_http("vllm", logprobs=True, top_logprobs=2)
    content = found["choices"][0]["logprobs"]["content"]
    assert "".join(piece["token"] for piece in content) == found["choices"][0]["message"]["content"]
    assert {len(piece["top_logprobs"]) for piece in content} == {2}
    assert over_http("vllm")[1]["choices"][0]["logprobs"] is None
    assert over_http("vllm", logprobs=True)[1]["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []
    status, refused = over_http("trtllm", logprobs=True)
    assert (status, refused["error"]["message"]) == (400, "logprobs: Extra inputs are not permitted")
