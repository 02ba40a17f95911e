"""Tasks with computed answers: they are right, answers are read however they are formatted, and drops are found."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from studies import examples, one_of_each

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.outputs.task_accuracy import extract, judge_accuracy, solved
from pytest_specdec.outputs.tasks import CLOSING, Form, Task, make_tasks

TASKS = make_tasks(0)
RIGHT = [f"Answer: {task.answer}" for task in TASKS]
WRONG = "Answer: -1"


def task(answer: str, form: Form) -> Task:
    return Task(kind="test", prompt="", answer=answer, form=form)


class TestTasks:
    @given(st.integers(0, 10_000))
    def test_a_seed_gives_the_same_sixty_tasks_of_twelve_kinds(self, seed: int) -> None:
        tasks = make_tasks(seed)
        assert tasks == make_tasks(seed)
        assert tasks[:12] == make_tasks(seed, 12)
        assert set(Counter(one.kind for one in tasks).values()) == {5}

    def test_no_question_is_asked_twice(self) -> None:
        questions = [one.prompt.partition(". ")[2] for one in TASKS]
        assert len(set(questions)) == len(TASKS)
        assert all(one.prompt.endswith(CLOSING) for one in TASKS)

    def test_another_seed_gives_others(self) -> None:
        assert not {one.prompt for one in TASKS} & {one.prompt for one in make_tasks(1)}

    def test_answers_are_what_was_asked_for(self) -> None:
        for one in TASKS:
            question = one.prompt
            if one.kind == "arithmetic":
                left = question.partition("What is ")[2].partition("?")[0]
                product, _, summand = left.partition(" + ")
                a, b = map(int, product.split(" x "))
                assert int(one.answer) == a * b + int(summand)
            elif one.kind == "dates":
                words = question.split()
                start = date.fromisoformat(next(word.rstrip("?.") for word in words if word.count("-") == 2))
                days = int(words[words.index("days") - 1])
                assert one.answer == str(start + timedelta(days=days))
            elif one.kind == "sorting words":
                assert sorted(one.answer.split(", ")) == one.answer.split(", ")
            elif one.kind == "look-up":
                assert f" has room {one.answer};" in question

    def test_every_right_answer_solves_its_task_and_no_other_kind_s(self) -> None:
        assert all(solved(one, text) for one, text in zip(TASKS, RIGHT, strict=True))
        assert not any(solved(one, WRONG) for one in TASKS)
        assert not any(solved(one, "") for one in TASKS)


class TestReading:
    @pytest.mark.parametrize(
        "text",
        [
            "Answer: 4070",
            "96 x 40 = 3840, plus 230.\n\n**Answer:** 4070",
            "**Answer: 4,070**",
            "First guess. Answer: 12\nNo, I was wrong.\nFinal answer: 4 070.",
            "answer = `4070`",
            "The answer is: $4070$",
            "Answer: 3840 + 230 = 4070",
            "Answer: 4070 (3840 and 230)",
            "Answer: \\boxed{4{,}070}",
            "So we get \\boxed{4070}.",
            "#### 4070",
            "Answer:\n4070",
            "4070",
            "It is\n\n4070.0\n",
            "<think>Answer: 1?</think>\nAnswer: 4070",
            "Answer: 4070 \\text{ metres}",
            "ANSWER: 4070 km/h",
        ],
    )
    def test_a_number_is_read_in_every_dress(self, text: str) -> None:
        assert solved(task("4070", Form.NUMBER), text)

    @pytest.mark.parametrize("text", ["Answer: 4071", "Answer: -4070", "Answer: 40.70", "Answer: none", "", "Answer:"])
    def test_another_number_is_another(self, text: str) -> None:
        assert not solved(task("4070", Form.NUMBER), text)

    def test_signs_and_decimals(self) -> None:
        assert solved(task("-3.5", Form.NUMBER), "Answer: \u22123.5")
        assert solved(task("3.5", Form.NUMBER), "Answer: 3,5 pounds")
        assert solved(task("3500", Form.NUMBER), "Answer: 3,500 g")

    @pytest.mark.parametrize(
        "text",
        ["2035-02-07", "7 February 2035", "February 7, 2035", "Feb 7th, 2035", "the 7th of February 2035", "2035/2/7"],
    )
    def test_a_date_is_read_in_every_dress(self, text: str) -> None:
        assert solved(task("2035-02-07", Form.DATE), f"Answer: {text}.")
        assert not solved(task("2035-02-08", Form.DATE), f"Answer: {text}.")

    @pytest.mark.parametrize("text", ["2035-02-30", "30 Foo 2035", "tomorrow", "07.02.35"])
    def test_what_is_no_date_solves_nothing(self, text: str) -> None:
        assert not solved(task("2035-02-07", Form.DATE), f"Answer: {text}")

    @pytest.mark.parametrize(
        "text",
        [
            "Answer: amber, dragon, velvet",
            "Answer: [amber, dragon, velvet]",
            "Answer: `amber`, `dragon`, and `velvet`.",
            "Answer: Amber; Dragon; Velvet",
            "Answer: amber dragon velvet",
            "**Answer:**\n\n- amber\n- dragon\n- velvet",
            "Answer:\n1. amber\n2. dragon\n3. velvet\n",
        ],
    )
    def test_a_list_is_read_in_every_dress(self, text: str) -> None:
        assert solved(task("amber, dragon, velvet", Form.LIST), text)
        assert not solved(task("dragon, amber, velvet", Form.LIST), text)

    def test_a_word_is_read_without_its_dress(self) -> None:
        assert extract("x\nAnswer: **nretnal**") == "nretnal**"
        for text in ("Answer: nretnal", 'Answer: "Nretnal".', "The word backwards:\n\n`nretnal`"):
            assert solved(task("nretnal", Form.TEXT), text)

    @examples(30)
    @given(st.text(max_size=200))
    def test_any_text_can_be_read(self, text: str) -> None:
        for form, right in ((Form.NUMBER, "1"), (Form.TEXT, "x"), (Form.LIST, "x, y"), (Form.DATE, "2026-01-01")):
            solved(task(right, form), text)


class TestVerdict:
    def test_equal_answers_pass_and_the_smallest_visible_drop_is_stated(self) -> None:
        verdict = judge_accuracy(TASKS, RIGHT, RIGHT)
        assert verdict.outcome is Outcome.PASS
        assert 0.1 < verdict.numbers["smallest_visible"] < 0.2
        assert "unsolved tasks: 0 of 60 with MTP, 0 without" in verdict.reasons[0]

    def test_a_broken_engine_fails(self) -> None:
        verdict = judge_accuracy(TASKS, RIGHT, [WRONG] * 12 + RIGHT[12:])
        assert verdict.outcome is Outcome.FAILED
        assert verdict.numbers["wrong_mtp"] == pytest.approx(0.2)

    def test_improvements_never_fail(self) -> None:
        assert judge_accuracy(TASKS, [WRONG] * 25 + RIGHT[25:], RIGHT).outcome is not Outcome.FAILED

    def test_a_model_that_solves_nothing_has_nothing_to_lose(self) -> None:
        verdict = judge_accuracy(TASKS, [WRONG] * 60, [WRONG] * 60)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "100% even without MTP" in verdict.reasons[0]

    def test_few_tasks_prove_nothing(self) -> None:
        verdict = judge_accuracy(TASKS[:10], RIGHT[:10], RIGHT[:10])
        assert verdict.outcome is Outcome.INCONCLUSIVE

    def test_the_order_of_tasks_changes_nothing(self) -> None:
        rows = list(zip(TASKS, RIGHT, [WRONG] * 9 + RIGHT[9:], strict=True))
        before = judge_accuracy(*map(list, zip(*rows, strict=True)))
        random.Random(2).shuffle(rows)
        assert judge_accuracy(*map(list, zip(*rows, strict=True))) == before

    def test_answers_of_other_tasks_are_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="tasks 60, off 60, mtp 1"):
            judge_accuracy(TASKS, RIGHT, RIGHT[:1])

    @pytest.mark.parametrize("accuracy", one_of_each((0.95, 0.6)))
    def test_equal_engines_fail_no_more_often_than_promised(self, accuracy: float) -> None:
        trials, tasks = 2000, TASKS[:24]
        rng = np.random.default_rng(4)
        failed = 0
        for _ in range(trials):
            ours, theirs = (
                [RIGHT[i] if hit else WRONG for i, hit in enumerate(rng.random(24) < accuracy)] for _ in range(2)
            )
            failed += judge_accuracy(tasks, theirs, ours).outcome is Outcome.FAILED
        assert failed <= stats.binom.ppf(0.999, trials, 0.01)

    def test_a_fall_from_95_to_75_percent_is_found(self) -> None:
        rng = np.random.default_rng(5)
        failed = 0
        for _ in range(200):
            off, mtp = (
                [RIGHT[i] if hit else WRONG for i, hit in enumerate(rng.random(60) < share)] for share in (0.95, 0.75)
            )
            failed += judge_accuracy(TASKS, off, mtp).outcome is Outcome.FAILED
        assert failed > 0.6 * 200
