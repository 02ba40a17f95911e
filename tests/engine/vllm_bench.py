"""`vllm bench serve` against a live server, with this project's prompts."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from live import ENTRY, PYTHON

from pytest_specdec.domain.cell import Workload
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.load.writers import PromptWriter
from pytest_specdec.workload.schedule import closed_loop_requests


def write_prompts(path: Path, writer: PromptWriter, workload: Workload, count: int) -> Path:
    """The first prompts of the workload, without the stationary start, which the peer does not know."""
    requests = islice((r for r in closed_loop_requests(workload, 1) if not r.skipped), count)
    path.write_text("".join(json.dumps({"prompt": writer.text(r)}) + "\n" for r in requests))
    return path


def bench(  # noqa: PLR0913 - a run is all of these
    endpoint: Endpoint, model: str, prompts: Path, osl: int, *, prompts_sent: int, concurrency: int
) -> dict[str, Any]:
    """One run, from the file that it saves."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(PYTHON, str(ENTRY), "bench", "serve", "--backend", "openai-chat", "--base-url", endpoint.root),
            *("--endpoint", "/v1/chat/completions", "--model", model, "--dataset-name", "custom"),
            *("--dataset-path", str(prompts), "--custom-output-len", str(osl)),
            *("--disable-shuffle", "--skip-chat-template"),
            *("--num-prompts", str(prompts_sent), "--max-concurrency", str(concurrency), "--ignore-eos"),
            *("--temperature", "0", "--save-result", "--result-dir", folder, "--result-filename", "result.json"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"vllm bench serve failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        result: dict[str, Any] = json.loads((Path(folder) / "result.json").read_text())
        return result
