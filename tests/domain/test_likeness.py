"""Environments are compared fact by fact: what an upgrade may change, what only warns, and what refuses."""

from __future__ import annotations

import msgspec
import pytest

from pytest_specdec.domain.environment import Environment
from pytest_specdec.domain.facts import BUNDLE, Facts
from pytest_specdec.domain.likeness import HOST, SEMANTICS, likeness

THEN = Environment(
    hardware="h200",
    engine="vllm",
    version="0.20.0",
    facts={"draft_tokens": "3", "kv_cache_dtype": "fp8", "torch": "2.11", "driver": "570.1", "image": "a"},
)


def now(**changed: str) -> Environment:
    facts = {name: value for name, value in changed.items() if name in Facts.__struct_fields__}
    own = {name: value for name, value in changed.items() if name not in facts}
    changed_environment: Environment = msgspec.structs.replace(THEN, facts=THEN.facts | facts, **own)
    return changed_environment


def test_every_fact_has_a_place() -> None:
    assert BUNDLE | HOST | set(SEMANTICS) == set(Facts.__struct_fields__)
    assert not BUNDLE & HOST


def test_equal_environments_differ_in_nothing() -> None:
    assert likeness(THEN, THEN) == likeness(now(endpoint="http://elsewhere"), THEN)
    assert likeness(THEN, THEN).refused == ()


def test_an_upgrade_is_a_bundle() -> None:
    found = likeness(now(version="0.22.0", torch="2.12", image="b"), THEN)
    assert found.refused == found.warned == ()
    assert [words.split()[0] for words in found.upgraded] == ["version", "image", "torch"]


def test_another_host_warns() -> None:
    found = likeness(now(driver="580.0"), THEN)
    assert found.refused == ()
    assert found.warned == ("driver differs: measured '580.0', baseline '570.1'",)


def test_what_is_resolved_otherwise_is_refused_also_when_it_moves_with_the_version() -> None:
    found = likeness(now(version="0.22.0", kv_cache_dtype="auto"), THEN)
    assert found.refused == ("kv_cache_dtype differs: measured 'auto', baseline 'fp8'",)


@pytest.mark.parametrize("name", ["hardware", "engine"])
def test_another_machine_or_engine_is_refused(name: str) -> None:
    assert likeness(now(**{name: "other"}), THEN).refused[0].startswith(f"{name} differs")
    assert likeness(now(**{name: "unknown"}), THEN).refused == ()


def test_an_unknown_fact_differs_from_nothing_unless_it_is_required() -> None:
    bare = msgspec.structs.replace(THEN, facts={})
    assert likeness(bare, THEN).refused == ()
    (words,) = likeness(bare, THEN, required=("driver",)).refused
    assert words.startswith("driver is required (specdec_required_facts) and not known of this run")
    assert len(likeness(bare, bare, required=("driver",)).refused) == 2
