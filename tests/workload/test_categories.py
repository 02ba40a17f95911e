"""Prompts by category: reproducible, unique from their beginning on, of the asked size, as predictable as they say."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import defaultdict

import pytest
from clean_texts import CLEAN
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.workload.categories import (
    CHARACTERS,
    RETRIEVAL_FACTOR,
    Category,
    Entropy,
    Size,
    TextPrompt,
    write_prompt,
)
from pytest_specdec.workload.stable_random import Dice
from pytest_specdec.workload.tags import MOST_PROMPTS, tag_of, tags_in

KINDS = list(itertools.product(Category, Entropy))
kinds = st.sampled_from(KINDS)
indices = st.integers(0, 10**6)
seeds = st.integers(0, 2**40)


def words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]|\s+", text)


def looked_up(prompt: str, answer: str, n: int = 3) -> float:
    """Share of an answer's tokens that stood before after the same `n` tokens: what prompt look-up could guess."""
    history: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    sequence = words(prompt) + words(answer)
    start, hits = len(words(prompt)), 0
    for at in range(n, len(sequence)):
        before = tuple(sequence[at - n : at])
        hits += at >= start and sequence[at] in history[before]
        history[before].add(sequence[at])
    return hits / (len(sequence) - start)


class TestPrompts:
    @given(kinds, indices, seeds, st.booleans())
    def test_the_same_arguments_give_the_same_prompt(
        self,
        kind: tuple[Category, Entropy],
        index: int,
        seed: int,
        echo: bool,  # noqa: FBT001 - drawn
    ) -> None:
        category, entropy = kind
        one, other = (write_prompt(category, index, seed=seed, entropy=entropy, echo=echo) for _ in range(2))
        assert one == other

    def test_the_prompts_of_this_version_are_these(self) -> None:
        """Another prompt is another workload for all who send it; this number must then be changed knowingly."""
        digest = hashlib.sha256()
        for (category, entropy), size, index in itertools.product(KINDS, Size, range(3)):
            digest.update(write_prompt(category, index, entropy=entropy, size=size).text.encode())
        assert digest.hexdigest()[:12] == "338e775640b6"

    def test_no_two_prompts_begin_alike(self) -> None:
        beginnings = [
            write_prompt(category, index, seed=seed, entropy=entropy, size=size).text[:11]
            for (category, entropy), size, index, seed in itertools.product(KINDS, list(Size)[:2], range(40), (0, 1))
        ]
        assert len(set(beginnings)) == len(beginnings)
        # The first half of a tag, some three tokens, is already nearly unique.
        assert len({beginning[:5] for beginning in beginnings}) > 0.99 * len(beginnings)

    @pytest.mark.parametrize(("category", "entropy"), KINDS)
    def test_what_follows_the_tag_differs_too(self, category: Category, entropy: Entropy) -> None:
        texts = {write_prompt(category, index, entropy=entropy).text[12:] for index in range(200)}
        assert len(texts) == 200

    @pytest.mark.parametrize("size", Size)
    @pytest.mark.parametrize(("category", "entropy"), KINDS)
    def test_prompts_are_about_as_long_as_asked(self, category: Category, entropy: Entropy, size: Size) -> None:
        wanted = CHARACTERS[size] * (RETRIEVAL_FACTOR if category is Category.RETRIEVAL else 1)
        lengths = [len(write_prompt(category, index, entropy=entropy, size=size).text) for index in range(12)]
        assert 0.75 * sum(lengths) / 12 < wanted < 1.33 * sum(lengths) / 12 or size is Size.SHORT
        assert max(lengths) < wanted + 1100

    @given(kinds, st.integers(0, 99))
    def test_an_echo_is_asked_for_at_the_end_and_expected_at_the_beginning(
        self, kind: tuple[Category, Entropy], index: int
    ) -> None:
        silent, loud = (write_prompt(kind[0], index, entropy=kind[1], echo=echo) for echo in (False, True))
        assert loud.text.startswith(silent.text)
        assert f"[{loud.tag}]" in loud.text[len(silent.text) :]
        assert (loud.expected is None) == (silent.expected is None) == (kind[1] is Entropy.HIGH)
        if silent.expected is not None:
            assert loud.expected == f"[{loud.tag}]\n{silent.expected}"

    def test_the_tag_is_the_only_one_in_the_prompt(self) -> None:
        for category, entropy in KINDS:
            prompt = write_prompt(category, 5, entropy=entropy, size=Size.MEDIUM)
            assert [tag for tag, _ in tags_in(prompt.text)] == [prompt.tag]

    def test_a_negative_index_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="numbered from 0"):
            write_prompt(Category.CODE, -1)
        with pytest.raises(InvalidInputError, match="has no tag"):
            write_prompt(Category.CODE, MOST_PROMPTS)


