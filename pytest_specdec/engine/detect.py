"""Recognition of the engine behind an endpoint: metric names, owner of its models, endpoints that no other has."""

from __future__ import annotations

import aiohttp

from pytest_specdec.domain.environment import UNKNOWN
from pytest_specdec.engine.adapter import Adapter
from pytest_specdec.engine.control import Control
from pytest_specdec.engine.registry import ENGINES


async def detect(control: Control, owner: str) -> Adapter:
    """Adapter of a server whose models are owned by `owner`; that of the unknown engine when nothing tells."""
    try:
        return await _recognised(control, owner.lower()) or ENGINES[UNKNOWN]
    except (aiohttp.ClientError, TimeoutError):
        return ENGINES[UNKNOWN]


async def _recognised(control: Control, owner: str) -> Adapter | None:
    samples = await control.samples("/metrics")
    # Metric names before the owner: a gateway passes metrics through and puts its own name on models.
    for adapter in ENGINES.values():
        if adapter.metrics_prefix and samples.has(adapter.metrics_prefix):
            return adapter
    for adapter in ENGINES.values():
        if owner and adapter.owner == owner:
            return adapter
    for adapter in ENGINES.values():
        if await adapter.recognises(control):
            return adapter
    return None
