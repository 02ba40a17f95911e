"""What the simulated engine says to all questions, without a server and without waiting."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache

import msgspec

from pytest_specdec.load.response import Answer as Received
from pytest_specdec.measure.interview import Answers, ask_through
from pytest_specdec.measure.judge_answers import judge_answers
from pytest_specdec.outputs.checks import Outputs
from pytest_specdec.outputs.questions import Questions, make_questions
from pytest_specdec.simulator.answer import AnswerForm
from pytest_specdec.simulator.faults.fault import HEALTHY, Fault
from pytest_specdec.simulator.speaking import Ask, Speaker

PATIENCE_S = 0.05


class Spoken:
    """A connection to an engine that answers at once, or never."""

    def __init__(self, fault: Fault, mtp: int, *, room: int = 32768, logprobs: bool = True) -> None:
        self.speaker = Speaker(fault=fault.acting(mtp))
        self.room = room
        self.logprobs = logprobs

    async def fetch(self, body: bytes) -> Received:
        ask = msgspec.json.decode(body, type=Ask)
        if ask.logprobs and not self.logprobs:
            return Received(error="HTTP 400: logprobs: Extra inputs are not permitted")
        job = self.speaker.job(ask)
        if job.script.stuck:
            await asyncio.Event().wait()
        if job.prompt_tokens + ask.tokens > self.room:
            return Received(error=f"HTTP 400: the context has {self.room} tokens")
        top = ask.top_logprobs if ask.logprobs else None
        form = AnswerForm(job, model="m", fingerprint="f", chat=True, options={}, top_logprobs=top)
        return Received(pieces=[form.whole()])


@cache
def questions(seed: int) -> Questions:
    """Other questions for every seed, but for the tasks: the simulated model has learnt those of seed 0."""
    return replace(make_questions(seed), tasks=make_questions(0).tasks)


def said(spoken: Spoken, draft_tokens: int, seed: int = 0) -> Answers:
    asking = ask_through(spoken, "m", draft_tokens=draft_tokens, questions=questions(seed), patience_s=PATIENCE_S)
    return asyncio.run(asking)


@cache
def off(seed: int) -> Answers:
    return said(Spoken(HEALTHY, 0), 0, seed)


def judged(fault: Fault, seed: int = 0, mtp: int = 3) -> Outputs:
    """Answers of an engine with a fault against those of Off."""
    return judge_answers(off(seed), said(Spoken(fault, mtp), mtp, seed), questions(seed))
