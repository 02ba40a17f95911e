"""Speculation modes: one reader and one writer of their names, and the fields of saved files."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.domain.speculation_mode import LOSSLESS, METHODS, NATURAL, Speculation, mode_title
from pytest_specdec.errors import InvalidInputError

OLD = b'{"model":"m","precision":"fp8","parallelism":"tp8","mtp":%d,"acceptance":"%s","verification":"%s"}'
"""An engine as the first version of the files has it."""

lengths = st.one_of(st.just(NATURAL), st.integers(10, 99).map(lambda tenths: f"{tenths / 10:g}"))
natural = st.builds(Speculation, draft_tokens=st.integers(0, 20))
modes = st.one_of(
    natural,
    st.builds(
        Speculation,
        method=st.sampled_from(["mtp", "eagle3"]),
        draft_tokens=st.integers(1, 20),
        acceptance=lengths,
        verification=st.sampled_from([LOSSLESS, "fly", "typical-acceptance", "threshold"]),
    ),
)


@pytest.fixture(autouse=True)
def a_further_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "eagle3", "EAGLE-3")


@given(speculation=modes.filter(lambda mode: mode.active or mode == Speculation()))
def test_the_name_of_a_mode_reads_back_to_it(speculation: Speculation) -> None:
    assert Speculation.parse(speculation.mode) == speculation
    assert mode_title(speculation.mode) == speculation.title


@given(draft_tokens=st.integers(1, 20), length=lengths, method=st.sampled_from(["mtp", "eagle3"]))
def test_an_option_reads_to_the_mode_that_it_names(draft_tokens: int, length: str, method: str) -> None:
    expected = Speculation(method=method, draft_tokens=draft_tokens, acceptance=length)
    pinned = "" if length == NATURAL else f",al={length}"
    assert Speculation.parse_option(f"{method}={draft_tokens}{pinned}") == expected


@pytest.mark.parametrize(
    ("speculation", "mode", "title"),
    [
        (Speculation(), "off", "Off"),
        (Speculation(draft_tokens=3), "mtp3", "MTP 3"),
        (Speculation(draft_tokens=3, acceptance="2.5"), "mtp3-al2.5", "MTP 3 AL 2.5"),
        (Speculation(draft_tokens=3, verification="fly"), "mtp3-fly", "MTP 3 fly"),
        (Speculation(draft_tokens=2, method="eagle3"), "eagle3-2", "EAGLE-3 2"),
    ],
)
def test_names_and_titles_of_modes(speculation: Speculation, mode: str, title: str) -> None:
    assert (speculation.mode, speculation.title) == (mode, title)


@pytest.mark.parametrize("text", ["", "mtp", "mtp0", "mtp-3", "mtp3x", "mtp3-", "offline", "ngram3", "eagle32"])
def test_other_text_is_no_mode(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a speculation mode"):
        Speculation.parse(text)


@pytest.mark.parametrize("text", ["", "mtp", "mtp=x", "mtp3", "mtp=3,al=", "off=1", "ngram=3"])
def test_other_text_is_no_mode_of_an_option(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"a mode is off, mtp=K\[,al=L\] or eagle3=K"):
        Speculation.parse_option(text)


@pytest.mark.parametrize("text", ["off,al=2", "mtp=0,al=2"])
def test_off_has_no_acceptance_length(text: str) -> None:
    assert Speculation.parse_option("mtp=0") == Speculation.parse_option("off") == Speculation()
    with pytest.raises(InvalidInputError, match="al= pins"):
        Speculation.parse_option(text)


def test_a_mode_of_another_source_keeps_its_words() -> None:
    assert [mode_title(mode) for mode in ("mtp", "eagle", "")] == ["MTP", "eagle", ""]


@pytest.mark.parametrize("fields", [(0, b"natural", b"lossless"), (3, b"2.5", b"lossless"), (3, b"natural", b"fly")])
def test_files_of_mtp_engines_have_the_bytes_of_the_first_version(fields: tuple[int, bytes, bytes]) -> None:
    old = OLD % fields
    engine = msgspec.json.decode(old, type=EngineSpec)
    assert engine.speculation == Speculation(
        draft_tokens=fields[0], acceptance=fields[1].decode(), verification=fields[2].decode()
    )
    assert msgspec.json.encode(engine) == old


@given(speculation=modes)
def test_an_engine_keeps_its_mode_in_a_file(speculation: Speculation) -> None:
    fields = msgspec.structs.asdict(speculation)
    engine = EngineSpec(model="m", precision="fp8", mtp=fields.pop("draft_tokens"), **fields)
    kept = msgspec.json.decode(msgspec.json.encode(engine), type=EngineSpec)
    assert kept == engine
    assert kept.speculation == speculation
    assert (b'"method"' in msgspec.json.encode(engine)) == (speculation.method != "mtp")
    assert engine.off() == EngineSpec(model="m", precision="fp8")
