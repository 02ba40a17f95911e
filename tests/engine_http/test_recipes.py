"""Start commands by engine and release."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.engine.launch import template_values
from pytest_specdec.engine.registry import LAUNCHERS
from pytest_specdec.engine.template import Recipe, Start, Template
from pytest_specdec.errors import InvalidInputError

START = Start(
    host="127.0.0.1", port=8001, python="/opt/my env/bin/python", arguments="--more 1", scratch="/tmp/logs/engine"
)
MTP3 = EngineSpec(model="org/My Model", precision="fp8", parallelism="tp4dp2ep8", mtp=3)
PINNED = EngineSpec(model="m", precision="fp8", parallelism="tp1", mtp=3, acceptance="2.5")


def command(name: str, version: str, engine: EngineSpec) -> str:
    template = Template(start=LAUNCHERS[name].choose(version).start)
    return template.filled(template_values(engine, START)).start


def words(name: str, version: str, engine: EngineSpec) -> list[str]:
    return shlex.split(command(name, version, engine))


@pytest.mark.parametrize("name", LAUNCHERS)
@pytest.mark.parametrize("engine", [MTP3, MTP3.off(), PINNED])
def test_every_recipe_is_a_command_without_placeholders(name: str, engine: EngineSpec) -> None:
    for recipe in LAUNCHERS[name].recipes:
        filled = Template(start=recipe.start).filled(template_values(engine, START)).start
        assert engine.model in shlex.split(filled)
        assert "--more 1" in filled
        assert "8001" in filled


def test_vllm() -> None:
    said = words("vllm", "0.22.0", MTP3)
    assert said[said.index("--data-parallel-size") + 1] == "2"
    assert "--enable-expert-parallel" in said
    speculation = json.loads(said[said.index("--speculative-config") + 1])
    assert speculation == {"method": "mtp", "num_speculative_tokens": 3}
    assert "--speculative-config" not in words("vllm", "0.22.0", MTP3.off())
    said = words("vllm", "0.22.0", PINNED)
    assert json.loads(said[said.index("--speculative-config") + 1]) == {
        "method": "mtp",
        "num_speculative_tokens": 3,
        "rejection_sample_method": "synthetic",
        "synthetic_acceptance_length": 2.5,
    }


@pytest.mark.parametrize("recipe", LAUNCHERS["vllm"].recipes)
def test_vllm_is_started_by_its_own_command_line_in_the_chosen_python(recipe: Recipe, tmp_path: Path) -> None:
    """With a stand-in for vLLM that prints what it is asked; nothing of this package may run before it."""
    main = tmp_path / "vllm" / "entrypoints" / "cli" / "main.py"
    main.parent.mkdir(parents=True)
    main.write_text(
        "import sys\n"
        "ours = [name for name in sys.modules if name.startswith('pytest_specdec')]\n"
        "if __name__ == '__main__':\n"
        "    print(sys.executable, ours, *sys.argv[1:4])\n"
    )
    values = template_values(PINNED, replace(START, python=sys.executable))
    done = subprocess.run(
        Template(start=recipe.start).filled(values).start, shell=True,
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.split() == [sys.executable, "[]", "serve", "m", "--served-model-name"]


def test_sglang() -> None:
    said = words("sglang", "0.5.23", MTP3)
    assert said[said.index("--speculative-num-steps") + 1] == "3"
    assert said[said.index("--speculative-num-draft-tokens") + 1] == "4"
    assert said[said.index("--ep-size") + 1] == "8"
    assert "--enable-metrics" in said
    assert "SGLANG_SIMULATE_ACC_LEN=2.5" in words("sglang", "0.5.23", PINNED)
    assert "SGLANG_SIMULATE_ACC_TOKEN_MODE=real-draft-token" in words("sglang", "0.5.23", PINNED)


def test_trtllm_writes_its_options_beside_the_log() -> None:
    said = words("trtllm", "1.3.0", MTP3)
    options = json.loads(said[2])
    assert said[:2] == ["printf", "%s"]
    assert options["speculative_config"] == {"decoding_type": "MTP", "max_draft_len": 3}
    assert options["return_perf_metrics"] is True
    assert said[said.index("--config") + 1] == "/tmp/logs/engine.yaml"
    assert "/opt/my env/bin/trtllm-serve" in said
    # The engine's number is without the bonus token.
    assert "TLLM_SPEC_DECODE_FORCE_NUM_ACCEPTED_TOKENS=1.5" in words("trtllm", "1.3.0", PINNED)
    assert "speculative_config" not in json.loads(words("trtllm", "1.3.0", MTP3.off())[2])


@pytest.mark.parametrize(
    ("name", "version", "has", "has_not"),
    [
        ("sglang", "0.5.12", "SGLANG_ENABLE_SPEC_V2=1", None),
        ("sglang", "0.5.14", "--enable-metrics", "SGLANG_ENABLE_SPEC_V2=1"),
        ("sglang", "0.5.23.post1", "--enable-metrics", "SGLANG_ENABLE_SPEC_V2=1"),
        ("sglang", "", "--enable-metrics", "SGLANG_ENABLE_SPEC_V2=1"),
        ("trtllm", "1.1.0", "--extra_llm_api_options", "--config"),
        ("trtllm", "1.2.0rc6", "--config", "--extra_llm_api_options"),
        ("trtllm", "1.3.0rc1", "--config", "--extra_llm_api_options"),
        ("sglang", "0.5.12", "--disable-radix-cache", None),
        ("sglang", "0.5.23", "--disable-radix-cache", None),
        ("vllm", "0.32.0+cpu", "--speculative-config", None),
        ("vllm", "0.1", "--speculative-config", None),  # older than any recipe: the oldest is the best guess there is
    ],
)
def test_flags_follow_the_release(name: str, version: str, has: str, has_not: str | None) -> None:
    said = words(name, version, MTP3)
    assert has in said
    assert has_not not in said


@pytest.mark.parametrize(
    ("version", "option"),
    [
        ("1.0.0", "num_nextn_predict_layers"),
        ("1.2.0", "num_nextn_predict_layers"),
        ("1.2.1", "num_nextn_predict_layers"),
        ("1.3.0rc1", "max_draft_len"),
    ],
)
def test_tensorrt_llm_is_told_k_under_the_name_that_the_release_reads(version: str, option: str) -> None:
    options = json.loads(words("trtllm", version, MTP3)[2])
    assert options["speculative_config"] == {"decoding_type": "MTP", option: 3}


def test_a_users_command_may_hold_json_and_an_unknown_placeholder_lists_the_known() -> None:
    values = template_values(MTP3, START)
    assert Template(start="""serve '{"a": 1}' {mtp}""").filled(values).start == """serve '{"a": 1}' 3"""
    with pytest.raises(InvalidInputError, match=r"unknown placeholder \{modle\}; there are: acceptance, arguments"):
        Template(start="serve {modle}").filled(values)
