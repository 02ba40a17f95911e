"""Answers of two engines -> judgements."""

from __future__ import annotations

from pytest_specdec.measuring.asking import Answers, structures, tasks, text_prompts
from pytest_specdec.outputs.canaries import judge_canaries
from pytest_specdec.outputs.checks import Judgement, Outputs
from pytest_specdec.outputs.losslessness import judge_losslessness
from pytest_specdec.outputs.structured import judge_structured
from pytest_specdec.outputs.task_accuracy import judge_accuracy


def judge_answers(off: Answers, mtp: Answers) -> Outputs:
    """Judge MTP against Off, with Off asked twice as the control."""
    tags = [prompt.tag for prompt in text_prompts()]
    return Outputs(
        same_text=Judgement(judge_losslessness(off.texts, off.again, mtp.texts)),
        clean=Judgement(judge_canaries(mtp.texts, off.texts, tags)),
        solves_as_much=Judgement(
            judge_accuracy(tasks(), [answer.text for answer in off.tasks], [answer.text for answer in mtp.tasks])
        ),
        keeps_structure=Judgement(
            judge_structured(
                structures(), [answer.text for answer in off.structured], [answer.text for answer in mtp.structured]
            )
        ),
    )
