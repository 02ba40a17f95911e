"""Summary of the GPUs over a measured window: energy, power, clocks, temperature, throttling; no I/O.

Energy is that of the GPU boards (chip, memory and their circuitry) by the GPUs' own sensors: not of the host's
processors, fans, switches or power supplies. Measured J/token is therefore another metric than provisioned J/token, and
lies well below it.

Where a GPU has an energy counter, energy is its difference over the window, interpolated at the edges; else, or where
the counter was reset or stands still, it is the integral of the power readings. One way for all GPUs, never a mixture.
A sum over GPUs that lacks one of them is missing, never smaller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.telemetry.energy import CounterFault, EnergyOrigin, Track, energy_of, longest_gap

GpuSourceName = Literal["nvml", "dcgm"]

IDLE_BIT = 0x1
THROTTLE_BITS = {
    # NVML's clocks event reasons, which DCGM maps one to one. Left out: idle, application and display clocks,
    # sync boost, board limit, reliability.
    "sw_power_cap": 0x4,
    "hw_slowdown": 0x8,
    "sw_thermal": 0x20,
    "hw_thermal": 0x40,
    "hw_power_brake": 0x80,
}
"""The reasons that slow a GPU, by bit. `hw_slowdown` is also set with the two hardware reasons after it."""

_DISAGREE = 0.1
_IDLE_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """State of one GPU at one moment; None is unknown."""

    at_s: float
    """`time.perf_counter()`."""
    gpu: str
    """UUID, or another name that is unique among the sources' GPUs."""
    index: str = ""
    """By the source's numbering, where it is known."""
    model: str = ""
    mig: bool = False
    """The GPU is split into instances; everything here is of the whole of it."""
    energy_j: float | None = None
    """A counter that began at some unknown moment."""
    power_w: float | None = None
    power_cap_w: float | None = None
    sm_clock_mhz: float | None = None
    temperature_c: float | None = None
    reasons: int | None = None
    """NVML's bit mask of clocks event reasons."""

    @property
    def values(self) -> tuple[float | None, ...]:
        """Every sensor value, without the moment."""
        return self.energy_j, self.power_w, self.power_cap_w, self.sm_clock_mhz, self.temperature_c, self.reasons


Sample = Sequence[GpuReading]
"""Readings of all GPUs, taken at once; empty when reading failed."""


class GpuTelemetry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The GPUs in the window of a measurement; None is unknown, never 0."""

    source: GpuSourceName
    gpus: int
    """GPUs that were sampled; not necessarily those of the engine."""
    model: str = ""
    """Product name; several are joined by a comma."""
    window_s: float
    energy_j: float | None = None
    """Of all GPUs together: boards only, by their own sensors."""
    energy_from: EnergyOrigin | None = None
    """Difference of the energy counters, or integral of the power readings."""
    counter_fault: CounterFault | None = None
    """Why the energy counters were not used although there were some: one fell, or one stood still."""
    mean_power_w: float | None = None
    """Of one GPU: mean of all power readings."""
    max_power_w: float | None = None
    """Highest power reading of any GPU."""
    power_cap_w: float | None = None
    """Lowest limit of any GPU."""
    sm_clock_mean_mhz: float | None = None
    sm_clock_min_mhz: float | None = None
    temperature_max_c: float | None = None
    throttle: dict[str, float] | None = None
    """Share of the samples in which any GPU was slowed, by the names of `THROTTLE_BITS`; reasons that never applied
    are left out. None when the GPUs do not report reasons."""
    idle: float | None = None
    """Share of the readings in which a GPU reported that it was idle: these are hardly the server's GPUs then."""
    samples: int
    """Samples in the window with new values."""
    repeated: int = 0
    """Samples in the window that repeated the previous one: the exporter refreshes less often than it is read."""
    longest_gap_s: float
    """Longest time without a new value of some GPU."""
    mig: bool = False
    """GPUs are split into instances, and these numbers are of whole GPUs."""

    @property
    def power_by_energy_w(self) -> float | None:
        """Energy over window and GPUs."""
        return None if self.energy_j is None else self.energy_j / self.window_s / self.gpus


def summarize_gpus(
    source: GpuSourceName, samples: Sequence[Sample], start_s: float, end_s: float
) -> GpuTelemetry | None:
    """Combine samples into a summary from `start_s` to `end_s`; None when no sample falls into it.

    Sampling should begin before the window and end after it: readings from outside serve to interpolate at its edges.
    """
    window_s = end_s - start_s
    seen = sum(bool(_between(sample, start_s, end_s)) for sample in samples)
    if window_s <= 0 or not seen:
        return None
    news = _news(samples) if source == "dcgm" else samples
    inside = [found for sample in news if (found := _between(sample, start_s, end_s))]
    readings = [reading for sample in inside for reading in sample]
    all_readings = [reading for sample in samples for reading in sample]
    names = sorted({reading.gpu for reading in all_readings})
    tracks = [[r for sample in news for r in sample if r.gpu == name] for name in names]
    energy = energy_of([_track(track) for track in tracks], start_s, end_s)
    power = [r.power_w for r in readings if r.power_w is not None]
    clocks = [r.sm_clock_mhz for r in readings if r.sm_clock_mhz is not None]
    reasons = [r.reasons for r in readings if r.reasons is not None]
    return GpuTelemetry(
        source=source,
        gpus=len(names),
        model=", ".join(sorted({reading.model for reading in all_readings} - {""})),
        window_s=window_s,
        energy_j=energy.joules,
        energy_from=energy.origin,
        counter_fault=energy.fault,
        mean_power_w=_mean(power),
        max_power_w=max(power, default=None),
        power_cap_w=min((r.power_cap_w for r in readings if r.power_cap_w is not None), default=None),
        sm_clock_mean_mhz=_mean(clocks),
        sm_clock_min_mhz=min(clocks, default=None),
        temperature_max_c=max((r.temperature_c for r in readings if r.temperature_c is not None), default=None),
        throttle=_throttle(inside),
        idle=_mean([float(bool(mask & IDLE_BIT)) for mask in reasons]),
        samples=len(inside),
        repeated=seen - len(inside),
        longest_gap_s=max(longest_gap([r.at_s for r in track], start_s, end_s) for track in tracks),
        mig=any(reading.mig for reading in all_readings),
    )


