"""One adapter per tool: where it is installed, its command line, and how its result file is read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_ROOT = HERE.parents[1]
_VLLM_ENTRY = _ROOT / "tests" / "engine" / "vllm_entry.py"
_MODEL = "known-timing"
_USAGE = json.dumps({"stream_options": {"include_usage": True}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A closed loop that a tool is to run."""

    url: str
    concurrency: int
    requests: int
    isl: int
    osl: int
    folder: Path
    """Where the tool may write; empty before the run."""
    tokenizer: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a tool says; None where it does not."""

    ttft_mean_ms: float | None
    ttft_p50_ms: float | None
    tpot_mean_ms: float | None
    tpot_p50_ms: float | None
    output_tok_s: float | None
    completed: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One load generator."""

    name: str
    executable: Callable[[], Path]
    """What must exist for it to run."""
    command: Callable[[Job], list[str]]
    read: Callable[[Path], Reported]
    """From the job's folder."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def left_out(self) -> str:
        """Why it cannot run; empty when it can."""
        executable = self.executable()
        return "" if executable.exists() else f"not installed: there is no {executable.name} where it is looked for"


def _peer(name: str, program: str) -> Path:
    """A program in a tool's own environment, in the folder that SPECDEC_PEERS names."""
    return Path(os.environ.get("SPECDEC_PEERS", "peers")).absolute() / name / "bin" / program


def _interpreter() -> Path:
    return Path(sys.executable)


def _vllm_python() -> Path:
    return Path(os.environ.get("SPECDEC_VLLM_PYTHON") or _peer("vllm", "python"))


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


# ---- clients of this folder


def _own_client(script: str) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        return [
            *(sys.executable, str(HERE / script), "--url", job.url, "--concurrency", str(job.concurrency)),
            *("--requests", str(job.requests), "--isl", str(job.isl), "--osl", str(job.osl)),
            *("--out", str(job.folder / "result.json")),
        ]

    return command


def _read_own(folder: Path) -> Reported:
    result = _json(folder / "result.json")
    return Reported(
        **{
            name: result[name]
            for name in ("ttft_mean_ms", "ttft_p50_ms", "tpot_mean_ms", "tpot_p50_ms", "output_tok_s")
        },
        completed=result["requests"],
        failed=result["failed"],
    )


# ---- vLLM, and SGLang, which has its names


def _vllm_command(job: Job) -> list[str]:
    return [
        *(str(_vllm_python()), str(_VLLM_ENTRY), "bench", "serve", "--backend", "openai-chat"),
        *("--base-url", job.url, "--endpoint", "/v1/chat/completions", "--model", _MODEL),
        *("--tokenizer", str(job.tokenizer), "--dataset-name", "random", "--random-input-len", str(job.isl)),
        *("--random-output-len", str(job.osl), "--num-prompts", str(job.requests), "--ignore-eos"),
        *("--max-concurrency", str(job.concurrency), "--ready-check-timeout-sec", "0", "--disable-tqdm"),
        *("--save-result", "--result-dir", str(job.folder), "--result-filename", "result.json"),
    ]


def _sglang_command(kind: str) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        return [
            *(str(_peer("sglang", "python")), str(HERE / "sglang_launcher.py"), kind, "--backend", "sglang-oai-chat"),
            *("--base-url", job.url, "--model", _MODEL, "--tokenizer", str(job.tokenizer), "--disable-tqdm"),
            *("--dataset-name", "random-ids", "--num-prompts", str(job.requests)),
            *("--random-input-len", str(job.isl), "--random-output-len", str(job.osl)),
            *("--random-range-ratio", "1.0", "--max-concurrency", str(job.concurrency), "--warmup-requests", "1"),
            *("--extra-request-body", _USAGE, "--output-file", str(job.folder / "result.json")),
        ]

    return command


def _read_vllm_like(folder: Path) -> Reported:
    result = json.loads((folder / "result.json").read_text().splitlines()[-1])
    return Reported(
        ttft_mean_ms=result["mean_ttft_ms"],
        ttft_p50_ms=result["median_ttft_ms"],
        tpot_mean_ms=result["mean_tpot_ms"],
        tpot_p50_ms=result["median_tpot_ms"],
        output_tok_s=result["output_throughput"],
        completed=result["completed"],
        failed=result.get("failed", 0),
    )


# ---- AIPerf


def _aiperf_command(job: Job) -> list[str]:
    return [
        *(str(_peer("aiperf", "aiperf")), "profile", "-m", _MODEL, "--url", job.url, "--endpoint-type", "chat"),
        *("--streaming", "--concurrency", str(job.concurrency), "--request-count", str(job.requests)),
        *("--isl", str(job.isl), "--isl-stddev", "0", "--osl", str(job.osl), "--osl-stddev", "0"),
        *("--extra-inputs", "ignore_eos:true", "--tokenizer", str(job.tokenizer), "--use-server-token-count"),
        *("--random-seed", "42", "--ui", "none", "--no-gpu-telemetry", "--no-server-metrics"),
        *("--output-artifact-dir", str(job.folder)),
    ]


