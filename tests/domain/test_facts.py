"""What engines are configured to be, against what a test wants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.domain.facts import (
    Facts,
    canonical_verification,
    contradictions,
    facts_for,
    parse_facts,
    served_precision,
)
from pytest_specdec.errors import InvalidInputError

MTP3 = EngineSpec(model="m", precision="fp8", parallelism="tp8ep8", mtp=3)
AGREEING = Facts(
    draft_tokens=3,
    method="mtp",
    verification="lossless",
    acceptance="natural",
    tensor_parallel=8,
    pipeline_parallel=1,
    data_parallel=1,
    expert_parallel=8,
    quantization="fp8",
)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (Facts(draft_tokens=0), "the test wants mtp3 and the endpoint runs off"),
        (Facts(draft_tokens=2), "the test wants mtp3 and the endpoint runs mtp2"),
        (Facts(draft_tokens=3, method="eagle3"), "the test wants MTP and the endpoint speculates by eagle3"),
        (Facts(tensor_parallel=4), "the test wants tp8 and the endpoint runs tp4"),
        (Facts(expert_parallel=1), "the test wants ep8 and the endpoint runs ep1"),
        (Facts(pipeline_parallel=2), "the test wants pp1 and the endpoint runs pp2"),
        (Facts(quantization="none", dtype="bfloat16"), "the test wants precision fp8 and the endpoint serves bf16"),
        (
            Facts(acceptance="2.5"),
            "the test wants natural acceptance and the endpoint runs acceptance length pinned to 2.5",
        ),
        (
            Facts(verification="fly"),
            (
                "the endpoint verifies by 'fly', which changes the text; a suite that means it says "
                "specdec(verification='fly')"
            ),
        ),
    ],
)
def test_a_contradiction_names_both_values(facts: Facts, message: str) -> None:
    assert contradictions(MTP3, facts) == [message]


def test_what_agrees_and_what_is_unknown_contradict_nothing() -> None:
    assert contradictions(MTP3, AGREEING) == []
    assert contradictions(MTP3, Facts()) == []


def test_a_lossy_mode_that_the_suite_names_is_measured_and_nothing_else() -> None:
    lossy = EngineSpec(model="m", precision="fp8", parallelism="tp8", mtp=3, verification="fly")
    assert contradictions(lossy, Facts(verification="fly")) == []
    assert contradictions(lossy, Facts(verification="lossless")) == [
        "the test wants verification 'fly' and the endpoint 'lossless'"
    ]


def test_a_pinned_length_is_the_same_whatever_its_rounding() -> None:
    pinned = EngineSpec(model="m", precision="fp8", mtp=3, acceptance="2.81")
    assert contradictions(pinned, Facts(acceptance="2.812")) == []
    assert contradictions(pinned, Facts(acceptance="2.9")) != []
    assert contradictions(pinned, Facts(acceptance="natural")) != []


def test_off_is_not_asked_how_it_verifies() -> None:
    assert contradictions(MTP3.off(), Facts(draft_tokens=0, acceptance="natural", verification="lossless")) == []


@pytest.mark.parametrize("name", ["strict", "standard", "block", "probabilistic"])
def test_the_names_of_lossless_verification_are_one(name: str) -> None:
    assert canonical_verification(name) == "lossless"


def test_a_lossy_name_and_an_unknown_one_stay() -> None:
    assert canonical_verification("FLY") == "fly"
    assert canonical_verification(None) is None


@pytest.mark.parametrize(
    ("quantization", "dtype", "precision"),
    [
        ("fp8", "bfloat16", "fp8"),
        ("modelopt_fp4", None, "fp4"),
        ("awq_marlin", None, "int4"),
        ("w4afp8", None, "int4"),
        ("w4a16", None, "int4"),
        ("W4A8_MXFP4_FP8", None, "fp4"),
        ("W4A8_NVFP4_FP8", None, "fp4"),
        ("w8a8_fp8", None, "fp8"),
        ("FP8_BLOCK_SCALES", None, "fp8"),
        ("w8a8_int8", None, "int8"),
        ("none", "torch.float32", "fp32"),
        ("compressed-tensors", "bfloat16", None),  # may hold any of them
        ("gptq", "bfloat16", None),
        ("none", None, None),
        (None, "bfloat16", None),
    ],
)
def test_precision_is_told_where_the_names_tell_it(
    quantization: str | None, dtype: str | None, precision: str | None
) -> None:
    assert served_precision(Facts(quantization=quantization, dtype=dtype)) == precision


def test_a_facts_file_declares_for_all_modes_and_for_one() -> None:
    declared = parse_facts('driver = "570.1"\nmax_running = 256\n[mtp3]\nmax_running = 48\n')
    assert facts_for(declared, MTP3) == Facts(driver="570.1", max_running=48)
    assert facts_for(declared, MTP3.off()) == Facts(driver="570.1", max_running=256)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("driver = ", "not TOML"),
        ('drivr = "1"', "unknown fact 'drivr'; there are: draft_tokens, method"),
        ("[MTP3]\nmax_running = 48", r"table \[MTP3\] is of no mode: say \[off\], or \[mtp3\]"),
        ("[mtp]\nmax_running = 48", r"table \[mtp\] is of no mode"),
        ("[mtp0]\nmax_running = 48", r"table \[mtp0\] is of no mode"),
        ('[off]\nmax_running = "many"', r"\[off\]: Expected `int \| null`, got `str` - at `\$.max_running`"),
    ],
)
def test_a_broken_facts_file_is_one_sentence(text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        parse_facts(text)


def test_a_table_may_be_of_a_mode_that_is_pinned_or_lossy() -> None:
    declared = parse_facts('["mtp3-al2.5"]\nimage = "pinned"\n[mtp3-fly]\nimage = "lossy"\n')
    assert facts_for(declared, replace(MTP3, acceptance="2.5")).image == "pinned"
    assert facts_for(declared, replace(MTP3, verification="fly")).image == "lossy"


def test_a_declared_verification_is_read_like_an_observed_one() -> None:
    declared = facts_for(parse_facts('verification = "standard"\n'), MTP3)
    assert declared.verification == "lossless"
    assert contradictions(MTP3, declared) == []
    assert AGREEING.declared(declared) == AGREEING


def test_a_declaration_fills_in_and_never_overrides() -> None:
    seen = Facts(draft_tokens=3)
    assert seen.declared(Facts(driver="1")) == Facts(draft_tokens=3, driver="1")
    with pytest.raises(InvalidInputError, match="declares draft_tokens = 2 and the endpoint says 3"):
        seen.declared(Facts(draft_tokens=2))


known = st.builds(
    Facts,
    draft_tokens=st.none() | st.integers(0, 8),
    dtype=st.none() | st.sampled_from(["bfloat16", "float32"]),
    prefix_cache=st.none() | st.booleans(),
)


@given(known)
def test_what_is_known_is_words_and_what_is_unknown_is_not(facts: Facts) -> None:
    assert list(facts.words()) == [name for name in Facts.__struct_fields__ if getattr(facts, name) is not None]
    assert facts.declared(facts) == facts
