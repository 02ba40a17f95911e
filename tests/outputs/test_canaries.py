"""Canaries sing at what is broken, wherever it stands, and are silent at what only looks odd."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from answers import answer, plain
from clean_texts import CLEAN, LANGUAGES
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from studies import examples, one_of_each

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.outputs.answer import Answer, Token
from pytest_specdec.outputs.canaries import CANARIES, Case, Group, findings, judge_groups
from pytest_specdec.outputs.repetition import loop_in
from pytest_specdec.outputs.text_signs import non_text, switched_script
from pytest_specdec.outputs.verdict import OutputVerdict
from pytest_specdec.workload.tags import tag_of

PASS, FAILED, INCONCLUSIVE = Outcome.PASS, Outcome.FAILED, Outcome.INCONCLUSIVE
OWN, OTHER = tag_of(0, 1), tag_of(0, 2)
names = st.sampled_from(sorted(CLEAN))
slow = examples(40)


def seen(answer: Answer, control: Answer | None = None, tag: str = "") -> dict[str, str]:
    return {one.canary: one.quote for one in findings(Case(answer=answer, control=control or answer, tag=tag))}


def judge_canaries(candidate: Sequence[Answer], control: Sequence[Answer], tags: Sequence[str] = ()) -> OutputVerdict:
    return judge_groups([Group(candidate=candidate, control=control, tags=tags)])


class TestCleanTexts:
    @pytest.mark.parametrize("name", sorted(CLEAN))
    def test_a_clean_text_raises_no_alarm(self, name: str) -> None:
        assert not seen(plain(CLEAN[name]), tag=OWN)

    @slow
    @given(names, st.floats(0, 1))
    def test_neither_does_one_that_was_cut_anywhere(self, name: str, share: float) -> None:
        text = CLEAN[name][: round(share * len(CLEAN[name]))]
        assert not seen(plain(text, finish="length"), plain(text, finish="length"), tag=OWN)

    @slow
    @given(st.sampled_from(sorted(LANGUAGES)), st.sampled_from(sorted(set(CLEAN) - set(LANGUAGES))))
    def test_neither_does_prose_with_a_code_block_or_a_table_in_it(self, language: str, form: str) -> None:
        text = f"{LANGUAGES[language]}\n\n{CLEAN[form]}\n\n{LANGUAGES[language]}"
        assert loop_in(text) is None
        assert non_text(text) is None


UNITS = [
    "I think that I should check this again. ",
    "the ",
    "河流",
    "\n\n## Step\nCall the function.\n",
    "Wait, let me reconsider the question from the start, since the first answer may have been wrong. " * 2,
    "</tool_call><tool_call>",
]


class TestLoops:
    @slow
    @given(names, st.sampled_from(UNITS), st.floats(0, 1), st.integers(0, 60))
    def test_an_answer_that_ends_in_a_loop_is_found(self, name: str, unit: str, share: float, partly: int) -> None:
        start = CLEAN[name][: round(share * len(CLEAN[name]))]
        loop = unit * max(5, 1 + 160 // len(unit))
        found = loop_in(start + loop + unit[:partly])
        assert found is not None
        assert "times" in found

    @slow
    @given(names, names, st.sampled_from(UNITS))
    def test_so_is_a_longer_one_that_the_model_left(self, before: str, after: str, unit: str) -> None:
        loop = unit * max(9, 1 + 400 // len(unit))
        assert loop_in(f"{CLEAN[before]} {loop} {CLEAN[after]}") is not None

    @given(names, st.sampled_from("!?,&$é\uff01"), st.integers(24, 60))
    def test_one_sign_over_and_over_is_found_early(self, name: str, sign: str, times: int) -> None:
        # Token 0 of many vocabularies is "!", and broken logits choose it (sglang#14063).
        text = CLEAN[name][:200] + sign * times
        assert (loop_in(text) is not None) == (not sign.isalpha())

    def test_a_loop_of_a_long_passage_is_found_by_its_words(self) -> None:
        rng = random.Random(1)
        words = [f"word{i}" for i in range(300)]
        passage = " ".join(rng.choice(words) for _ in range(200))
        # A changing number keeps the passages from being the same.
        found = loop_in("".join(f"Attempt {i}: {passage}\n" for i in range(6)))
        assert found is not None
        assert "8 words stood there before, 6 times" in found

    def test_zeros_that_never_end_are_found_and_a_matrix_of_zeros_is_not(self) -> None:
        assert loop_in("total = " + "0" * 500) is not None
        row = "[" + ", ".join(["0"] * 20) + "],\n"
        assert loop_in("grid = [\n" + row * 20 + "]\nprint(grid)\n") is None

    def test_an_empty_text_has_no_loop(self) -> None:
        assert loop_in("") is None


def mangled(text: str) -> str:
    """UTF-8 read as Windows-1252, the way that browsers do: the five bytes that have no meaning stay what they are."""
    parts = (bytes([byte]) for byte in text.encode())
    return "".join(part.decode("cp1252" if part not in UNDEFINED else "latin-1") for part in parts)


UNDEFINED = {b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d"}


class TestNonText:
    @slow
    @given(names, st.floats(0, 1), st.sampled_from("\ufffd\x00\x01\x08\x1b\x7f\x85\x9d"))
    def test_a_character_that_nobody_writes_is_found_anywhere(self, name: str, share: float, sign: str) -> None:
        text, at = CLEAN[name], round(share * len(CLEAN[name]))
        found = non_text(text[:at] + sign + text[at:])
        assert found is not None
        assert repr(sign)[1:-1] in found

    @given(names, st.integers(1, 3))
    def test_a_character_that_was_cut_in_the_middle_is_not(self, name: str, parts: int) -> None:
        text = CLEAN[name] + "\ufffd" * parts
        assert non_text(text, cut=True) is None
        assert non_text(text) is not None

    @pytest.mark.parametrize("language", ["German", "French", "Portuguese", "Russian", "Chinese", "Japanese", "Greek"])
    def test_text_decoded_wrongly_is_found(self, language: str) -> None:
        assert non_text(mangled(LANGUAGES[language])) is not None

    @pytest.mark.parametrize("text", ["Itâ€™s late", "GrÃ¶ÃŸe", "ðŸ\u02dc€ fine", "ï»¿first", "cafÃ© au lait"])
    def test_a_single_such_character_is_enough(self, text: str) -> None:
        found = non_text(text)
        assert found is not None
        assert "decoded wrongly" in found

    @pytest.mark.parametrize("text", ["an area of 45 Å² and a volume of 9 Å³", "„MENÜ“ und „CAFÉ“", "NESTLÉ® — NÃO…"])
    def test_units_capitals_and_quotes_are_text(self, text: str) -> None:
        assert non_text(text) is None

    @pytest.mark.parametrize("encoding", ["cp1252", "cp437", "macroman", "latin-1"])
    def test_other_wrong_encodings_are_found(self, encoding: str) -> None:
        found = non_text("Un café à Liège.".encode().decode(encoding))
        assert found is not None

    def test_many_unassigned_characters_are_found_and_an_icon_is_not(self) -> None:
        assert non_text("Press \ue000 to go on, or \uf8ff to stop.") is None
        assert non_text("ab \ue123\ue124\ue125 cd") is not None
        assert non_text("new emoji: \U0001fadf\U0001fae9") is None


class TestScripts:
    @slow
    @given(st.sampled_from(sorted(LANGUAGES)), st.sampled_from(sorted(LANGUAGES)))
    def test_another_language_is_found_and_the_same_is_not(self, ours: str, theirs: str) -> None:
        # Of these the function words are not known, and the letters are the same.
        latin = {"Turkish", "Vietnamese", "Icelandic"}
        known = {"English", "German", "French", "Spanish", "Portuguese", "Italian"} | latin
        found = switched_script(LANGUAGES[ours], LANGUAGES[theirs])
        if ours == theirs:
            assert found is None
        elif not ({ours, theirs} <= known and {ours, theirs} & latin):
            assert found is not None

    def test_an_answer_that_goes_over_in_the_middle_is_found(self) -> None:
        text = LANGUAGES["English"] + LANGUAGES["Chinese"]
        found = switched_script(text, LANGUAGES["English"])
        assert found is not None
        assert "letters are han, 0% of the control's" in found

    def test_a_few_words_of_another_language_are_none_of_its_business(self) -> None:
        text = LANGUAGES["English"] + " The Greek word is ψυχή, the Chinese one 精神."
        assert switched_script(text, LANGUAGES["English"]) is None

    def test_code_has_no_language(self) -> None:
        assert switched_script(CLEAN["python"], LANGUAGES["Italian"]) is None


class TestSingleAnswers:
    def test_bytes_that_are_no_utf_8_are_found_in_the_response_and_in_the_tokens(self) -> None:
        assert "broken UTF-8" in seen(Answer(text="caf\ufffd", valid_utf8=False))
        parts = (Token("x", raw=b"x"), Token("\ufffd", raw=b"\xe2\x82"), Token("y", raw=b"y"))
        assert "broken UTF-8" in seen(Answer(text="x\ufffdy", tokens=parts))
        whole = (Token("\ufffd", raw=b"\xe2\x82"), Token("\ufffd", raw=b"\xac"))
        assert not seen(Answer(text="€", tokens=whole))
        assert not seen(Answer(text="x", tokens=parts[:2], finish_reason="length"))
        assert "broken UTF-8" in seen(Answer(text="x", tokens=parts[:2]))

    def test_running_to_the_limit_counts_where_the_control_stopped_by_itself(self) -> None:
        long, short = plain("and so on", finish="length"), plain("done")
        assert set(seen(long, short)) == {"ran on"}
        assert not seen(long, long)
        assert not seen(short, long)

    def test_another_request_s_tag_is_found_and_the_own_is_not(self) -> None:
        assert not seen(plain(f"[{OWN}] Fine."), tag=OWN)
        found = seen(plain(f"[{OWN}] Fine. [{OTHER}] Dear Ada"), tag=OWN)
        assert set(found) == {"foreign text"}
        assert f"tag {OTHER} in the answer to {OWN}" in found["foreign text"]
        assert not seen(plain("part 7KQ2-M4XE of ABCD-EFGH"), tag=OWN)

    def test_a_lost_tag_counts_where_the_control_has_it(self) -> None:
        assert set(seen(plain("Fine."), plain(f"[{OWN}] Fine."), tag=OWN)) == {"lost tag"}
        assert not seen(plain("Fine."), plain("Fine."), tag=OWN)

    def test_nothing_counts_where_the_control_said_something(self) -> None:
        assert set(seen(plain(" \n"), plain("yes"))) == {"empty answer"}
        assert not seen(plain(""), plain(""))
        assert (
            "after 4 characters of reasoning" in seen(Answer(text="", reasoning="hmmm"), plain("yes"))["empty answer"]
        )


TEXTS = ([plain(CLEAN[name][:400]) for name in sorted(CLEAN)] * 2)[:60]


class TestVerdict:
    def test_the_same_answers_pass(self) -> None:
        verdict = judge_canaries(TEXTS, TEXTS, [tag_of(0, i) for i in range(len(TEXTS))])
        assert verdict.outcome is PASS
        assert set(CANARIES) < set(verdict.numbers)

    def test_the_order_changes_nothing(self) -> None:
        candidate = [*TEXTS[:-8], *[plain("no " * 80)] * 8]
        rows = list(zip(candidate, TEXTS, strict=True))
        random.Random(4).shuffle(rows)
        before = judge_canaries(candidate, TEXTS)
        after = judge_canaries([a for a, _ in rows], [b for _, b in rows])
        assert (before.outcome, before.numbers) == (after.outcome, after.numbers)
        assert before.outcome is FAILED

    def test_some_loops_are_not_passed_over_and_seven_fail(self) -> None:
        loop = plain("I should check this again. " * 20)
        for count, outcome in ((3, INCONCLUSIVE), (7, FAILED)):
            verdict = judge_canaries([loop] * count + TEXTS[count:], TEXTS)
            assert verdict.outcome is outcome
            assert "20 times 'I should check this again. '" in verdict.reasons[0]

    def test_one_answer_that_is_no_text_is_not_passed_over_and_three_fail(self) -> None:
        for count, outcome in ((1, INCONCLUSIVE), (3, FAILED)):
            verdict = judge_canaries([plain("a \ufffd b")] * count + TEXTS[count:], TEXTS)
            assert verdict.outcome is outcome

    def test_a_control_that_loops_as_often_excuses(self) -> None:
        loop = plain("I should check this again. " * 20)
        control = [loop] * 4 + TEXTS[4:]
        assert judge_canaries(TEXTS[:-4] + [loop] * 4, control).outcome is PASS
        assert judge_canaries(control, control).outcome is PASS

    def test_one_answer_with_another_request_s_text_fails(self) -> None:
        tags = [tag_of(0, i) for i in range(60)]
        control = [plain(f"[{tag}] The river keeps its own time.") for tag in tags]
        leaky = [*control[:30], plain(f"[{tags[30]}] The river. [{tags[7]}] Dear Ada"), *control[31:]]
        verdict = judge_canaries(leaky, control, tags)
        assert verdict.outcome is FAILED
        assert verdict.reasons[0].startswith("foreign text: 1 of 60 answers with MTP, 0 without")
        assert "prompt 30" in verdict.reasons[0]

    def test_fewer_findings_than_the_control_are_no_reason_to_complain(self) -> None:
        bad = [plain("no " * 80)] * 10 + TEXTS[10:]
        assert judge_canaries(TEXTS, bad).outcome is PASS

    @pytest.mark.parametrize("prompts", [0, 1, 5])
    def test_few_answers_prove_nothing(self, prompts: int) -> None:
        assert judge_canaries(TEXTS[:prompts], TEXTS[:prompts]).outcome is INCONCLUSIVE

    def test_answers_or_tags_of_other_prompts_are_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="candidate 2, control 1"):
            judge_canaries(TEXTS[:2], TEXTS[:1])
        with pytest.raises(InvalidInputError, match="tags 1"):
            judge_canaries(TEXTS[:2], TEXTS[:2], ["A"])

    @pytest.mark.parametrize("rate", one_of_each((0.1, 0.02)))
    def test_equal_engines_fail_no_more_often_than_promised(self, rate: float) -> None:
        trials, prompts = 2000, 25
        healthy, spoilt = answer(["a", "b"]), plain("the end", finish="length")
        rng = np.random.default_rng(8)
        failed = 0
        for _ in range(trials):
            ours, theirs = ([spoilt if hit else healthy for hit in rng.random(prompts) < rate] for _ in range(2))
            failed += judge_canaries(ours, theirs).outcome is FAILED
        assert failed <= stats.binom.ppf(0.999, trials, 0.01)

    def test_a_fifth_of_looping_answers_is_found(self) -> None:
        rng = np.random.default_rng(9)
        loop, found = plain("I should check this again. " * 8), 0
        for _ in range(50):
            ours = [loop if hit else text for hit, text in zip(rng.random(60) < 0.2, [plain("fine")] * 60, strict=True)]
            found += judge_canaries(ours, [plain("fine")] * 60).outcome is FAILED
        assert found > 0.8 * 50
