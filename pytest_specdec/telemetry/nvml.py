"""NVML on this host, by the optional library `nvidia-ml-py`.

Units are NVML's: power and limits in mW, energy in mJ since the driver was loaded (Volta and newer), clocks in MHz.
Power is an average over one second on Ampere and newer, momentary on A100 and older. Calls block, and go to a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar

from pytest_specdec.telemetry.readings import GpuReading, GpuSourceName
from pytest_specdec.telemetry.source import Wanted, choose

_CLOCK_SM = 1
_TEMPERATURE_GPU = 0
_REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
"""The call by its present name, and by the one that older drivers have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Board:
    handle: Any
    uuid: str
    index: str
    model: str
    mig: bool


@dataclass(slots=True, kw_only=True)
class NvmlSource:
    """The chosen GPUs of this host."""

    name: ClassVar[GpuSourceName] = "nvml"
    library: ModuleType
    boards: tuple[_Board, ...]
    _reading: asyncio.Task[list[GpuReading]] | None = field(default=None, repr=False)

    async def sample(self) -> Sequence[GpuReading]:
        """Read every GPU in a thread; the next sample waits for a call that hangs, so that threads do not pile up."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(asyncio.to_thread(self.read))
        return await asyncio.shield(self._reading)

    async def close(self) -> None:
        """Shut NVML down, unless a call still hangs in it."""
        if self._reading is None or self._reading.done():
            await asyncio.to_thread(_shutdown, self.library)

    def read(self) -> list[GpuReading]:
        """Read every GPU in this thread; those without any value are left out."""
        readings = [_read_board(self.library, board) for board in self.boards]
        return [reading for reading in readings if any(value is not None for value in reading.values)]


async def open_nvml(gpus: Wanted = None) -> tuple[NvmlSource | None, str]:
    """Open NVML; None and the reason when it cannot be used."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a deprecated namesake of the library warns when it is imported
            library = importlib.import_module("pynvml")
    except ImportError:
        return None, "NVML is unavailable: nvidia-ml-py is not installed"
    return await asyncio.to_thread(_open, library, gpus)


def _open(library: ModuleType, gpus: Wanted) -> tuple[NvmlSource | None, str]:
    try:
        library.nvmlInit()
        count = int(library.nvmlDeviceGetCount())
    except library.NVMLError as error:
        _shutdown(library)
        return None, f"NVML cannot be used here: {error}"
    boards: dict[str, _Board] = {}
    refused = ""
    for index in range(count):
        try:
            handle = library.nvmlDeviceGetHandleByIndex(index)
        except library.NVMLError as error:
            refused = f" (GPU {index}: {error})"
            continue
        uuid = _text(_ask(library, "nvmlDeviceGetUUID", handle)) or f"GPU {index}"
        mig = _ask(library, "nvmlDeviceGetMigMode", handle)
        model = _text(_ask(library, "nvmlDeviceGetName", handle))
        boards[uuid] = _Board(handle=handle, uuid=uuid, index=str(index), model=model, mig=bool(mig and mig[0]))
    chosen, problem = choose({uuid: board.index for uuid, board in boards.items()}, gpus)
    if problem:
        _shutdown(library)
        return None, f"NVML: {problem}{refused}"
    source = NvmlSource(library=library, boards=tuple(boards[uuid] for uuid in chosen))
    if not source.read():
        _shutdown(library)
        return None, "NVML: the GPUs report no values"
    return source, ""


def _read_board(library: ModuleType, board: _Board) -> GpuReading:
    before = time.perf_counter()
    energy = _number(library, "nvmlDeviceGetTotalEnergyConsumption", board.handle)
    after = time.perf_counter()
    power = _number(library, "nvmlDeviceGetPowerUsage", board.handle)
    cap = _number(library, "nvmlDeviceGetEnforcedPowerLimit", board.handle)
    reasons = [mask for name in _REASONS if (mask := _ask(library, name, board.handle)) is not None]
    temperature = _ask(library, "nvmlDeviceGetTemperature", board.handle, _TEMPERATURE_GPU)
    return GpuReading(
        at_s=(before + after) / 2,
        gpu=board.uuid,
        index=board.index,
        model=board.model,
        mig=board.mig,
        energy_j=None if energy is None else energy / 1000,
        power_w=None if power is None else power / 1000,
        power_cap_w=None if cap is None else cap / 1000,
        sm_clock_mhz=_number(library, "nvmlDeviceGetClockInfo", board.handle, _CLOCK_SM),
        temperature_c=None if temperature is None else float(temperature),
        reasons=int(reasons[0]) if reasons else None,
    )


def _number(library: ModuleType, name: str, *arguments: Any) -> float | None:  # noqa: ANN401
    """Call a function whose value is never 0 where it is known."""
    answer = _ask(library, name, *arguments)
    return float(answer) if answer else None


def _ask(library: ModuleType, name: str, *arguments: Any) -> Any:  # noqa: ANN401
    """Call a function; None where this library, driver or GPU does not have it, or refuses."""
    call = getattr(library, name, None)
    if call is None:
        return None
    try:
        return call(*arguments)
    except library.NVMLError:
        return None


def _text(answer: Any) -> str:  # noqa: ANN401
    return answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer or "")


def _shutdown(library: ModuleType) -> None:
    with contextlib.suppress(library.NVMLError):
        library.nvmlShutdown()
