"""Files of prompts: each shape gives its requests unchanged, and what cannot be read says where and what to do."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_specdec.errors import BrokenFileError, InvalidInputError
from pytest_specdec.workload.prompt_file import SHAPES, FilePrompt, Message, PromptFile, load_prompts

DATA = Path(__file__).parent.parent / "data" / "prompt_files"

# Files are rewritten by every example of a property; the folder may stay.
same_folder = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LAYOUTS: list[dict[str, Any]] = [{}, {"ensure_ascii": False}, {"indent": 0}, {"indent": 3, "ensure_ascii": False}]
texts = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


def written(folder: Path, content: str | bytes, name: str = "prompts.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def asked(file: PromptFile) -> list[list[tuple[str, str]]]:
    return [[(message.role, message.content) for message in prompt.messages] for prompt in file.prompts]


def user(*contents: str) -> list[list[tuple[str, str]]]:
    return [[("user", content)] for content in contents]


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(BrokenFileError) as caught:
        load_prompts(written(folder, content))
    message = str(caught.value)
    assert str(folder) in message
    return message.replace(str(folder / "prompts.jsonl"), "FILE")


class TestShapes:
    def test_sharegpt_sends_the_opening_and_skips_what_the_model_opens(self) -> None:
        file = load_prompts(DATA / "sharegpt.json")
        assert (file.name, file.shape, file.skipped) == ("sharegpt", "conversations", 2)
        assert asked(file) == [
            [("user", "Name three uses for a broken umbrella.")],
            [("system", "Answer in one line."), ("user", "What does a gauge count that a counter does not?")],
            [("user", "Übersetze „Morgenlicht“ ins Englische. 🌅")],
        ]

    def test_a_line_number_is_that_of_the_row_in_an_indented_array_too(self) -> None:
        path = DATA / "sharegpt.json"
        source = path.read_text(encoding="utf-8").splitlines()
        for prompt in load_prompts(path).prompts:
            assert source[prompt.line - 1] == "  {"
            assert '"id"' in source[prompt.line]

    @pytest.mark.parametrize("name", ["spec_bench", "mt_bench"])
    def test_turns_send_the_first_and_keep_the_category(self, name: str) -> None:
        path = DATA / f"{name}.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        file = load_prompts(path)
        assert file.shape == "turns"
        assert asked(file) == user(*(row["turns"][0] for row in rows))
        assert [prompt.category for prompt in file.prompts] == [row["category"] for row in rows]
        assert [prompt.line for prompt in file.prompts] == list(range(1, len(rows) + 1))

    def test_speed_bench_as_prepared_sends_the_first_of_questions_in_a_row(self) -> None:
        file = load_prompts(DATA / "speed_bench.jsonl")
        assert file.shape == "messages"
        assert asked(file) == user(
            "Write a function that counts vowels.", "Document: The ferry leaves at nine.\n\nWhen does the ferry leave?"
        )
        assert [prompt.category for prompt in file.prompts] == ["coding", "rag"]

    def test_speed_bench_as_published_lacks_prompts_and_is_refused(self) -> None:
        with pytest.raises(BrokenFileError, match=r"line 2: this is SPEED-Bench's placeholder.*prepare\.py"):
            load_prompts(DATA / "speed_bench_published.jsonl")

    def test_a_chat_is_sent_up_to_its_open_question(self) -> None:
        file = load_prompts(DATA / "openai_chat.jsonl")
        assert asked(file) == [
            [("system", "You are terse."), ("user", "What is a verify step?")],
            [("user", "Name a river."), ("assistant", "The Elbe."), ("user", "Where does it end?")],
            [("user", "Say it with fewer words: due to the fact that.")],
        ]
        assert [prompt.output_tokens for prompt in file.prompts] == [64, 32, None]

    def test_vllm_custom_rows_may_say_how_much_to_ask_for(self) -> None:
        file = load_prompts(DATA / "vllm_custom.jsonl")
        assert file.shape == "prompt"
        assert [prompt.output_tokens for prompt in file.prompts] == [256, 128, None]

    def test_texts_are_sent_as_they_stand(self) -> None:
        file = load_prompts(DATA / "text.jsonl")
        assert asked(file)[1] == [("user", "  Leading spaces and a trailing newline stay.\n")]

    def test_every_shape_has_a_sample(self) -> None:
        readable = [path for path in DATA.glob("*.json*") if path.stem != "speed_bench_published"]
        assert {load_prompts(path).shape for path in readable} == set(SHAPES)

    def test_messages_serialise_as_a_request_has_them(self) -> None:
        prompt = load_prompts(DATA / "text.jsonl").prompts[0]
        assert json.loads(msgspec.json.encode(prompt.messages)) == [
            {"role": "user", "content": "Explain a control variate with one example."}
        ]


class TestTurns:
    @pytest.mark.parametrize(
        ("roles", "sent"),
        [
            ("u", "u"),
            ("su", "su"),
            ("du", "du"),
            ("uu", "u"),
            ("uau", "uau"),
            ("uauu", "uau"),
            ("uaua", "uau"),
            ("sua", "su"),
            ("suaua", "suau"),
            ("uus", "u"),
        ],
    )
    def test_a_chat_ends_with_the_first_open_user_turn_or_else_the_last(
        self, tmp_path: Path, roles: str, sent: str
    ) -> None:
        names = {"s": "system", "d": "developer", "u": "user", "a": "assistant"}
        row = {"messages": [{"role": names[role], "content": f"{at}"} for at, role in enumerate(roles)]}
        (messages,) = asked(load_prompts(written(tmp_path, lines(row))))
        assert messages == [(names[role], f"{at}") for at, role in enumerate(sent)]

    @pytest.mark.parametrize(
        "row",
        [
            {"conversations": [{"from": "gpt", "value": "I go first."}, {"from": "human", "value": "Do you?"}]},
            {"conversations": [{"from": "system", "value": "Only this."}]},
            {"conversations": [{"from": "human", "value": " \n"}]},
            {"conversations": []},
        ],
    )
    def test_a_conversation_that_asks_nothing_is_skipped_and_counted(self, tmp_path: Path, row: Any) -> None:
        good = {"conversations": [{"from": "human", "value": "Well?"}]}
        file = load_prompts(written(tmp_path, lines(row, good, row)))
        assert (asked(file), file.skipped, file.prompts[0].line) == (user("Well?"), 2, 2)

    def test_a_chat_that_the_model_opens_is_skipped(self, tmp_path: Path) -> None:
        opened = {"messages": [{"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Hi."}]}
        file = load_prompts(written(tmp_path, lines(opened, {"messages": [{"role": "user", "content": "Hi."}]})))
        assert (len(file.prompts), file.skipped) == (1, 1)

    def test_a_file_of_which_nothing_is_left_is_refused(self, tmp_path: Path) -> None:
        row: dict[str, Any] = {"turns": []}
        assert "none of its 2 rows asks anything" in refusal(tmp_path, lines(row, row))


class TestLayout:
    def test_bom_crlf_and_blank_lines_change_nothing_but_line_numbers(self, tmp_path: Path) -> None:
        plain = load_prompts(written(tmp_path, lines({"prompt": "a"}, {"prompt": "b"})))
        windows = load_prompts(
            written(tmp_path, b'\xef\xbb\xbf\r\n{"prompt": "a"}\r\n  \r\n{"prompt":"b"}', "other name.jsonl")
        )
        assert windows.digest == plain.digest
        assert [prompt.line for prompt in windows.prompts] == [2, 4]
        assert windows.name == "other name"

    def test_a_line_separator_within_a_text_is_no_end_of_line(self, tmp_path: Path) -> None:
        file = load_prompts(written(tmp_path, '{"prompt": "one\u2028two\x85three"}\n{"prompt": "b"}\n'))
        assert [prompt.line for prompt in file.prompts] == [1, 2]

    @same_folder
    @given(rows=st.lists(texts, min_size=1, max_size=5), layout=st.sampled_from(LAYOUTS))
    def test_the_digest_is_that_of_the_requests(self, tmp_path: Path, rows: list[str], layout: dict[str, Any]) -> None:
        first = load_prompts(written(tmp_path, lines(*({"prompt": row} for row in rows))))
        array = json.dumps([{"n": 1, "text": row} for row in rows], **layout)
        again = load_prompts(written(tmp_path, array, "again.json"))
        assert asked(again) == asked(first) == user(*rows)
        assert again.digest == first.digest

    @same_folder
    @given(rows=st.lists(texts, min_size=1, max_size=4), other=texts)
    def test_other_requests_have_another_digest(self, tmp_path: Path, rows: list[str], other: str) -> None:
        def digest(*contents: dict[str, Any]) -> str:
            return load_prompts(written(tmp_path, lines(*contents))).digest

        plain = [{"prompt": row} for row in rows]
        base = digest(*plain)
        assert digest(*plain, {"prompt": other}) != base
        assert digest({"prompt": rows[0] + "!"}, *plain[1:]) != base
        assert digest({"prompt": rows[0], "output_tokens": 8}, *plain[1:]) != base
        assert digest({"prompt": rows[0], "category": "label"}, *plain[1:]) == base
        if rows != rows[::-1]:
            assert digest(*plain[::-1]) != base

    def test_the_digest_is_stable(self, tmp_path: Path) -> None:
        sent = b'[[{"role":"user","content":"Hello."}],null]\n'
        assert (
            load_prompts(written(tmp_path, lines({"prompt": "Hello."}))).digest == hashlib.sha256(sent).hexdigest()[:12]
        )

    @pytest.mark.parametrize(
        ("fields", "label"),
        [
            ({}, ""),
            ({"category": "qa"}, "qa"),
            ({"subset": "low_entropy"}, "low_entropy"),
            ({"category": None, "subset": 2}, "2"),
        ],
    )
    def test_labels(self, tmp_path: Path, fields: dict[str, Any], label: str) -> None:
        assert load_prompts(written(tmp_path, lines({"prompt": "a", **fields}))).prompts[0].category == label


class TestRefusals:
    def test_not_found(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match=r"no file of prompts at .*gone\.jsonl"):
            load_prompts(tmp_path / "gone.jsonl")

    def test_a_folder_names_what_is_in_it(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match=r"is a folder.*no \.jsonl or \.json in it"):
            load_prompts(tmp_path)
        written(tmp_path, "", "qualitative.jsonl")
        written(tmp_path, "", "LICENSE")
        with pytest.raises(InvalidInputError, match=r"name the file itself \(in it: qualitative\.jsonl\)"):
            load_prompts(tmp_path)

    def test_a_file_that_cannot_be_opened(self, tmp_path: Path) -> None:
        inside = written(tmp_path, "") / "prompts.jsonl"
        with pytest.raises(InvalidInputError, match=r"cannot read .*: Not a directory"):
            load_prompts(inside)

    @pytest.mark.parametrize("content", ["", " \n\r\n", "\ufeff", "[]", " [ ]\n"])
    def test_empty(self, tmp_path: Path, content: str) -> None:
        assert refusal(tmp_path, content) == (
            "FILE has no prompts: it is empty; expected one JSON object per line, or one JSON array of objects"
        )

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            ('{"prompt": "a"}\n\n{"prompt": \n', 3),
            ('{"prompt": "a"} {"prompt": "b"}', 1),
            ("prompt,output_tokens\na,8\n", 1),
            ('{\n  "prompt": "a"\n}\n', 1),
            ('[\n{"prompt": "a"},\n{"prompt": oh}\n]', 3),
            ('[\n{"prompt": "a"},\n{"prompt": "b"}\n', 3),
            ("[" * 100_000, 1),
            ('{"prompt": ' + "[" * 100_000, 1),
        ],
    )
    def test_not_json_names_the_line(self, tmp_path: Path, content: str, line: int) -> None:
        message = refusal(tmp_path, content)
        assert message.startswith(f"FILE, line {line}: not JSON: ")
        assert message.endswith("; expected one JSON object per line, or one JSON array of objects")

    @pytest.mark.parametrize(
        ("content", "line"),
        [(b'{"prompt": "a"}\n{"prompt": "caf\xe9"}\n', 2), (b'[\n{"prompt": "a"},\n\n{"prompt": "caf\xe9"}\n]', 4)],
    )
    def test_another_encoding_names_the_line(self, tmp_path: Path, content: bytes, line: int) -> None:
        expected = f"FILE, line {line}: the text is not UTF-8; save the file as UTF-8"
        assert refusal(tmp_path, content) == expected

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ('{"prompt": "a"}'.encode("utf-16"), "UTF-16 text; save it as UTF-8"),
            (b"PAR1\x15\x04", "a Parquet file; convert it first"),
            (b"\x1f\x8b\x08", "compressed; unpack it first"),
            (b"PK\x03\x04", "a zip archive"),
        ],
    )
    def test_other_formats_are_named(self, tmp_path: Path, content: bytes, words: str) -> None:
        assert refusal(tmp_path, content).startswith(f"FILE is {words}")

    def test_an_unknown_shape_lists_its_fields_and_the_known_ones(self, tmp_path: Path) -> None:
        message = refusal(tmp_path, lines({"question": "a", "answer": "b"}))
        assert message == (
            "FILE, line 1: no prompt among its fields (question, answer); known shapes are conversations (ShareGPT), "
            "messages (OpenAI chat, SPEED-Bench as prepared), turns (Spec-Bench, MT-Bench, SPEED-Bench as published), "
            "prompt (vLLM's custom dataset), text (plain text)"
        )
        assert "no prompt among its fields (it has none)" in refusal(tmp_path, "{}")

    def test_one_file_has_one_shape(self, tmp_path: Path) -> None:
        message = refusal(tmp_path, lines({"prompt": "a"}, {"text": "b"}))
        assert message == (
            "FILE, line 2: no 'prompt' among its fields (text), unlike in the first row: one file, one shape"
        )

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ("a", "text where an object was expected"),
            (None, "null where an object was expected"),
            ([1], "a list where an object was expected"),
            ({"prompt": [1, 2]}, "prompt: a list where plain text was expected; only text is sent"),
            ({"text": 3.5}, "text: a number where plain text was expected"),
            ({"turns": "a"}, "turns: text where a list was expected"),
            ({"turns": [{"role": "user"}]}, "turns: an object where plain text was expected"),
            ({"messages": ["a"]}, "messages: message 1 is text and not an object"),
            (
                {"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]},
                'messages: message 2 has role "tool"; known are system, developer, user, assistant',
            ),
            ({"messages": [{"content": "a"}]}, "messages: message 1 has role null"),
            (
                {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
                "messages: the content of message 1: a list where plain text was expected",
            ),
            ({"conversations": [{"from": "human"}]}, "conversations: the value of message 1: null where plain text"),
            (
                {"conversations": [{"from": "alien", "value": "a"}]},
                'message 1 has from "alien"; known are system, human',
            ),
            ({"prompt": "a", "output_tokens": 0}, "output_tokens must be a whole number of at least 1, not 0"),
            ({"prompt": "a", "output_tokens": 1.5}, "output_tokens must be a whole number of at least 1, not 1.5"),
            ({"prompt": "a", "output_tokens": "8"}, 'output_tokens must be a whole number of at least 1, not "8"'),
            ({"prompt": "a", "max_tokens": True}, "max_tokens must be a whole number of at least 1, not true"),
        ],
    )
    def test_a_row_that_cannot_be_read_says_why(self, tmp_path: Path, row: Any, words: str) -> None:
        content = "\n" + lines(row) if not isinstance(row, list) else json.dumps([row]).replace("[", "\n[", 1)
        message = refusal(tmp_path, content)
        assert message.startswith("FILE, line 2: ")
        assert words in message

    @same_folder
    @given(content=st.binary(max_size=60) | st.text('[]{},:"\\ \n0ex').map(str.encode))
    def test_any_bytes_are_read_or_refused_in_words(self, tmp_path: Path, content: bytes) -> None:
        path = written(tmp_path, content)
        try:
            assert load_prompts(path).prompts
        except BrokenFileError as error:
            assert str(path) in str(error)  # noqa: PT017 - either is right


class TestOrder:
    @staticmethod
    def file(count: int) -> PromptFile:
        prompts = tuple(FilePrompt(messages=(Message("user", f"{at}"),), line=at + 1) for at in range(count))
        return PromptFile(name="own", shape="prompt", digest="0", prompts=prompts)

    @given(count=st.integers(1, 30), seed=st.integers(0, 2**40), epochs=st.integers(1, 3))
    def test_each_prompt_once_per_epoch(self, count: int, seed: int, epochs: int) -> None:
        file = self.file(count)
        for epoch in range(epochs):
            positions = range(epoch * count, (epoch + 1) * count)
            assert Counter(file.at(position, seed=seed) for position in positions) == Counter(file.prompts)

    def test_the_seed_decides(self) -> None:
        file = self.file(20)

        def first(seed: int, stream: int = 0) -> list[int]:
            return [file.at(position, seed=seed, stream=stream).line for position in range(40)]

        assert first(1) == first(1)
        assert first(1) != first(2)
        assert first(1) != first(1, stream=8)
        assert first(1)[:20] != first(1)[20:]
