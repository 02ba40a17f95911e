"""One answer against another: where they part, and whether rounding can explain it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from answers import LIKELY, answer, plain, token
from clean_texts import CLEAN
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.errors import EngineError
from pytest_specdec.outputs.answer import NEAR_TIE_NATS, Answer, Fork, Token, divergence, read_answer

words = st.lists(st.sampled_from(["a", "b", "c", " d", "é", "\n"]), max_size=12)


class TestDivergence:
    @given(st.sampled_from(sorted(CLEAN)))
    def test_a_text_never_diverges_from_itself(self, name: str) -> None:
        text = CLEAN[name]
        for one in (plain(text), answer(text.split(" "))):
            found = divergence(one, one)
            assert (found.kind, found.prefix_ratio, found.position, found.quote) == (Fork.NONE, 1.0, None, "")

    @given(words, words)
    def test_the_ratio_is_a_fraction_and_the_same_from_both_sides(self, ours: list[str], theirs: list[str]) -> None:
        for make in (answer, lambda parts: plain("".join(parts))):
            found, back = divergence(make(ours), make(theirs)), divergence(make(theirs), make(ours))
            assert 0 <= found.prefix_ratio <= 1
            assert (found.prefix_ratio, found.position) == (back.prefix_ratio, back.position)
            assert (found.kind is Fork.NONE) == (found.prefix_ratio == 1) == (found.position is None)

    @given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30), st.data())
    def test_the_first_changed_token_is_found(self, parts: list[str], data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(parts) - 1))
        changed = [*parts[:at], parts[at] + "'", *data.draw(st.lists(st.sampled_from("xyz"), max_size=9))]
        found = divergence(answer(parts), answer(changed))
        assert found.position == at
        assert found.unit == "tokens"
        assert found.prefix_ratio == pytest.approx(at / max(len(parts), len(changed)))

    @given(st.floats(-8.0, LIKELY))
    def test_a_listed_token_is_judged_by_its_own_distance(self, runner_up: float) -> None:
        found = divergence(answer(["x", "y"], runner_up=runner_up), answer(["x", "y'"]))
        assert found.gap_nats == pytest.approx(LIKELY - runner_up)
        assert found.kind is (Fork.NEAR_TIE if LIKELY - runner_up <= NEAR_TIE_NATS else Fork.HARD)
        assert found.quote == "'y' became \"y'\""

    def test_a_third_choice_far_behind_is_hard_though_the_first_two_are_close(self) -> None:
        found = divergence(answer(["x"], runner_up=-0.11), answer(["x?"]))
        assert found.kind is Fork.HARD
        assert found.gap_nats == pytest.approx(8.9)

    def test_a_token_that_is_not_listed_is_hard_where_the_list_reaches_far_enough(self) -> None:
        far = Answer(text="x", tokens=(token("x", ("y", -0.2), ("z", -3.0)),))
        near = Answer(text="x", tokens=(token("x", ("y", -0.2), ("z", -0.3)),))
        assert divergence(far, answer(["q"])).kind is Fork.HARD
        assert divergence(near, answer(["q"])).kind is Fork.UNKNOWN

    def test_without_log_probabilities_the_kind_is_unknown(self) -> None:
        bare = Answer(text="xy", tokens=(Token("x"), Token("y")))
        assert divergence(bare, answer(["x", "z"])).kind is Fork.UNKNOWN
        found = divergence(plain("the river"), plain("the rover"))
        assert (found.kind, found.unit, found.position) == (Fork.UNKNOWN, "characters", 5)
        assert found.prefix_ratio == pytest.approx(5 / 9)

    @pytest.mark.parametrize("end", ["<|im_end|>", "</s>", "<\uff5cend▁of▁sentence\uff5c>", ""])
    def test_an_answer_that_ends_early_is_judged_by_how_likely_the_end_was(self, end: str) -> None:
        for logprob, kind in ((-0.2, Fork.NEAR_TIE), (-4.0, Fork.HARD)):
            longer = Answer(text="xy", tokens=(token("x"), token("y", (end, logprob), ("z", -9.0))))
            shorter = answer(["x"])
            # The longer one knows, whichever of the two it is: the end itself has no entry.
            assert divergence(longer, shorter).kind is kind
            assert divergence(shorter, longer).kind is kind

    def test_an_answer_that_was_cut_shorter_tells_nothing(self) -> None:
        assert divergence(answer(["x", "y"]), answer(["x"], finish="length")).kind is Fork.UNKNOWN

    def test_parts_of_characters_are_compared_by_their_bytes(self) -> None:
        one, other = (Answer(text="\ufffd", tokens=(Token("\ufffd", raw=raw),)) for raw in (b"\xe2", b"\xf0"))
        assert divergence(one, one).kind is Fork.NONE
        assert divergence(one, other).position == 0

    def test_reasoning_is_a_part_of_what_is_compared(self) -> None:
        one, other = Answer(text="4", reasoning="2+2"), Answer(text="4", reasoning="3+1")
        assert divergence(one, other).position == 0


def completion(message: dict[str, Any], **choice: Any) -> bytes:
    return json.dumps({"choices": [{"message": message, **choice}], "usage": {"completion_tokens": 7}}).encode()


class TestReading:
    def test_a_completion_with_log_probabilities_becomes_an_answer(self) -> None:
        top = [
            {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]},
            {"token": "Yo", "logprob": -2.5, "bytes": None},
        ]
        content = [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": top}]
        body = completion(
            {"role": "assistant", "content": "Hi", "tool_calls": []},
            finish_reason="length",
            logprobs={"content": content},
        )
        found = read_answer(body)
        assert (found.text, found.finish_reason, found.completion_tokens, found.cut) == ("Hi", "length", 7, True)
        (piece,) = found.tokens
        assert (piece.text, piece.logprob, piece.raw) == ("Hi", -0.1, b"Hi")
        assert [(option.text, option.raw) for option in piece.top] == [("Hi", b"Hi"), ("Yo", None)]

    @pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
    def test_thoughts_are_kept_apart_by_either_name(self, field: str) -> None:
        found = read_answer(completion({"content": "4", field: "two and two"}, finish_reason="stop", logprobs=None))
        assert (found.text, found.reasoning, found.tokens) == ("4", "two and two", ())

    def test_a_null_content_is_an_empty_answer(self) -> None:
        assert read_answer(completion({"content": None}, finish_reason="stop")).text == ""

    def test_bytes_that_are_no_utf_8_are_noted(self) -> None:
        body = completion({"content": "MARK"}, finish_reason="stop").replace(b"MARK", b"caf\xe9 \xff")
        found = read_answer(body)
        assert (found.valid_utf8, found.text) == (False, "caf\ufffd \ufffd")
        assert read_answer(completion({"content": "café"})).valid_utf8

    def test_half_a_surrogate_pair_is_no_text(self) -> None:
        body = b'{"choices": [{"message": {"content": "ab\\ud83d"}, "finish_reason": "stop"}]}'
        found = read_answer(body)
        assert (found.valid_utf8, found.text) == (False, "ab?")

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"choices": []}', b'{"error": "full"}', b"[" * 100_000])
    def test_what_is_no_completion_is_the_engine_s_trouble(self, body: bytes) -> None:
        with pytest.raises(EngineError, match="an answer"):
            read_answer(body)