def measured_j_tok(telemetry: GpuTelemetry, throughput: Estimate, gpus: int) -> Estimate | None:
    """Joules of the GPU boards per token = energy / (tok/s/GPU x GPUs x window); the interval is the throughput's.

    None when the energy is unknown, or is not that of the engine's `gpus` alone.
    """
    if telemetry.energy_j is None or telemetry.gpus != gpus or telemetry.mig or throughput.value <= 0:
        return None
    return throughput.inverse(telemetry.energy_j / telemetry.window_s / gpus)


def throttled(telemetry: GpuTelemetry) -> str:
    """Reasons that slowed the GPUs; empty when none did, or they report none.

    A power cap alone has its own word, since large GPUs under full load run at their cap by design.
    """
    if not telemetry.throttle:
        return ""
    shares = sorted(telemetry.throttle.items(), key=lambda item: (-item[1], item[0]))
    word = "power-capped" if set(telemetry.throttle) == {"sw_power_cap"} else "throttled"
    reasons = ", ".join(f"{name.replace('_', ' ')} in {_percent(share)}" for name, share in shares)
    reasons = reasons.replace("thermal", "thermal slowdown")
    cap = "" if telemetry.power_cap_w is None or word == "throttled" else f" (cap {telemetry.power_cap_w:.0f} W)"
    return f"{word}: {reasons} of {telemetry.samples} samples{cap}"


def cautions(telemetry: GpuTelemetry, gpus: int) -> tuple[str, ...]:
    """Cautions about a telemetry record of an engine on `gpus` GPUs."""
    found = [throttled(telemetry), *_whose(telemetry, gpus), *_how_sure(telemetry)]
    return tuple(sentence for sentence in found if sentence)


def _whose(telemetry: GpuTelemetry, gpus: int) -> Iterable[str]:
    if telemetry.gpus != gpus:
        yield (
            f"GPU telemetry is of {telemetry.gpus} GPUs and the engine has {gpus}: no measured J/token; "
            "name the engine's GPUs"
        )
    if telemetry.mig:
        yield "GPU telemetry is of whole GPUs that are split by MIG: no measured J/token"
    if telemetry.idle is not None and telemetry.idle > _IDLE_SHARE:
        yield f"the sampled GPUs were idle in {_percent(telemetry.idle)} of the readings: are they the server's?"


def _how_sure(telemetry: GpuTelemetry) -> Iterable[str]:
    if telemetry.samples == 0:
        yield f"no new GPU readings in the window of {telemetry.window_s:.0f} s: the exporter refreshes too rarely"
        return
    if telemetry.throttle is None:
        yield "throttling is unknown: the GPUs, or the exporter's list of fields, do not report it"
    if telemetry.energy_j is None:
        yield (
            "GPU energy is unknown: neither counters nor power readings cover the window "
            f"(gaps of up to {telemetry.longest_gap_s:.0f} s)"
        )
    if telemetry.counter_fault is not None:
        what = {"reset": "fell (driver reloaded?)", "stuck": "stood still"}[telemetry.counter_fault]
        yield f"a GPU's energy counter {what} and was not used"
    by_energy = telemetry.power_by_energy_w
    if telemetry.energy_from == "counter" and by_energy and telemetry.mean_power_w:
        difference = telemetry.mean_power_w / by_energy - 1
        if abs(difference) > _DISAGREE:
            yield (
                f"the GPUs' energy counters and power readings disagree: {by_energy:.0f} W against "
                f"{telemetry.mean_power_w:.0f} W per GPU"
            )


def _track(readings: Sample) -> Track:
    return Track(counted=[(r.at_s, r.energy_j) for r in readings], drawn=[(r.at_s, r.power_w) for r in readings])


def _news(samples: Sequence[Sample]) -> list[list[GpuReading]]:
    """Drop the readings that repeat the GPU's last one, and the first one of each GPU, whose age is unknown."""
    last: dict[str, tuple[float | None, ...]] = {}
    news = []
    for sample in samples:
        news.append([reading for reading in sample if last.get(reading.gpu, reading.values) != reading.values])
        last.update({reading.gpu: reading.values for reading in sample})
    return news


def _between(sample: Sample, start_s: float, end_s: float) -> list[GpuReading]:
    return [reading for reading in sample if start_s <= reading.at_s <= end_s]


def _throttle(samples: Sequence[Sample]) -> dict[str, float] | None:
    """Share of samples in which any GPU was slowed: with tensor parallelism the slowest GPU slows them all."""
    masks = [[r.reasons for r in sample if r.reasons is not None] for sample in samples]
    values = [mask for mask in masks if mask]
    if not values:
        return None
    shares = {
        name: sum(any(m & bit for m in mask) for mask in values) / len(values) for name, bit in THROTTLE_BITS.items()
    }
    return {name: share for name, share in shares.items() if share > 0}


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _percent(share: float) -> str:
    return f"{max(share * 100, 1):.0f} %"
