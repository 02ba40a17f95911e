"""Measures the client itself while a point runs: loop lag, CPU, time spent waiting for a CPU."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from pytest_specdec.domain.client_health import ClientHealth

_TICK_S = 0.02
_SCHEDULER = Path("/proc/thread-self/schedstat")
"""On Linux: nanoseconds run, nanoseconds runnable and waiting, slices."""


class Vitals:
    """Measurement from entering the context to leaving it, or to `health`."""

    def __init__(self) -> None:
        self._loop_lags: list[float] = []
        self._started_s, self._cpu_s, self._waited_s = time.perf_counter(), time.process_time(), _waited_s()
        self._ticker = asyncio.create_task(self._tick())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ticker.cancel()
        await asyncio.gather(self._ticker, return_exceptions=True)

    def health(self, *, arrival_lags: Sequence[float], send_lags: Sequence[float], lost_load: float) -> ClientHealth:
        """Sum up; lags in seconds."""
        seconds = time.perf_counter() - self._started_s
        waited = _waited_s()
        return ClientHealth(
            clock="kernel" if arrival_lags else "process",
            arrival_lag_p99_ms=_p99_ms(arrival_lags) if arrival_lags else None,
            arrival_lag_max_ms=1000 * max(arrival_lags) if arrival_lags else None,
            send_lag_p99_ms=_p99_ms(send_lags),
            send_lag_max_ms=1000 * max(send_lags, default=0.0),
            lost_load=lost_load,
            loop_lag_p99_ms=_p99_ms(self._loop_lags),
            loop_lag_max_ms=1000 * max(self._loop_lags, default=0.0),
            cpu_share=(time.process_time() - self._cpu_s) / seconds,
            cpu_wait_share=None if waited is None or self._waited_s is None else (waited - self._waited_s) / seconds,
        )

    async def _tick(self) -> None:
        while True:
            due = time.perf_counter() + _TICK_S
            await asyncio.sleep(_TICK_S)
            self._loop_lags.append(max(time.perf_counter() - due, 0.0))


def _p99_ms(seconds: Sequence[float]) -> float:
    return float(np.percentile(seconds, 99)) * 1000 if len(seconds) else 0.0


def _waited_s() -> float | None:
    try:
        return int(_SCHEDULER.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None
