"""Answers of two engines -> judgements."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.measure.interview import Answers
from pytest_specdec.outputs.answer import Answer
from pytest_specdec.outputs.canaries import Group, judge_groups
from pytest_specdec.outputs.checks import Judgement, Outputs
from pytest_specdec.outputs.losslessness import judge_losslessness
from pytest_specdec.outputs.questions import Questions, make_questions
from pytest_specdec.outputs.structured import judge_structured
from pytest_specdec.outputs.task_accuracy import judge_accuracy
from pytest_specdec.outputs.verdict import OutputVerdict, Remark


def judge_answers(off: Answers, mtp: Answers, questions: Questions | None = None) -> Outputs:
    """Judge MTP against Off, with Off asked twice as the control."""
    asked = questions or make_questions()
    return Outputs(
        same_text=Judgement(judge_losslessness(off.texts, off.again, mtp.texts)),
        clean=Judgement(judge_groups([*_groups(off, mtp, asked)], _missing(off, mtp))),
        solves_as_much=Judgement(
            judge_accuracy(asked.tasks, [answer.text for answer in off.tasks], [answer.text for answer in mtp.tasks])
        ),
        keeps_structure=Judgement(_structure(off, mtp, asked)),
    )


def _groups(off: Answers, mtp: Answers, asked: Questions) -> Iterator[Group]:
    yield Group(candidate=mtp.texts, control=off.texts, tags=[prompt.tag for prompt in asked.texts])
    yield Group(name="tasks", candidate=mtp.tasks, control=off.tasks)  # where answers end by themselves
    turns = [*_turns(off, mtp, asked)]
    if turns:
        candidate, control, tags, earlier = zip(*turns, strict=True)
        yield Group(name="conversations", candidate=candidate, control=control, tags=tags, earlier=earlier)
    if off.long and mtp.long:
        long = [prompt.tag for prompt in asked.long]
        yield Group(name="long contexts", candidate=mtp.long, control=off.long, tags=long)


def _turns(off: Answers, mtp: Answers, asked: Questions) -> Iterator[tuple[Answer, Answer, str, frozenset[str]]]:
    """Each turn's answers with its own tag, and those of the turns before."""
    for prompts, ours, theirs in zip(asked.conversations, mtp.conversations, off.conversations, strict=True):
        tags = [prompt.tag for prompt in prompts]
        both = zip(ours, theirs, tags, strict=False)  # what one of them refused has no other side
        yield from ((a, b, tag, frozenset(tags[:number])) for number, (a, b, tag) in enumerate(both))


def _missing(off: Answers, mtp: Answers) -> list[Remark]:
    """Unanswered questions: neutral where both engines refuse, suspect where MTP alone does."""
    if mtp.refused and not off.refused:
        return [(Outcome.INCONCLUSIVE, f"MTP refuses what Off answers: {mtp.refused}")]
    refused = off.refused or mtp.refused
    return [(Outcome.PASS, f"long contexts were not tested in full: {refused}")] if refused else []


def _structure(off: Answers, mtp: Answers, asked: Questions) -> OutputVerdict:
    both = [
        (task, a, b)
        for task, a, b in zip(asked.structures, off.structured, mtp.structured, strict=True)
        if a is not None and b is not None
    ]
    return judge_structured(
        [task for task, *_ in both],
        off=[None if answer.late else answer.text for _, answer, _ in both],
        mtp=[None if answer.late else answer.text for *_, answer in both],
    )
