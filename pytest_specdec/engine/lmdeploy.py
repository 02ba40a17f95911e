"""LMDeploy: vLLM's metrics under its own prefix, with the same meaning; the user starts it."""

from __future__ import annotations

from pytest_specdec.engine.vllm import Vllm


class Lmdeploy(Vllm):
    """LMDeploy's API server."""

    name = "lmdeploy"
    owner = "lmdeploy"
    metrics_prefix = "lmdeploy:"
    request_details = None
    launch = None