class TestExpectedAnswers:
    """The right answer to a prompt of low entropy follows from the prompt."""

    def each(self, category: Category) -> list[tuple[TextPrompt, str]]:
        found = [write_prompt(category, i, size=size) for i in range(10) for size in (Size.SHORT, Size.MEDIUM)]
        return [(prompt, str(prompt.expected)) for prompt in found]

    def test_code_compiles_and_differs_by_the_name_only(self) -> None:
        for prompt, expected in self.each(Category.CODE):
            (name,) = set(re.findall(r"\w+_limit\b", expected))
            assert f"`{name}`" in prompt.text
            assert expected.replace(name, "limit") in prompt.text
            compile(expected.removeprefix("```python\n").removesuffix("```"), "module", "exec")

    def test_sums_are_right(self) -> None:
        for _, expected in self.each(Category.MATHS):
            for line in expected.splitlines():
                a, sign, b, _, result = line.split()
                assert int(result) == (int(a) + int(b) if sign == "+" else int(a) - int(b))

    def test_notes_keep_their_words(self) -> None:
        for prompt, expected in self.each(Category.CHAT):
            assert " ".join(line.removeprefix("- ") for line in expected.splitlines()) in prompt.text

    def test_json_has_the_table_s_rows(self) -> None:
        for prompt, expected in self.each(Category.JSON):
            rows = json.loads(expected)
            assert [" | ".join(str(value) for value in row.values()) for row in rows] == prompt.text.splitlines()[3:]

    @pytest.mark.parametrize("entropy", Entropy)
    @pytest.mark.parametrize("size", Size)
    def test_the_needle_stands_in_the_document_once(self, entropy: Entropy, size: Size) -> None:
        places = []
        for index in range(20):
            prompt = write_prompt(Category.RETRIEVAL, index, entropy=entropy, size=size)
            assert prompt.text.count(prompt.needle) == 1
            places.append(prompt.text.index(prompt.needle) / len(prompt.text))
            if prompt.expected is not None:
                assert prompt.needle in prompt.expected
                assert f"\n\n{prompt.expected}\n\n" in prompt.text
        assert min(places) < 0.3
        assert max(places) > 0.7

    @pytest.mark.parametrize(
        ("category", "least"),
        [
            (Category.CODE, 0.85),
            (Category.CHAT, 0.85),
            (Category.RETRIEVAL, 0.85),
            (Category.JSON, 0.6),
            (Category.MATHS, 0.45),
        ],
    )
    def test_most_of_it_can_be_looked_up(self, category: Category, least: float) -> None:
        for prompt, expected in self.each(category):
            assert looked_up(prompt.text, expected) > least

    def test_little_of_a_text_that_answers_nothing_can_be(self) -> None:
        prompt = write_prompt(Category.CHAT, 0, entropy=Entropy.HIGH, size=Size.MEDIUM)
        assert looked_up(prompt.text, CLEAN["English"]) < 0.2


class TestTags:
    @given(seeds, st.integers(0, MOST_PROMPTS - 1), st.integers(0, MOST_PROMPTS - 1))
    def test_a_tag_is_unique_and_is_found_in_a_text(self, seed: int, number: int, other: int) -> None:
        tag = tag_of(seed, number)
        assert (tag == tag_of(seed, other)) == (number == other)
        assert [found for found, _ in tags_in(f"see [{tag}], please")] == [tag]

    def test_tags_do_not_repeat(self) -> None:
        assert len({tag_of(3, number) for number in range(20_000)}) == 20_000

    @given(seeds, st.integers(0, MOST_PROMPTS - 1), st.integers(0, 8), st.sampled_from("ABCXYZ2389"))
    def test_a_miscopied_tag_is_hardly_ever_taken_for_one(self, seed: int, number: int, at: int, letter: str) -> None:
        tag = tag_of(seed, number)
        changed = tag[:at] + letter + tag[at + 1 :]
        others = [found for found, _ in tags_in(changed) if found != tag]
        # The two check characters let one in a thousand through.
        assert not others or at < 7

    def test_one_in_a_thousand_strings_of_that_form_is_a_tag(self) -> None:
        dice = Dice("strings")
        letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
        drawn = [
            "".join(dice.pick(letters) for _ in range(4)) + "-" + "".join(dice.pick(letters) for _ in range(4))
            for _ in range(20_000)
        ]
        assert sum(1 for text in drawn for _ in tags_in(text)) < 45


class TestDice:
    @given(st.integers(-100, 100), st.integers(0, 50), st.integers())
    def test_choices_stay_within_bounds_and_repeat_by_seed(self, low: int, span: int, seed: int) -> None:
        values = [Dice(seed).whole(low, low + span) for _ in range(2)]
        assert values[0] == values[1]
        assert low <= values[0] <= low + span

    def test_some_are_different_ones(self) -> None:
        chosen = Dice("x").some(range(10), 10)
        assert sorted(chosen) == list(range(10))
        assert chosen != sorted(chosen)
