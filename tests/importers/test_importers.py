"""Files of other load generators through `specdec compare`: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from golden import same_as_golden
from hypothesis import given
from hypothesis import strategies as st
from peer_files import DATA, aiperf, sample, sglang, write
from studies import examples

from pytest_specdec.__main__ import EXIT_BAD_INPUT, EXIT_NOT_COMPARABLE, main
from pytest_specdec.errors import BrokenFileError
from pytest_specdec.importers.aiperf import AIPERF_EXPORT
from pytest_specdec.importers.curves import compare_peers, join
from pytest_specdec.importers.definitions import SERVER, TOKENIZER, USAGE, USAGE_OR_REQUESTED, USAGE_OR_TOKENIZER
from pytest_specdec.importers.detect import load_peers, meaning_of
from pytest_specdec.importers.documents import Document, read_documents
from pytest_specdec.importers.result import PeerResult
from pytest_specdec.importers.sglang_bench import SGLANG_LINE
from pytest_specdec.importers.vllm_bench import VLLM_RESULT
from pytest_specdec.results.run import Run, save_run

unhurried = examples(25)
PUBLISHED = Path(__file__).parent.parent / "data" / "inferencex" / "benchmarks_c32.json"
FORMATS = (AIPERF_EXPORT, SGLANG_LINE, VLLM_RESULT)
LOADS = ((4, 0.6), (8, 0.75), (16, 1.0), (32, 1.5))
"""Streams, and how much longer a request takes than in the sample."""
SERVER_INFO = {
    "version": "0.5.23",
    "served_model_name": "deepseek-r1",
    "tp_size": 8,
    "quantization": "fp8",
    "speculative_algorithm": "EAGLE",
    "speculative_num_steps": 3,
    "api_key": "sk-planted",
    "internal_states": [{"avg_spec_accept_length": 2.6}],
}


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main(["compare", *map(str, arguments)])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return code, captured.err


# What the tools themselves wrote.


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("compare_vllm_bench", ["vllm_base_c?.json", "vllm_mtp3_c?.json", "--gpus", "1", "--at", "310"]),
        ("compare_vllm_bench_apart", ["vllm_deep_base_*.json", "vllm_deep_mtp3_*.json", "--gpus", "1"]),
        ("compare_vllm_bench_appended", ["vllm_appended.json", "vllm_appended.json"]),
    ],
)
def test_vllm_bench_prints_the_golden_file(
    name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(DATA)
    assert main(["compare", *arguments]) == 0
    same_as_golden(f"{name}.txt", capsys.readouterr().out)


def test_sglang_prints_the_golden_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    old, new = (
        [sglang(slow * f, streams) | {"server_info": SERVER_INFO | {"version": version}} for streams, slow in LOADS]
        for f, version in ((1.0, "0.5.22"), (1.1, "0.5.23"))
    )
    write(Path("old.jsonl"), *old)
    write(Path("new.jsonl"), *new)
    assert main(["compare", "old.jsonl", "new.jsonl"]) == 0
    same_as_golden("compare_sglang_bench.txt", capsys.readouterr().out)


def test_aiperf_prints_the_golden_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for side, factor, version in (("old", 1.0, "0.12.0"), ("new", 0.9, "0.13.0")):
        for streams, slow in LOADS:
            folder = Path(side) / f"c{streams}"
            folder.mkdir(parents=True)
            write(folder / "profile_export_aiperf.json", aiperf(slow * factor, streams) | {"aiperf_version": version})
            write(folder / "inputs.json", {"data": []})
    assert main(["compare", "old", "new", "--gpus", "8"]) == 0
    same_as_golden("compare_aiperf.txt", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "tpot_ms", "concurrency", "source"),
    [
        ("sglang_py_result.jsonl", 7.72, 16, USAGE_OR_REQUESTED),
        ("sglang_rust_result.jsonl", 7.72, 16, USAGE_OR_REQUESTED),
        ("aiperf_profile_export.json", 7.75, 16, USAGE),
        ("vllm_mtp3_c8.json", 3.27, 8, USAGE_OR_TOKENIZER),
    ],
)
def test_tpot_is_the_median_of_the_file_and_the_token_source_is_told(
    name: str, tpot_ms: float, concurrency: int, source: str
) -> None:
    (result,) = load_peers(DATA / name)
    assert result.tpot_p50_ms == pytest.approx(tpot_ms, abs=0.005)
    assert (result.concurrency, result.token_source, result.failed) == (concurrency, source, 0)
    assert not any("itl" in key for key in result.readings), "ITL is another thing in each tool"


def test_vllm_bench_gives_speculation_from_counters_of_the_run() -> None:
    (mtp,), (off,) = load_peers(DATA / "vllm_mtp3_c8.json"), load_peers(DATA / "vllm_base_c8.json")
    assert mtp.draft_tokens == 3
    assert mtp.readings["acceptance_length"].value == pytest.approx(3.7033, abs=1e-4)
    assert mtp.readings["acceptance_rate"].value == pytest.approx(0.9011, abs=1e-4)
    assert off.draft_tokens is None, "no counters may also be no access to them"
    assert "acceptance_length" in off.missing
    assert mtp.date == "2026-11-23"


def test_metadata_of_vllm_bench_gives_version_and_gpus() -> None:
    results = load_peers(DATA / "vllm_appended.json")
    assert [result.concurrency for result in results] == [2, 4, 8]
    assert {(result.engine_version, result.gpus, result.parallelism) for result in results} == {("0.32.0", 8, "tp8")}
    assert results[1].source.endswith("vllm_appended.json, result 2")


def test_the_mean_over_a_servers_life_is_no_acceptance_length_of_a_run() -> None:
    (result,) = load_peers(DATA / "sglang_py_result.jsonl")
    assert sglang()["accept_length"] == 2.6
    assert "acceptance_length" in result.missing
    assert result.meaning.acceptance == "mean over the server's life, not of the run; not imported"


def test_the_settings_of_an_sglang_server_give_engine_gpus_and_speculation(tmp_path: Path) -> None:
    (mtp,) = load_peers(Path(write(tmp_path / "a.jsonl", sglang() | {"server_info": SERVER_INFO | {"pp_size": 2}})))
    assert (mtp.engine, mtp.engine_version, mtp.model, mtp.precision) == ("sglang", "0.5.23", "deepseek-r1", "fp8")
    assert (mtp.gpus, mtp.parallelism, mtp.draft_tokens) == (16, "tp8pp2", 3)
    (off,) = load_peers(
        Path(write(tmp_path / "b.jsonl", sglang() | {"server_info": SERVER_INFO | {"speculative_algorithm": None}}))
    )
    assert off.draft_tokens == 0


def test_tokens_are_the_servers_own_count_only_on_the_native_endpoint(tmp_path: Path) -> None:
    (native,) = load_peers(Path(write(tmp_path / "a.jsonl", sglang() | {"backend": "sglang"})))
    assert native.token_source == SERVER


def test_aiperf_counts_with_its_tokenizer_unless_it_was_told_otherwise(tmp_path: Path) -> None:
    export = aiperf()
    del export["input_config"]["endpoint"]["use_server_token_count"]
    (result,) = load_peers(Path(write(tmp_path / "a.json", export)))
    assert result.token_source == TOKENIZER


def test_aiperf_before_schema_1_4_is_read(tmp_path: Path) -> None:
    export = aiperf()
    config = export["input_config"]
    del config["phases"], config["models"]
    config["loadgen"] = {"concurrency": 16, "request_count": 32}
    config["endpoint"]["model_names"] = ["m"]
    config["endpoint"]["extra"] = [["ignore_eos", True]]
    (result,) = load_peers(Path(write(tmp_path / "a.json", export)))
    assert (result.concurrency, result.model) == (16, "m")


@unhurried
@given(st.floats(0.5, 2.0), st.sampled_from([8, 16, 32]), st.sampled_from(["sglang", "aiperf"]))
def test_twice_as_slow_is_half_the_throughput_and_interactivity(slow: float, streams: int, tool: str) -> None:
    make = {"sglang": sglang, "aiperf": aiperf}[tool]
    old, new = (join([_read(make(factor, streams))], 8) for factor in (1.0, slow))
    level = compare_peers(old, new).at_concurrency(streams)
    assert level.throughput_ratio.value == pytest.approx(1 / slow)
    assert level.interactivity_ratio.value == pytest.approx(1 / slow)


@unhurried
@given(st.sampled_from(["ns", "us", "ms", "sec"]))
def test_a_unit_is_converted(unit: str) -> None:
    export = aiperf()
    per_ms = {"ns": 1e6, "us": 1e3, "ms": 1.0, "sec": 1e-3}[unit]
    metric = export["inter_token_latency"]
    export["inter_token_latency"] = {key: unit if key == "unit" else value * per_ms for key, value in metric.items()}
    assert _read(export).tpot_p50_ms == pytest.approx(_read(aiperf()).tpot_p50_ms)


# What a sweep leaves on disk.


def test_a_folder_is_one_side_without_its_warm_up_summary_and_other_files(tmp_path: Path) -> None:
    combination = tmp_path / "20261124" / "BENCH--max_concurrency=4"
    combination.mkdir(parents=True)
    runs = [sample("vllm_base_c4.json") | {"run_number": number, "date": f"2026112{number}-1"} for number in range(3)]
    for number, content in enumerate(runs):
        write(combination / f"run={number}.json", content)
    (combination / "summary.json").write_text(json.dumps(runs, indent=4))
    write(combination / "warmup.json", sample("vllm_base_c8.json") | {"run_number": -1})
    (combination / "summary.csv").write_text("a,b\n")
    curve = join(load_peers(tmp_path), 1)
    assert len(curve.results) == 3
    assert [point.concurrency for point in curve.curve.points] == [4]
    assert curve.curve.points[0].throughput.half_width is not None


def test_a_sweep_over_settings_of_the_server_is_no_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seqs in (32, 64):
        folder = tmp_path / f"SERVE--max_num_seqs={seqs}-BENCH--max_concurrency=4"
        folder.mkdir()
        write(folder / "run=0.json", sample("vllm_base_c4.json") | {"run_number": 0, "max_num_seqs": seqs})
    code, said = failure(capsys, tmp_path, tmp_path, "--gpus", "1")
    assert code == EXIT_NOT_COMPARABLE
    assert "setting of the server differs, 'max_num_seqs=32' against 'max_num_seqs=64'" in said
    assert main(["compare", *(f"{tmp_path}/SERVE*={seqs}-*" for seqs in (32, 64)), "--gpus", "1"]) == 0
    assert re.search(r"settings +max_num_seqs=32 +max_num_seqs=64\n", capsys.readouterr().out)


def test_a_run_that_failed_in_a_sweep_is_a_caution(tmp_path: Path) -> None:
    shutil.copy(DATA / "vllm_base_c4.json", tmp_path)
    write(tmp_path / "run=1.failure.json", {"run_number": 1, "error_type": "RuntimeError", "bench_overrides": {}})
    (result,) = load_peers(tmp_path)
    assert result.remarks == ("1 run(s) of the sweep failed and are missing",)


def test_a_pattern_may_be_absolute(tmp_path: Path) -> None:
    for name in ("vllm_base_c1.json", "vllm_base_c4.json", "vllm_base_c8.json"):
        shutil.copy(DATA / name, tmp_path)
    assert len(load_peers(tmp_path / "vllm_base_c[14].json")) == 2


def test_repeated_runs_of_the_real_tool_are_averaged() -> None:
    one, again = load_peers(DATA / "vllm_base_c1.json"), load_peers(DATA / "vllm_base_again_c1.json")
    (point,) = join([*one, *again], 1).curve.points
    mean = (one[0].total_tok_s + again[0].total_tok_s) / 2
    assert point.throughput.value == pytest.approx(mean)
    assert point.throughput.half_width is None, "two runs tell nothing of their scatter"


# Broken and unfit files.


def _vllm(**changes: Any) -> dict[str, Any]:
    return sample("vllm_mtp3_c8.json") | changes


def _aiperf(**changes: Any) -> dict[str, Any]:
    return aiperf() | changes


def _config(**changes: Any) -> dict[str, Any]:
    export = aiperf()
    export["input_config"] |= changes
    return export


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (_vllm(completed=0), "no request was completed"),
        (_vllm(total_output_tokens=0, output_throughput=0.0), "0 output tokens: nothing was counted"),
        (_vllm(median_tpot_ms="3 ms"), "Expected `float`, got `str` - at `$.median_tpot_ms`"),
        (
            _vllm(median_tpot_ms=0.00327),
            "and 0.00327 ms, make 45.11 ms a request of 64 tokens",
        ),
        (_vllm(output_throughput=0.5), "wrong units?"),
        (_vllm(median_tpot_ms=math.nan), "tpot_p50_ms is nan"),
        (_vllm(max_concurrency=None), "no closed loop (max_concurrency None, request_rate inf)"),
        (_vllm(request_rate=2.0), "no closed loop (max_concurrency 8, request_rate 2.0)"),
        (_vllm(max_concurrency=64), "48 completed requests never filled 64 streams"),
        (_vllm(tp="eight"), "tensor parallelism is 'eight'"),
        (sample("vllm_bench_result.json"), "missing required field `backend`"),
        (sample("inferencex_client_result.json"), "give its aggregated agg_*.json"),
        (sglang() | {"request_rate": 4.0}, "no closed loop"),
        (sglang() | {"completed": 0}, "no request was completed"),
        (sglang() | {"duration": 0.0}, "duration_s is 0"),
        (sglang() | {"server_info": {"tp_size": "8"}}, "Expected `int | null`, got `str`"),
        (_aiperf(was_cancelled=True), "the run was cancelled before its end"),
        (_aiperf(is_complete=False), "the run was cancelled before its end"),
        (_aiperf(inter_token_latency={"unit": "furlongs", "p50": 7.7}), "has the unit 'furlongs', expected ns or us"),
        (_aiperf(inter_token_latency={"unit": "sec", "p50": 7.7}), "wrong units?"),
        (_aiperf(inter_token_latency=None), "inter_token_latency has no p50"),
        (_aiperf(request_count={"unit": "requests", "avg": 0.0}), "no request was completed"),
        (_config(endpoint={"type": "chat"}), "answers were not streamed"),
        (_config(phases=[{"kind": "profiling", "type": "poisson", "request_rate": 2.0}]), "no closed loop"),
        (_config(phases=[]), "no closed loop"),
        (_aiperf(input_config=3), "is not a whole result of AIPerf: Expected `object`, got `int`"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], document: dict[str, Any], words: str
) -> None:
    file = write(tmp_path / "broken.json", document)
    code, said = failure(capsys, file, file, "--gpus", "1")
    assert code == EXIT_BAD_INPUT
    assert words in said
    assert "broken.json" in said


@pytest.mark.parametrize("name", ["vllm_mtp3_c8.json", "sglang_py_result.jsonl", "aiperf_profile_export.json"])
@unhurried
@given(share=st.floats(0.01, 0.99))
def test_a_file_that_was_cut_off_is_never_read(
    name: str, share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = (DATA / name).read_text().rstrip()
    file = tmp_path_factory.mktemp("cut") / name
    file.write_text(text[: max(1, int(len(text) * share))])
    with pytest.raises(BrokenFileError, match="is not JSON, or was cut off"):
        meaning_of(file)
    with pytest.raises(BrokenFileError, match="is not JSON, or was cut off"):
        load_peers(file.parent)


def test_an_appended_file_whose_last_run_is_cut_off_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DATA / "vllm_appended.json").read_text()
    (tmp_path / "a.json").write_text(text[:-50])
    code, said = failure(capsys, tmp_path / "a.json", DATA / "vllm_appended.json")
    assert code == EXIT_BAD_INPUT
    assert "a.json is not JSON, or was cut off" in said


@unhurried
@given(st.lists(st.dictionaries(st.text(), st.integers()), min_size=1, max_size=4), st.sampled_from(["list", "lines"]))
def test_objects_are_read_from_a_list_and_from_lines(
    tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, int]], shape: str
) -> None:
    file = tmp_path_factory.mktemp("shapes") / "a.json"
    file.write_text(json.dumps(objects) if shape == "list" else "\n".join(json.dumps(o, indent=1) for o in objects))
    assert [document.content for document in read_documents(file)] == objects


def test_failed_requests_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [""] * 30 + ["timeout", "timeout"]
    old = write(tmp_path / "old.jsonl", sglang())
    new = write(tmp_path / "new.jsonl", sglang() | {"errors": errors})
    assert main(["compare", old, new, "--gpus", "1"]) == 0
    assert "new.jsonl: 2 of 34 requests failed" in capsys.readouterr().out
    export = _aiperf(error_request_count={"unit": "requests", "avg": 3.0})
    assert _read(export).failed == 3
    assert _read(_aiperf(error_summary=[{"count": 4}, {"count": 1}])).failed == 5
    assert _read(_vllm(failed=None, num_prompts=50)).failed == 2


def test_tokens_that_its_own_tokenizer_does_not_find_are_said(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", sglang() | {"total_output_tokens_retokenized": 6400})
    (result,) = load_peers(Path(file))
    assert "its own tokenizer finds 6400 tokens in the answers, 12800 were counted" in result.remarks


# Mixtures.


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (
            "vllm_base_c1.json",
            "sglang_py_result.jsonl",
            "E2E until: last chunk with a token, against last line",
        ),
        ("sglang_py_result.jsonl", "sglang_rust_result.jsonl", "a request to /server_info too"),
        ("aiperf_profile_export.json", "vllm_base_c1.json", "AIPerf against vllm bench serve"),
        ("vllm_base_c1.json", str(PUBLISHED), "vllm bench serve against InferenceX"),
        (str(PUBLISHED), "aiperf_profile_export.json", "InferenceX against AIPerf"),
        ("vllm_base_c1.json", "run.json", "against tokens in the steady window / window"),
        ("run.json", "sglang_rust_result.jsonl", "specdec against SGLang bench_serving (Rust client)"),
    ],
)
def test_a_mixture_is_refused_with_the_reason_before_anything_else_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], one: str, other: str, words: str
) -> None:
    save_run(Run(tool_version="1", started_at="2026-11-23T12:00:00+00:00"), tmp_path / "run.json")
    paths = [(tmp_path if name == "run.json" else DATA) / name for name in (one, other)]
    code, said = failure(capsys, *paths)
    assert code == EXIT_NOT_COMPARABLE
    assert words in said
    assert "compare two results of one tool" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["vllm_base_c1.json"], "takes two sides of one load generator, got 1"),
        (
            ["vllm_base_c1.json", "vllm_base_c4.json", "vllm_base_c8.json"],
            "got 3; give a side of several files as a folder",
        ),
        (["vllm_base_c1.json", "vllm_base_c4.json", "--model", "tiny"], "select InferenceX rows only"),
        (["vllm_base_c1.json", "vllm_base_c4.json"], "vllm_base_c1.json does not state the number of GPUs"),
        (["vllm_base_c1.json", "nothing*.json"], "no result of vllm bench serve, SGLang's bench_serving or AIPerf in"),
        (["vllm_appended.json", "vllm_appended.json", "--gpus", "4"], "number of GPUs is 4 and 8"),
        (["*.json", "vllm_base_c1.json", "--gpus", "1"], "give its aggregated agg_*.json"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(DATA)
    code, said = failure(capsys, *arguments)
    assert code == EXIT_BAD_INPUT
    assert words in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"benchmarks": [], "metadata": {}}, "GuideLLM's files are not read: its time per output token has TTFT in it"),
        ({"load_summary": {}, "successes": {}}, "inference-perf's files are not read"),
        ({"a": 1}, "is no saved run, and no result of InferenceX, vllm bench serve"),
    ],
)
def test_files_of_others_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: dict[str, Any], words: str
) -> None:
    code, said = failure(capsys, write(tmp_path / "a.json", content), DATA / "vllm_base_c1.json")
    assert code == EXIT_BAD_INPUT
    assert words in said


def test_no_secret_of_a_file_reaches_an_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [sglang(slow, streams) | {"server_info": SERVER_INFO} for streams, slow in LOADS]
    exports = [aiperf(slow, streams) for streams, slow in LOADS]
    for export in exports:
        export["run_info"]["cli_command"] += " --api-key sk-planted"
        export["input_config"]["endpoint"] |= {"api_key": "sk-planted", "headers": {"Authorization": "sk-planted"}}
        export["input_config"]["endpoint"]["extra"]["key"] = "sk-planted"
    for documents in (lines, exports):
        file = write(tmp_path / "a.jsonl", *documents)
        outputs = {suffix: tmp_path / f"out.{suffix}" for suffix in ("md", "csv", "json", "html")}
        chosen = [f"--{suffix}={path}" for suffix, path in outputs.items()]
        assert main(["compare", file, file, "--gpus", "8", *chosen]) == 0
        said = capsys.readouterr().out + "".join(path.read_text() for path in outputs.values())
        assert "1.00x" in said
        assert "sk-planted" not in said


def test_a_price_gives_cost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(DATA)
    price = ["--gpu-hour-usd", "1.41", "--gpu-kw", "1.73"]
    assert main(["compare", "vllm_base_c?.json", "vllm_mtp3_c?.json", "--gpus", "1", "--at", "310", *price]) == 0
    out = capsys.readouterr().out
    assert "price: $1.41/GPU-hour" in out


def test_help_says_what_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    out = capsys.readouterr().out
    for words in ("vllm bench serve", "bench_serving", "AIPerf", "folder", "quoted pattern", "--gpus N", "one tool"):
        assert words in out


def _read(document: dict[str, Any]) -> PeerResult:
    wrapped = Document(source="a.json", content=document)
    return next(form for form in FORMATS if form.fits(wrapped)).read(wrapped)
