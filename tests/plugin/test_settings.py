"""Settings from a pytest configuration: the candidate, the reference engine derived from it, what contradicts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.pipeline.settings import EngineSettings, Settings
from pytest_specdec.plugin.settings import read_settings


@pytest.fixture
def read(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("SPECDEC_API_KEY", "key")
    return pytester


def ini(**keys: str) -> list[str]:
    return [word for key, value in keys.items() for word in ("-o", f"specdec_{key}={value}")]


def reference(read: pytest.Pytester, *arguments: str) -> tuple[EngineSettings, EngineSettings]:
    settings = read_settings(read.parseconfig(*arguments))
    assert settings.reference is not None
    return settings.candidate, settings.reference


def test_without_options_everything_is_the_default_of_its_row(read: pytest.Pytester) -> None:
    settings = read_settings(read.parseconfig())
    assert settings.candidate == EngineSettings(api_key="key")
    assert (settings.reference, settings.suite, settings.gate) == (None, Settings().suite, Settings().gate)
    assert settings.baselines.folder == read.path / "baselines"
    assert settings.measure.runs == read.path / ".specdec" / "runs"
    assert settings.candidate.launch_python == sys.executable


def test_the_reference_engine_takes_what_it_is_not_given_from_the_candidate(read: pytest.Pytester) -> None:
    shared = ini(launch_command="start", launch_stop="stop", launch_timeout_s="7", reference_launch_python="/old")
    candidate, old = reference(read, "--specdec-launch=vllm", "--specdec-reference-launch=sglang", *shared)
    assert (candidate.engine, old.engine) == ("vllm", "sglang")
    assert (candidate.launch_python, old.launch_python) == (sys.executable, "/old")
    assert (old.launch_command, old.launch_stop, old.launch_timeout_s, old.api_key) == ("start", "stop", 7.0, "key")


def test_the_reference_engine_has_one_source_of_its_own(read: pytest.Pytester) -> None:
    _, old = reference(read, "--specdec-launch=vllm", "--specdec-reference-simulate=tiny")
    assert (old.simulate, old.launch, old.endpoints, old.engine) == ("tiny", None, (), "vllm")


def test_what_an_upgrade_brings_is_declared_of_the_candidate_only(read: pytest.Pytester, tmp_path: Path) -> None:
    declared = tmp_path / "facts.toml"
    declared.write_text('driver = "570"\nimage = "new:1"\n')
    candidate, old = reference(read, f"--specdec-facts={declared}", "--specdec-reference-simulate=tiny")
    assert (candidate.facts[""].driver, candidate.facts[""].image) == ("570", "new:1")
    assert (old.facts[""].driver, old.facts[""].image) == ("570", None)


def test_a_file_of_facts_that_cannot_be_read_is_named(read: pytest.Pytester, tmp_path: Path) -> None:
    with pytest.raises(pytest.UsageError, match=r"--specdec-facts: .*none\.toml: No such file"):
        read.parseconfig(f"--specdec-facts={tmp_path / 'none.toml'}")


def test_keys_and_headers_are_not_in_the_repr(read: pytest.Pytester) -> None:
    text = repr(read_settings(read.parseconfig("--specdec-header=X-Token: hunter2")))
    assert "hunter2" not in text
    assert "api_key" not in text


def test_refining_needs_levels(read: pytest.Pytester) -> None:
    with pytest.raises(InvalidInputError, match="--specdec-at"):
        read_settings(read.parseconfig("--specdec-refine"))
