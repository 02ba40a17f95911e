"""Start of the one CPU build of vLLM: the built-in command with `vllm_entry.py` in the place of vLLM's own entry."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any


def pytest_specdec_launch(default: Any) -> Any:
    entry = shlex.quote(str(Path(__file__).parent / "vllm_entry.py"))
    return replace(default, start=default.start.replace("{vllm_entry}", entry))
