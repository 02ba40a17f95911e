"""Names of things whose own words may be the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.domain.naming import named_apart
from pytest_specdec.suite.matrix import OutputSubject


class Thing:
    """Says one thing and has details."""

    def __init__(self, words: tuple[str, str]) -> None:
        self.words = words

    def __str__(self) -> str:
        return self.words[0]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"))))
def test_no_two_things_have_one_name(words: list[tuple[str, str]]) -> None:
    things = [Thing(each) for each in words]
    names = named_apart(things, lambda thing: thing.words[1])
    assert list(names) == things
    assert len(set(names.values())) == len(things)
    texts = [text for text, _ in words]
    for thing, name in names.items():
        assert name.startswith(str(thing))
        assert (name == str(thing)) == (texts.count(str(thing)) == 1), "short wherever it can be"


def test_checks_of_answers_are_told_apart_by_what_their_name_does_not_say() -> None:
    engines = [EngineSpec(model="toy", precision="fp8", parallelism=degrees, mtp=3) for degrees in ("tp8", "tp8ep8")]
    subjects = [OutputSubject(engine=engines[0], thinking=thinking) for thinking in (None, True)]
    subjects.append(OutputSubject(engine=engines[1]))
    name = "toy-fp8-mtp3-says-what-off-says"
    assert list(named_apart(subjects, lambda subject: subject.details).values()) == [
        f"{name} tp8, thinking by default",
        f"{name} tp8, thinking on",
        f"{name} tp8ep8, thinking by default",
    ]
    assert list(named_apart(subjects[:1], lambda subject: subject.details).values()) == [name]
