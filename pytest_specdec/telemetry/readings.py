"""What GPUs did during a measured window: energy, power, clocks, temperature, throttling; from readings, no I/O.

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

_WORDS = {
    "sw_power_cap": "sw power cap",
    "hw_slowdown": "hw slowdown",
    "sw_thermal": "sw thermal slowdown",
    "hw_thermal": "hw thermal slowdown",
    "hw_power_brake": "hw power brake",
}
_DISAGREE = 0.1
_IDLE_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """What one GPU said at one moment; None is unknown."""

    at_s: float
    """`time.perf_counter()`."""
    gpu: str
    """UUID, or what else tells it from the others."""
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
    def told(self) -> tuple[float | None, ...]:
        """Everything that was said, without the moment."""
        return self.energy_j, self.power_w, self.power_cap_w, self.sm_clock_mhz, self.temperature_c, self.reasons


Look = Sequence[GpuReading]
"""One look at all GPUs; empty when it failed."""


class GpuTelemetry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the GPUs did in the window of a measurement; None is unknown, never 0."""

    source: GpuSourceName
    gpus: int
    """GPUs that were looked at; not necessarily those of the engine."""
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
    """Share of the looks in which any GPU was slowed, by the names of `THROTTLE_BITS`; what never happened is left out.
    None when the GPUs do not tell."""
    idle: float | None = None
    """Share of the readings in which a GPU said that nothing runs on it: then they are not the server's GPUs."""
    samples: int
    """Looks in the window that told something new."""
    repeated: int = 0
    """Looks in the window that repeated the one before: the exporter refreshes less often than it was asked."""
    longest_gap_s: float
    """Longest time without news of some GPU."""
    mig: bool = False
    """GPUs are split into instances, and these numbers are of whole GPUs."""

    @property
    def power_by_energy_w(self) -> float | None:
        """Energy over window and GPUs."""
        return None if self.energy_j is None else self.energy_j / self.window_s / self.gpus


def summarize_gpus(source: GpuSourceName, looks: Sequence[Look], start_s: float, end_s: float) -> GpuTelemetry | None:
    """Combine looks into what the GPUs did from `start_s` to `end_s`; None when no look fell into it.

    Readings from outside the window serve to interpolate at its edges, so looking should begin before and end after it.
    """
    window_s = end_s - start_s
    seen = [len(_between(look, start_s, end_s)) > 0 for look in looks]
    if window_s <= 0 or not any(seen):
        return None
    news = _news(looks) if source == "dcgm" else looks
    inside = [found for look in news if (found := _between(look, start_s, end_s))]
    readings = [reading for look in inside for reading in look]
    everybody = [reading for look in looks for reading in look]
    names = sorted({reading.gpu for reading in everybody})
    tracks = [[r for look in news for r in look if r.gpu == name] for name in names]
    energy = energy_of([_track(track) for track in tracks], start_s, end_s)
    power = [r.power_w for r in readings if r.power_w is not None]
    clocks = [r.sm_clock_mhz for r in readings if r.sm_clock_mhz is not None]
    reasons = [r.reasons for r in readings if r.reasons is not None]
    return GpuTelemetry(
        source=source,
        gpus=len(names),
        model=", ".join(sorted({reading.model for reading in everybody} - {""})),
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
        repeated=sum(seen) - len(inside),
        longest_gap_s=max(longest_gap([r.at_s for r in track], start_s, end_s) for track in tracks),
        mig=any(reading.mig for reading in everybody),
    )


def measured_j_tok(telemetry: GpuTelemetry, throughput: Estimate, gpus: int) -> Estimate | None:
    """Joules of the GPU boards per token = energy / (tok/s/GPU x GPUs x window); the interval is the throughput's.

    None when the energy is unknown, or is not that of the engine's `gpus` alone.
    """
    if telemetry.energy_j is None or telemetry.gpus != gpus or telemetry.mig or throughput.value <= 0:
        return None
    return throughput.inverse(telemetry.energy_j / telemetry.window_s / gpus)


def throttled(telemetry: GpuTelemetry) -> str:
    """Say what slowed the GPUs; empty when nothing did, or they do not tell.

    A power cap alone has its own word: big GPUs under full load run at their cap, as they should.
    """
    if not telemetry.throttle:
        return ""
    shares = sorted(telemetry.throttle.items(), key=lambda item: (-item[1], item[0]))
    word = "power-capped" if set(telemetry.throttle) == {"sw_power_cap"} else "throttled"
    reasons = ", ".join(f"{_WORDS[name]} in {_percent(share)}" for name, share in shares)
    cap = "" if telemetry.power_cap_w is None or word == "throttled" else f" (cap {telemetry.power_cap_w:.0f} W)"
    return f"{word}: {reasons} of {telemetry.samples} looks{cap}"


def cautions(telemetry: GpuTelemetry, gpus: int) -> tuple[str, ...]:
    """What a reader must know before using a telemetry record of an engine on `gpus` GPUs."""
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
        yield f"the GPUs looked at were idle in {_percent(telemetry.idle)} of the readings: are they the server's?"


def _how_sure(telemetry: GpuTelemetry) -> Iterable[str]:
    if telemetry.samples == 0:
        yield f"no news of the GPUs in the window of {telemetry.window_s:.0f} s: the exporter refreshes too rarely"
        return
    if telemetry.throttle is None:
        yield "whether the GPUs were throttled is unknown: they, or the exporter's list of fields, do not tell"
    if telemetry.energy_j is None:
        yield (
            "GPU energy is unknown: neither counters nor power readings cover the window "
            f"(up to {telemetry.longest_gap_s:.0f} s without news)"
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


def _track(readings: Look) -> Track:
    return Track(counted=[(r.at_s, r.energy_j) for r in readings], drawn=[(r.at_s, r.power_w) for r in readings])


def _news(looks: Sequence[Look]) -> list[list[GpuReading]]:
    """Drop the readings that repeat the GPU's last one, and the first one of each GPU: nobody knows how old it is."""
    last: dict[str, tuple[float | None, ...]] = {}
    news = []
    for look in looks:
        news.append([reading for reading in look if last.get(reading.gpu, reading.told) != reading.told])
        last.update({reading.gpu: reading.told for reading in look})
    return news


def _between(look: Look, start_s: float, end_s: float) -> list[GpuReading]:
    return [reading for reading in look if start_s <= reading.at_s <= end_s]


def _throttle(looks: Sequence[Look]) -> dict[str, float] | None:
    """Share of looks in which any GPU was slowed: with tensor parallelism the slowest GPU slows them all."""
    masks = [[r.reasons for r in look if r.reasons is not None] for look in looks]
    told = [mask for mask in masks if mask]
    if not told:
        return None
    shares = {name: sum(any(m & bit for m in mask) for mask in told) / len(told) for name, bit in THROTTLE_BITS.items()}
    return {name: share for name, share in shares.items() if share > 0}


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _percent(share: float) -> str:
    return f"{max(share * 100, 1):.0f} %"
