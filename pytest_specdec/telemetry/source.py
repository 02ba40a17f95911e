"""What a source of GPU readings is, and which of its GPUs are meant."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from pytest_specdec.telemetry.readings import GpuReading, GpuSourceName

Wanted = Sequence[int | str] | None
"""Indices or UUIDs (the beginning of one will do), as in CUDA_VISIBLE_DEVICES; None is every GPU that is seen.

Indices are those of `nvidia-smi`, which CUDA shares only with CUDA_DEVICE_ORDER=PCI_BUS_ID or equal GPUs.
"""


class GpuSource(Protocol):
    """Something that can be asked what GPUs do."""

    @property
    def name(self) -> GpuSourceName:
        """Which kind of source it is."""

    async def look(self) -> Sequence[GpuReading]:
        """Read every GPU once; empty when nothing could be read. Never raises."""

    async def close(self) -> None:
        """Let go of it."""


def choose(seen: Mapping[str, str], wanted: Wanted) -> tuple[tuple[str, ...], str]:
    """Pick GPUs from those seen (index by UUID); the UUIDs, or the reason why there are none.

    A GPU that is not there refuses the whole list: the energy of fewer GPUs than meant would look like a saving.
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
    """Whether an endpoint's URL names this host, so that NVML here may see its GPUs.

    A forwarded port looks like this host and is not; `GpuTelemetry.idle` tells afterwards.
    """
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1", socket.gethostname().lower()} or host.startswith("127.")
