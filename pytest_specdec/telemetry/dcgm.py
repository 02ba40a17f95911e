"""A DCGM exporter: GPU readings of another host over HTTP.

The exporter serves the last values that DCGM collected, every 30 s unless it was started with another `-c`. Its
default fields have power (W), energy (mJ), SM clock and temperature, but neither power limit nor clock event reasons.
Of a GPU that is split by MIG it shows the values of the whole GPU once per instance: they are counted once.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from pytest_specdec.redaction import without_credentials
from pytest_specdec.telemetry.readings import GpuReading, GpuSourceName
from pytest_specdec.telemetry.source import Wanted, choose

_PATIENCE_S = 5.0
_BLANK = 2.0**31 - 16
"""DCGM's smallest blank value (INT32_BLANK); blanks of the other types are greater still."""
_BLANK_ENERGY = 2.0**47
"""The smallest blank that is no possible energy: FP64_BLANK, six years of a 700 W GPU."""
_FIELDS: dict[str, tuple[str, ...]] = {
    # By preference; the second spellings are those of DCGM 4's headers, which an exporter's own list of fields may use.
    "energy_j": ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",),
    "power_w": ("DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_BOARD_POWER_WATTS"),
    "power_cap_w": (
        "DCGM_FI_DEV_ENFORCED_POWER_LIMIT",
        "DCGM_FI_DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS",
        "DCGM_FI_DEV_POWER_MGMT_LIMIT",
        "DCGM_FI_DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS",
    ),
    "sm_clock_mhz": ("DCGM_FI_DEV_SM_CLOCK",),
    "temperature_c": ("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_GPU_TEMP_CELSIUS"),
    "reasons": ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"),
}
_NAMES = tuple(name for names in _FIELDS.values() for name in names)
_LINE = re.compile(r"(?P<name>\w+)\s*\{(?P<labels>.*)\}\s*(?P<value>\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_FAILURES = (aiohttp.ClientError, TimeoutError, ValueError)  # an undecodable body is a ValueError


@dataclass(frozen=True, slots=True, kw_only=True)
class DcgmSource:
    """The chosen GPUs of an exporter."""

    name: ClassVar[GpuSourceName] = "dcgm"
    session: aiohttp.ClientSession
    url: str
    gpus: tuple[str, ...]
    """UUIDs."""

    async def sample(self) -> Sequence[GpuReading]:
        """Fetch the exposition."""
        try:
            found = await _fetch(self.session, self.url)
        except _FAILURES:
            return ()
        return [reading for reading in found if reading.gpu in self.gpus]

    async def close(self) -> None:
        """Close the connection."""
        await self.session.close()


async def open_dcgm(url: str, gpus: Wanted = None) -> tuple[DcgmSource | None, str]:
    """Open an exporter by its URL, with or without `/metrics`; None and the reason when it cannot be used."""
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE_S))
    try:
        parts = urlsplit(url)
        parts = parts._replace(path=parts.path.rstrip("/") or "/metrics")
        found = await _fetch(session, urlunsplit(parts))
    except _FAILURES as error:
        await session.close()
        return None, f"the DCGM exporter {without_credentials(url)} cannot be read: {_why(error)}"
    chosen, problem = choose({reading.gpu: reading.index for reading in found}, gpus)
    if problem:
        await session.close()
        return None, f"the DCGM exporter {without_credentials(url)}: {problem}"
    return DcgmSource(session=session, url=urlunsplit(parts), gpus=chosen), ""


def parse_dcgm(text: str, at_s: float) -> list[GpuReading]:
    """Read an exposition: one reading per GPU, in order of first appearance; unknown lines are skipped."""
    rows: dict[str, dict[str, tuple[tuple[bool, int], float]]] = {}
    labels_of: dict[str, dict[str, str]] = {}
    split: set[str] = set()
    for name, labels, value in _lines(text):
        index = labels.get("gpu", "")
        gpu = labels.get("UUID") or labels.get("uuid") or f"{labels.get('Hostname', '')}/{index}"
        instance = labels.get("GPU_I_ID", "")
        if instance:
            split.add(gpu)
        labels_of.setdefault(gpu, labels)
        # The whole GPU's row first, then the lowest instance's; their values differ only by the moment of reading.
        rank = (bool(instance), int(instance) if instance.isdecimal() else 0)
        known = _known(name, value)
        if known is not None:
            values = rows.setdefault(gpu, {})
            values[name] = min(values.get(name, (rank, known)), (rank, known), key=lambda row: row[0])
    return [
        GpuReading(
            at_s=at_s,
            gpu=gpu,
            index=labels.get("gpu", ""),
            model=labels.get("modelName", ""),
            mig=gpu in split,
            **_values({name: value for name, (_, value) in rows.get(gpu, {}).items()}),
        )
        for gpu, labels in labels_of.items()
    ]


def _lines(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, labels and value of the known lines.

    This runs in the event loop of the load once a second: for eight GPUs it takes 0.5 ms, the parser of
    prometheus_client ten times as long.
    """
    for line in text.splitlines():
        if line.startswith(_NAMES):
            found = _LINE.fullmatch(line)
            if found is not None and found["name"] in _NAMES:
                try:
                    value = float(found["value"])
                except ValueError:
                    continue
                yield found["name"], dict(_LABEL.findall(found["labels"])), value


async def _fetch(session: aiohttp.ClientSession, url: str) -> list[GpuReading]:
    before = time.perf_counter()
    async with session.get(url) as response:
        response.raise_for_status()
        text = await response.text()
    found = parse_dcgm(text, (before + time.perf_counter()) / 2)
    if not found:
        raise ValueError("it has none of the DCGM_FI_DEV_ metrics of power, energy, clock and temperature")
    return found


def _values(by_name: dict[str, float]) -> dict[str, Any]:
    present = {field: [by_name[name] for name in names if name in by_name] for field, names in _FIELDS.items()}
    found: dict[str, Any] = {field: values[0] for field, values in present.items() if values}
    if "energy_j" in found:
        found["energy_j"] /= 1000
    if "reasons" in found:
        found["reasons"] = int(found["reasons"])
    return found


def _known(name: str, value: float) -> float | None:
    """The value; None for DCGM's blanks, and for 0 in a field that is never 0 (MIG rows of some releases are all 0)."""
    blank = _BLANK_ENERGY if name in _FIELDS["energy_j"] else _BLANK
    may_be_0 = name in (*_FIELDS["reasons"], *_FIELDS["temperature_c"])
    return value if math.isfinite(value) and (0 < value < blank or (value == 0 and may_be_0)) else None


def _why(error: Exception) -> str:
    """The error in words; aiohttp's own would quote the URL with its credentials."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"HTTP {error.status}"
    if isinstance(error, aiohttp.InvalidURL):
        return "that is not a URL"
    return str(error) or type(error).__name__
