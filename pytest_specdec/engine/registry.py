"""The engines that this package knows: options, detection, start commands and details by request derive from here.

An engine of another package is added by `register`, in a pytest plugin that is loaded before the command line is parsed
(`-p`, `PYTEST_PLUGINS` or an entry point).
"""

from __future__ import annotations

from pytest_specdec.engine.adapter import Adapter
from pytest_specdec.engine.lmdeploy import Lmdeploy
from pytest_specdec.engine.sglang import Sglang
from pytest_specdec.engine.template import Launch
from pytest_specdec.engine.trtllm import Trtllm
from pytest_specdec.engine.unknown import Unknown
from pytest_specdec.engine.vllm import Vllm

ENGINES: dict[str, Adapter] = {}
"""By the name that `--specdec-engine` takes, in the order in which detection tries them."""
LAUNCHERS: dict[str, Launch] = {}
"""By the name that `--specdec-launch` takes."""


def register(adapter: Adapter) -> None:
    """Add an engine, or put another adapter in the place of the one of this name."""
    ENGINES[adapter.name] = adapter
    if adapter.launch is not None:
        LAUNCHERS[adapter.name] = adapter.launch


for _adapter in (Vllm(), Sglang(), Trtllm(), Lmdeploy(), Unknown()):
    register(_adapter)
