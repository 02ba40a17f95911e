"""Files as the tools write them, with the times and the concurrency that a test asks for."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data" / "peer_samples"
STREAMS = 16
"""Of the samples that are made from here."""


def sample(name: str) -> dict[str, Any]:
    """The first result of a sample."""
    content, _ = json.JSONDecoder().raw_decode((DATA / name).read_text())
    return dict(content)


def sglang(slow: float = 1.0, streams: int = STREAMS, name: str = "sglang_py_result.jsonl") -> dict[str, Any]:
    """The sample with every request `slow` times as long, at another concurrency."""
    line = sample(name)
    stretch = slow * STREAMS / streams
    for key, value in line.items():
        if key.endswith("_ms") and "itl" not in key:
            line[key] = value * slow
        elif key.endswith("throughput"):
            line[key] = value / stretch
    return line | {"max_concurrency": streams, "duration": line["duration"] * stretch}


def aiperf(slow: float = 1.0, streams: int = STREAMS) -> dict[str, Any]:
    """The sample with every request `slow` times as long, at another concurrency."""
    export = copy.deepcopy(sample("aiperf_profile_export.json"))
    stretch = slow * STREAMS / streams
    factors = {
        "inter_token_latency": slow,
        "time_to_first_token": slow,
        "request_latency": slow,
        "benchmark_duration": stretch,
        "output_token_throughput": 1 / stretch,
        "total_token_throughput": 1 / stretch,
    }
    for name, factor in factors.items():
        export[name] = {key: value if isinstance(value, str) else value * factor for key, value in export[name].items()}
    export["input_config"]["phases"][0]["concurrency"] = streams
    return export


def write(path: Path, *documents: dict[str, Any]) -> str:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return str(path)
