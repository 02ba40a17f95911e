"""The engines that the simulated engine can imitate; a dialect of another package is one more entry."""

from __future__ import annotations

from pytest_specdec.simulator.dialects.dialect import Dialect
from pytest_specdec.simulator.dialects.sglang import SglangDialect
from pytest_specdec.simulator.dialects.trtllm import TrtllmDialect
from pytest_specdec.simulator.dialects.vllm import VllmDialect

DIALECTS: dict[str, Dialect] = {"vllm": VllmDialect(), "sglang": SglangDialect(), "trtllm": TrtllmDialect()}
"""By the name that `specdec simulate --dialect` takes."""