def _read_aiperf(folder: Path) -> Reported:
    result = _json(folder / "profile_export_aiperf.json")
    # It calls TPOT the inter-token latency.
    ttft, tpot = result["time_to_first_token"], result["inter_token_latency"]
    completed = int(result["request_count"]["avg"])
    failed = result.get("error_request_count", {}).get("avg", 0)
    return Reported(
        ttft_mean_ms=ttft["avg"],
        ttft_p50_ms=ttft["p50"],
        tpot_mean_ms=tpot["avg"],
        tpot_p50_ms=tpot["p50"],
        output_tok_s=result["output_token_throughput"]["avg"],
        completed=completed,
        failed=int(failed),
    )


# ---- GuideLLM


def _guidellm_command(job: Job) -> list[str]:
    backend = f"kind=openai_http,target={job.url},model={_MODEL},request_format=/v1/chat/completions"
    data = f"kind=synthetic_text,prompt_tokens={job.isl},output_tokens={job.osl}"
    return [
        *(str(_peer("guidellm", "guidellm")), "run", "--backend", backend),
        *("--profile", f"kind=concurrent,streams={job.concurrency}"),
        *("--constraint", f"kind=max_requests,count={job.requests}"),
        *("--tokenizer", f"kind=huggingface_auto,model={job.tokenizer}", "--data", data),
        *("--output", f"kind=json,path={job.folder / 'benchmarks.json'}", "--disable-console-interactive"),
    ]


def _read_guidellm(folder: Path) -> Reported:
    metrics = _json(folder / "benchmarks.json")["benchmarks"][0]["metrics"]
    # Its "TPOT" holds TTFT; what it calls the inter-token latency is TPOT.
    ttft, tpot = (metrics[name]["successful"] for name in ("time_to_first_token_ms", "inter_token_latency_ms"))
    totals = metrics["request_totals"]
    return Reported(
        ttft_mean_ms=ttft["mean"],
        ttft_p50_ms=ttft["median"],
        tpot_mean_ms=tpot["mean"],
        tpot_p50_ms=tpot["median"],
        output_tok_s=metrics["output_tokens_per_second"]["successful"]["mean"],
        completed=totals["successful"],
        failed=totals["errored"] + totals["incomplete"],
    )


# ---- inference-perf


def _inference_perf_command(job: Job) -> list[str]:
    def fixed(tokens: int) -> dict[str, float]:
        return {"min": tokens, "max": tokens, "mean": tokens, "std_dev": 0, "total_count": job.requests}

    settings = {
        # Its random prompts exist for completions only.
        "api": {"type": "completion", "streaming": True},
        "data": {
            "type": "random",
            "input_distribution": fixed(job.isl),
            "output_distribution": fixed(job.osl),
        },
        "load": {
            "type": "concurrent",
            "stages": [{"num_requests": job.requests, "concurrency_level": job.concurrency}],
        },
        "server": {"type": "vllm", "model_name": _MODEL, "base_url": job.url, "ignore_eos": True},
        "tokenizer": {"pretrained_model_name_or_path": str(job.tokenizer)},
        "report": {"request_lifecycle": {"summary": True, "per_stage": False, "per_adapter": False}},
        "storage": {"local_storage": {"path": str(job.folder)}},
    }
    config = job.folder / "config.yml"
    config.write_text(json.dumps(settings))
    return [str(_peer("inference-perf", "inference-perf")), "-c", str(config)]


def _read_inference_perf(folder: Path) -> Reported:
    result = _json(next(folder.rglob("summary_lifecycle_metrics.json")))
    good = result["successes"]
    ttft, tpot = (good["latency"][name] for name in ("time_to_first_token", "time_per_output_token"))
    return Reported(
        ttft_mean_ms=1e3 * ttft["mean"],
        ttft_p50_ms=1e3 * ttft["median"],
        tpot_mean_ms=1e3 * tpot["mean"],
        tpot_p50_ms=1e3 * tpot["median"],
        output_tok_s=good["throughput"]["output_tokens_per_sec"],
        completed=good["count"],
        failed=result["failures"]["count"],
    )


_OFFLINE = {"TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(name="specdec", executable=_interpreter, command=_own_client("our_client.py"), read=_read_own),
        Tool(name="reader", executable=_interpreter, command=_own_client("raw_reader.py"), read=_read_own),
        Tool(
            name="vllm",
            executable=_vllm_python,
            command=_vllm_command,
            read=_read_vllm_like,
            environment=_OFFLINE,
        ),
        Tool(
            name="sglang-py",
            executable=lambda: _peer("sglang", "python"),
            command=_sglang_command("python"),
            read=_read_vllm_like,
            environment=_OFFLINE,
        ),
        Tool(
            name="sglang-rust",
            executable=lambda: _peer("sglang", "python"),
            command=_sglang_command("rust"),
            read=_read_vllm_like,
        ),
        Tool(
            name="aiperf",
            executable=lambda: _peer("aiperf", "aiperf"),
            command=_aiperf_command,
            read=_read_aiperf,
            # Told to be offline, it takes the tokenizer's folder for the name of a repository.
        ),
        Tool(
            name="inference-perf",
            executable=lambda: _peer("inference-perf", "inference-perf"),
            command=_inference_perf_command,
            read=_read_inference_perf,
            environment=_OFFLINE,
        ),
        Tool(
            name="guidellm",
            executable=lambda: _peer("guidellm", "guidellm"),
            command=_guidellm_command,
            read=_read_guidellm,
            environment=_OFFLINE,
        ),
    )
}
