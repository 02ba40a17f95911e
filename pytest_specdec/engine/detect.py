"""Which engine answers: by its metric names, by the owner of its models, by endpoints that no other engine has."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from pytest_specdec.engine.adapter import Adapter, UnknownEngine
from pytest_specdec.engine.control import Control
from pytest_specdec.engine.sglang import Sglang
from pytest_specdec.engine.trtllm import Trtllm
from pytest_specdec.engine.vllm import Vllm

ADAPTERS: Mapping[str, Adapter] = {
    adapter.name: adapter for adapter in (Vllm(), Sglang(), Trtllm(), Vllm("lmdeploy"), UnknownEngine())
}
"""By the name that `--specdec-engine` takes."""

_OWNERS = {"vllm": "vllm", "sglang": "sglang", "tensorrt_llm": "trtllm", "lmdeploy": "lmdeploy"}


async def detect(control: Control, owner: str) -> Adapter:
    """Find the adapter of a server whose models are owned by `owner`; the unknown engine when nothing tells.

    Metric names come first: a gateway passes metrics through and puts its own name on models.
    """
    try:
        return ADAPTERS[await _name(control, owner)]
    except (aiohttp.ClientError, TimeoutError):
        return ADAPTERS["unknown"]


async def _name(control: Control, owner: str) -> str:
    samples = await control.samples("/metrics")
    for name in ("vllm", "sglang", "lmdeploy"):
        if samples.has(f"{name}:"):
            return name
    if owner.lower() in _OWNERS:
        return _OWNERS[owner.lower()]
    if "tp_size" in await control.json("/server_info"):
        return "sglang"
    # TensorRT-LLM's /metrics is JSON and drained by reading, so its Prometheus path is asked instead.
    if (await control.samples("/prometheus/metrics")).has("trtllm_"):
        return "trtllm"
    return "unknown"
