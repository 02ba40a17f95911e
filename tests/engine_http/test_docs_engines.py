"""`docs/engines.md` says what is true: what each engine lets us read back, and commands that can be filled in."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from collections.abc import Collection
from pathlib import Path

import msgspec
import pytest

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.domain.facts import Facts, parse_facts
from pytest_specdec.engine import sglang, trtllm, vllm
from pytest_specdec.engine.counters import Samples
from pytest_specdec.engine.launch import template_values
from pytest_specdec.engine.registry import ENGINES, LAUNCHERS
from pytest_specdec.engine.template import Start, Template

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "engines.md").read_text()
SAMPLES = ROOT / "tests" / "data" / "vllm_samples"
SGLANG = {
    "speculative_algorithm": "NEXTN",
    "speculative_num_steps": 3,
    "speculative_accept_threshold_single": 1.0,
    "speculative_accept_threshold_acc": 1.0,
    "tp_size": 8,
    "pp_size": 1,
    "dp_size": 1,
    "ep_size": 8,
    "quantization": "fp8",
    "dtype": "bfloat16",
    "kv_cache_dtype": "fp8_e4m3",
    "max_running_requests": 48,
    "disable_radix_cache": True,
    "stream_interval": 1,
}
TRTLLM = """
trtllm_model_config_info{dtype="bfloat16",quantization="FP8"} 1
trtllm_parallel_config_info{tensor_parallel_size="8",pipeline_parallel_size="1",expert_parallel_size="8"} 1
trtllm_speculative_config_info{spec_enabled="true",spec_method="MTP",spec_num_tokens="3"} 1
trtllm_kv_cache_config_info{enable_block_reuse="False",cache_dtype="fp8"} 1
"""
TOLD = {
    "vLLM, development mode": vllm.configured(
        json.loads((SAMPLES / "server_info_mtp3.json").read_text())["vllm_config"]
    ),
    "vLLM": vllm.inferred(Samples.parse((SAMPLES / "metrics_mtp3.txt").read_text()), "vllm-0.32.0-tp8-ep-0123abcd"),
    "SGLang": sglang.configured(SGLANG),
    "TensorRT-LLM": trtllm.configured(Samples.parse(TRTLLM), max_batch_size=64),
}
ANY = template_values(
    EngineSpec(model="org/Model", precision="fp8", parallelism="tp8ep8", mtp=3),
    Start(host="127.0.0.1", port=8001, python="/opt/python", arguments="", scratch="/tmp/x"),
)


def rows() -> dict[str, dict[str, str]]:
    table = DOCS[DOCS.index("| fact |") :].partition("\n\n")[0].splitlines()
    header, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    return {line[0]: dict(zip(header[1:], line[1:], strict=True)) for line in body[1:]}


@pytest.mark.parametrize("engine", TOLD)
def test_the_table_of_what_is_read_back_is_true(engine: str) -> None:
    told = msgspec.structs.asdict(TOLD[engine])
    facts = {fact: row[engine] for fact, row in rows().items() if fact in Facts.__struct_fields__}
    assert facts == {fact: "-" if told[fact] is None else "yes" for fact in facts}


def test_the_table_has_every_fact_that_an_endpoint_can_tell() -> None:
    declared_only = {"driver", "cuda", "torch", "image", "gpu_clock_mhz", "power_cap_w"}
    assert rows().keys() & set(Facts.__struct_fields__) == set(Facts.__struct_fields__) - declared_only


def test_the_recipes_are_those_of_the_table() -> None:
    table = DOCS[DOCS.index("| engine | releases |") :].partition("\n\n")[0].splitlines()[2:]
    assert len(table) == sum(len(engine.recipes) for engine in LAUNCHERS.values())


@pytest.mark.parametrize(("option", "names"), [("engine", ENGINES), ("launch", LAUNCHERS)])
def test_every_engine_that_an_option_takes_is_named(option: str, names: Collection[str]) -> None:
    assert f"`--specdec-{option} {'|'.join(names)}`" in DOCS


BLOCKS = re.findall(r"```ini\n(.*?)```", DOCS + (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", [block for block in BLOCKS if "specdec_launch_command" in block])
def test_an_example_can_be_filled_in_and_reaches_the_port(block: str) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(block)
    keys = parser["pytest"]
    start = " ".join(keys["specdec_launch_command"].split())
    filled = Template(start=start, stop=keys.get("specdec_launch_stop", "")).filled(ANY)
    assert "org/Model" in shlex.split(filled.start)
    assert "8001" in filled.start
    assert '"num_speculative_tokens": 3' in filled.start or "--speculative-num-steps 3" in filled.start
    for overrides in re.findall(r"--overrides='(.*?)'", filled.start):
        assert json.loads(overrides)["spec"]["containers"][0]["name"] == "specdec-8001"


def test_every_placeholder_is_named() -> None:
    section = DOCS[DOCS.index("A command of your own") : DOCS.index("**Docker.**")]
    assert set(re.findall(r"`\{(\w+)\}", section)) == ANY.keys()


def test_the_facts_file_can_be_read() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    assert parse_facts(block)["mtp3"].quantization == "fp8"
