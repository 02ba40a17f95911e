"""What engines are asked: turn by turn, at length, and with patience; and what is judged of it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from answers import plain
from spoken import Spoken, judged, off, questions, said

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import EngineError
from pytest_specdec.load.response import Answer as Received
from pytest_specdec.measure.interview import MOST_LATE
from pytest_specdec.measure.judge_answers import judge_answers
from pytest_specdec.outputs.answer import Answer
from pytest_specdec.outputs.canaries import Group, judge_groups
from pytest_specdec.outputs.questions import CONVERSATIONS, LONG_TEXTS, TASKS, TEXTS, TURNS, make_questions
from pytest_specdec.simulator.faults.catalogue import find_fault
from pytest_specdec.simulator.faults.fault import HEALTHY
from pytest_specdec.simulator.text import count_tokens
from pytest_specdec.workload.tags import tag_of

PASS, FAILED, INCONCLUSIVE = Outcome.PASS, Outcome.FAILED, Outcome.INCONCLUSIVE
OWN, EARLIER, OTHER = (tag_of(0, number) for number in range(3))


class Recorder(Spoken):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(HEALTHY, 3)
        self.asked: list[list[dict[str, str]]] = []

    async def fetch(self, body: bytes) -> Received:
        self.asked.append(msgspec.json.decode(body)["messages"])
        return await super().fetch(body)


class Broken(Spoken):
    """An engine that dies after so many questions."""

    left = 250

    async def fetch(self, body: bytes) -> Received:
        self.left -= 1
        return Received(error="HTTP 500: dead") if self.left < 0 else await super().fetch(body)


class TestQuestions:
    def test_they_are_always_the_same_and_no_tag_comes_twice(self) -> None:
        asked = make_questions(3)
        assert (len(asked.texts), len(asked.tasks), len(asked.structures), len(asked.long)) == (
            TEXTS, TASKS, TASKS, LONG_TEXTS,
        )  # fmt: skip
        assert [len(turns) for turns in asked.conversations] == [TURNS] * CONVERSATIONS
        prompts = [*asked.texts, *asked.long, *(turn for turns in asked.conversations for turn in turns)]
        assert len({prompt.tag for prompt in prompts}) == len(prompts)
        assert make_questions(3) is asked
        assert make_questions(4).texts != asked.texts

    @pytest.mark.parametrize("seed", range(3))
    def test_long_ones_are_long_by_any_tokenizer(self, seed: int) -> None:
        # No tokenizer makes fewer than a token of five characters of such text.
        assert min(len(prompt.text) for prompt in make_questions(seed).long) > 5 * 4096
        assert min(count_tokens(prompt.text) for prompt in make_questions(seed).long) >= 4096


class TestConversations:
    def test_earlier_answers_go_back_in(self) -> None:
        engine = Recorder()
        answers = said(engine, 3)
        talks = [messages for messages in engine.asked if len(messages) == 2 * TURNS - 1]
        assert len(talks) == CONVERSATIONS
        for talk in talks:
            first = talk[0]["content"]
            number = next(n for n, turns in enumerate(questions(0).conversations) if turns[0].text == first)
            turns, answered = questions(0).conversations[number], answers.conversations[number]
            assert [message["content"] for message in talk[::2]] == [turn.text for turn in turns]
            assert [message["content"] for message in talk[1::2]] == [answer.text for answer in answered[:-1]]
        assert [message["role"] for message in talks[0]] == ["user", "assistant"] * (TURNS - 1) + ["user"]

    def test_a_fault_of_later_turns_is_named_with_where_it_shows(self) -> None:
        clean = judged(find_fault("later-turns-garbled")).clean.verdict
        assert clean.outcome is FAILED
        assert clean.reasons[0].startswith("conversations: repetition loop: 30 of 40 answers with MTP, 0 without")

    def test_a_tag_of_an_earlier_turn_is_no_other_request_s(self) -> None:
        def judge(earlier: frozenset[str]) -> Outcome:
            answers = [plain(f"[{OWN}] as I said under {EARLIER}")] * 40
            group = Group(candidate=answers, control=answers, tags=[OWN] * 40, earlier=[earlier] * 40)
            return judge_groups([group]).outcome

        assert judge(frozenset({EARLIER})) is PASS
        assert judge(frozenset()) is FAILED


class TestLongContexts:
    def test_a_fault_of_long_contexts_is_named(self) -> None:
        clean = judged(find_fault("loops-in-long-context")).clean.verdict
        assert clean.outcome is FAILED
        assert "long contexts: repetition loop: " in clean.reasons[0]
        assert clean.numbers["repetition loop"] == 0, "the short texts do not have it"

    def test_an_engine_without_room_for_them_is_judged_by_the_rest_and_that_is_said(self) -> None:
        theirs, ours = (said(Spoken(HEALTHY, mtp, room=4096), mtp) for mtp in (0, 3))
        assert (theirs.long, len(theirs.texts)) == ((), TEXTS)
        clean = judge_answers(theirs, ours, questions(0)).clean.verdict
        assert clean.outcome is PASS
        assert any("long contexts were not tested in full: a question could not be" in r for r in clean.reasons)

    def test_a_conversation_ends_where_there_is_no_more_room(self) -> None:
        answers = said(Spoken(HEALTHY, 3, room=1200), 3)
        assert 0 < min(map(len, answers.conversations)) < TURNS
        assert answers.refused.startswith("a question could not be asked: HTTP 400")

    def test_what_mtp_alone_refuses_is_suspect(self) -> None:
        clean = judge_answers(off(0), said(Spoken(HEALTHY, 3, room=4096), 3), questions(0)).clean.verdict
        assert clean.outcome is INCONCLUSIVE
        assert clean.reasons[0].startswith("MTP refuses what Off answers: ")


class TestPatience:
    def test_an_answer_that_never_comes_is_a_failed_one_and_few_are_waited_for(self) -> None:
        answers = said(Spoken(find_fault("structured-stuck"), 3), 3)
        assert [answer for answer in answers.structured if answer] == [_late()] * MOST_LATE
        assert answers.structured.count(None) == TASKS - MOST_LATE
        shaped = judge_answers(off(0), answers, questions(0)).keeps_structure.verdict
        assert shaped.outcome is FAILED
        assert shaped.reasons[0].startswith("no answer in time, or invalid JSON: 8 of 8 with MTP, 0 without")
        assert "8 answers did not come in time with MTP, 0 without" in shaped.reasons
        assert (shaped.numbers["late_mtp"], shaped.numbers["late_off"]) == (MOST_LATE, 0)

    def test_where_off_hangs_as_well_speculation_is_not_to_blame(self) -> None:
        hung = replace(off(0), structured=(*[_late()] * MOST_LATE, *[None] * (TASKS - MOST_LATE)))
        ours = said(Spoken(find_fault("structured-stuck"), 3), 3)
        assert judge_answers(hung, ours, questions(0)).keeps_structure.verdict.outcome is INCONCLUSIVE

    def test_an_engine_that_dies_is_engine_trouble(self) -> None:
        with pytest.raises(EngineError, match="a question could not be asked: HTTP 500: dead"):
            said(Broken(HEALTHY, 3), 3)


class TestAnothersText:
    def test_one_is_enough_however_often_off_shows_it(self) -> None:
        right, wrong = plain(f"[{OWN}] rivers"), plain(f"[{OWN}] rivers, and {OTHER}")
        for control in (0, 1, 5):
            verdict = judge_groups(
                [
                    Group(
                        candidate=[wrong, *[right] * 59],
                        control=[wrong] * control + [right] * (60 - control),
                        tags=[OWN] * 60,
                    )
                ]
            )
            assert verdict.outcome is FAILED
            assert verdict.reasons[0].startswith(f"foreign text: 1 of 60 answers with MTP, {control} without")

    def test_off_alone_showing_it_is_not_mtp_s_failure(self) -> None:
        right, wrong = plain(f"[{OWN}] rivers"), plain(f"[{OWN}] rivers, and {OTHER}")
        group = Group(candidate=[right] * 60, control=[wrong, *[right] * 59], tags=[OWN] * 60)
        assert judge_groups([group]).outcome is PASS


class TestNonText:
    def test_replacements_of_our_own_decoder_are_told_as_broken_bytes(self) -> None:
        bad = Answer(text="caf\ufffd au lait", valid_utf8=False)
        good = plain("café au lait")
        verdict = judge_groups([Group(candidate=[bad] * 9 + [good] * 51, control=[good] * 60)])
        assert verdict.reasons[0].startswith("broken UTF-8: 9 of 60")
        assert verdict.numbers["no text"] == 0

    def test_more_replacements_at_the_end_than_a_character_has_bytes_are_no_cut_character(self) -> None:
        cut = Answer(text="rivers" + "\ufffd" * 9, finish_reason="length")
        verdict = judge_groups([Group(candidate=[cut] * 9 + [plain("rivers")] * 51, control=[plain("rivers")] * 60)])
        assert verdict.reasons[0].startswith("no text: 9 of 60")


def _late() -> Answer:
    return Answer(text="", finish_reason="", late=True)
