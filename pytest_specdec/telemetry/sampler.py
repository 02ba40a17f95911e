"""Look at the GPUs about once a second while a point runs, and forgive looks that fail."""

from __future__ import annotations

import asyncio
import time
from typing import Self

from pytest_specdec.telemetry.dcgm import open_dcgm
from pytest_specdec.telemetry.nvml import open_nvml
from pytest_specdec.telemetry.readings import GpuTelemetry, Look, summarize_gpus
from pytest_specdec.telemetry.source import GpuSource, Wanted

EVERY_S = 1.0
_PATIENCE_S = 5.0


async def open_source(dcgm_url: str | None = None, gpus: Wanted = None) -> tuple[GpuSource | None, str]:
    """Open the DCGM exporter that was named, else NVML on this host; None and the reason when it cannot be used.

    NVML is right only for a server on this host (`source.on_this_host`).
    """
    return await (open_dcgm(dcgm_url, gpus) if dcgm_url else open_nvml(gpus))


class GpuSampler:
    """Async context in which the GPUs are looked at; it should begin before the measured window and end after it.

    Without a source it does nothing, so that whoever measures need not ask.
    """

    def __init__(self, source: GpuSource | None) -> None:
        self.source = source
        self.looks: list[Look] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self.source is not None:
            self._task = asyncio.create_task(self._run(self.source))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.source is None or self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if kind is None:
            await self._look(self.source)  # one look after the window's end, to interpolate there

    def telemetry(self, start_s: float, end_s: float) -> GpuTelemetry | None:
        """What the GPUs did between two moments of `time.perf_counter()`; None when nothing is known of it."""
        return None if self.source is None else summarize_gpus(self.source.name, self.looks, start_s, end_s)

    async def _run(self, source: GpuSource) -> None:
        due = time.perf_counter()
        while True:
            await self._look(source)
            # A late look is not made up for: two at once would tell the same.
            due = max(due + EVERY_S, time.perf_counter())
            await asyncio.sleep(due - time.perf_counter())

    async def _look(self, source: GpuSource) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                readings = await source.look()
        except (TimeoutError, OSError):
            return
        if readings:
            self.looks.append(readings)
