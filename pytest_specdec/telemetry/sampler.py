"""Sampling of the GPUs about once a second while a point runs; failed samples are skipped."""

from __future__ import annotations

import asyncio
import time
from typing import Self

from pytest_specdec.telemetry.dcgm import open_dcgm
from pytest_specdec.telemetry.nvml import open_nvml
from pytest_specdec.telemetry.readings import GpuTelemetry, Sample, summarize_gpus
from pytest_specdec.telemetry.source import GpuSource, Wanted

EVERY_S = 1.0
_PATIENCE_S = 5.0


async def open_source(dcgm_url: str | None = None, gpus: Wanted = None) -> tuple[GpuSource | None, str]:
    """Open the named DCGM exporter, else NVML on this host; None and the reason when it cannot be used.

    NVML fits only a server on this host (`source.on_this_host`).
    """
    return await (open_dcgm(dcgm_url, gpus) if dcgm_url else open_nvml(gpus))


class GpuSampler:
    """Async context that samples the GPUs, from before the measured window to after it; idle without a source."""

    def __init__(self, source: GpuSource | None) -> None:
        self.source = source
        self.samples: list[Sample] = []
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
            await self._sample(self.source)  # one sample after the window's end, to interpolate there

    def telemetry(self, start_s: float, end_s: float) -> GpuTelemetry | None:
        """Summary between two moments of `time.perf_counter()`; None when nothing is known of it."""
        return None if self.source is None else summarize_gpus(self.source.name, self.samples, start_s, end_s)

    async def _run(self, source: GpuSource) -> None:
        due = time.perf_counter()
        while True:
            await self._sample(source)
            # A late sample is not made up for: two at once would be equal.
            due = max(due + EVERY_S, time.perf_counter())
            await asyncio.sleep(due - time.perf_counter())

    async def _sample(self, source: GpuSource) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                readings = await source.sample()
        except (TimeoutError, OSError):
            return
        if readings:
            self.samples.append(readings)
