"""Sources of GPU readings, and the choice among their GPUs."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from pytest_specdec.telemetry.readings import GpuReading, GpuSourceName

Wanted = Sequence[int | str] | None
"""Indices or UUIDs (or the beginning of one), as in CUDA_VISIBLE_DEVICES; None is every visible GPU.

Indices are those of `nvidia-smi`, which CUDA shares only with CUDA_DEVICE_ORDER=PCI_BUS_ID or equal GPUs.
"""


class GpuSource(Protocol):
    """A source of GPU readings."""

    @property
    def name(self) -> GpuSourceName:
        """Kind of source."""

    async def sample(self) -> Sequence[GpuReading]:
        """Read every GPU once; empty when nothing could be read. Never raises."""

    async def close(self) -> None:
        """Release it."""


def choose(seen: Mapping[str, str], wanted: Wanted) -> tuple[tuple[str, ...], str]:
    """Pick GPUs from the visible ones (index by UUID); the UUIDs, or the reason why there are none.

    A missing GPU refuses the whole list: the energy of fewer GPUs than intended would pass for a saving.
    """
    if not seen:
        return (), "no GPU is seen"
    if wanted is None:
        return tuple(seen), ""
    chosen: dict[str, None] = {}
    for item in map(str, wanted):
        if item.startswith("MIG-"):
            return (), f"{item} is a MIG instance: there is no energy of an instance, name its GPU"
        found = [uuid for uuid, index in seen.items() if item == index or (item and uuid.startswith(item))]
        if len(found) != 1:
            there = ", ".join(f"{index} ({uuid})" for uuid, index in seen.items())
            return (), f"GPU {item} {'is not unique' if found else 'is not there'}; there are: {there}"
        chosen[found[0]] = None
    return (tuple(chosen), "") if chosen else ((), "no GPU was chosen")


def on_this_host(url: str) -> bool:
    """True if an endpoint's URL names this host, so that NVML here may see its GPUs.

    A forwarded port names this host too; `GpuTelemetry.idle` exposes it afterwards.
    """
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1", socket.gethostname().lower()} or host.startswith("127.")
