"""GPU telemetry: the window's arithmetic, and NVML and DCGM exporters as they are and as they fail."""

from __future__ import annotations

import asyncio
import itertools
import math
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.pipeline import option_values
from pytest_specdec.telemetry import sampler as sampler_module
from pytest_specdec.telemetry.dcgm import parse_dcgm
from pytest_specdec.telemetry.nvml import open_nvml
from pytest_specdec.telemetry.readings import (
    THROTTLE_BITS,
    GpuReading,
    GpuTelemetry,
    Sample,
    cautions,
    measured_j_tok,
    summarize_gpus,
    throttled,
)
from pytest_specdec.telemetry.sampler import GpuSampler, open_source
from pytest_specdec.telemetry.source import GpuSource, choose, on_this_host

# The window's arithmetic


def looks_of(
    times: Sequence[float],
    *,
    power: Callable[[float], float] | None = None,
    energy: Callable[[float], float] | None = None,
    gpus: Sequence[str] = ("a",),
    **told: Any,
) -> list[list[GpuReading]]:
    return [
        [
            GpuReading(
                at_s=t,
                gpu=gpu,
                power_w=None if power is None else power(t),
                energy_j=None if energy is None else energy(t),
                **told,
            )
            for gpu in gpus
        ]
        for t in times
    ]


def nvml(looks: Sequence[Sample], start: float, end: float) -> GpuTelemetry:
    found = summarize_gpus("nvml", looks, start, end)
    assert found is not None
    return found


def grid(start: float, end: float, step: float = 1.0, shift: float = 0.0) -> list[float]:
    return [start - 2 + shift + i * step for i in range(int((end - start + 4) / step) + 1)]


@st.composite
def grids(draw: st.DrawFn, seconds: float = 40.0) -> list[float]:
    """Moments from before 0 to after `seconds`, at most 2 s apart."""
    steps = draw(st.lists(st.floats(0.1, 2.0), min_size=1, max_size=20))
    times = [-draw(st.floats(0, 2.0))]
    for step in itertools.cycle(steps):
        if times[-1] >= seconds:
            return times
        times.append(times[-1] + step)
    raise AssertionError


watts = st.floats(20, 1200)


@given(grids(), watts)
def test_constant_power_over_any_grid_is_power_times_seconds(times: list[float], power: float) -> None:
    end = times[-1]
    by_power = nvml(looks_of(times, power=lambda _: power), 0.0, end)
    by_counter = nvml(looks_of(times, energy=lambda t: 5e6 + power * t), 0.0, end)
    assert (by_power.energy_from, by_counter.energy_from) == ("power", "counter")
    assert by_power.energy_j == pytest.approx(power * end)
    assert by_counter.energy_j == pytest.approx(power * end)
    assert by_power.mean_power_w == pytest.approx(power)
    assert by_counter.power_by_energy_w == pytest.approx(power)


@given(
    st.lists(st.floats(-50, 90), min_size=1, max_size=12, unique=True).map(sorted),
    st.floats(0.5, 40),
    watts,
)
def test_a_grid_too_coarse_gives_no_energy_rather_than_a_wrong_one(
    times: list[float], end: float, power: float
) -> None:
    for looks in (looks_of(times, power=lambda _: power), looks_of(times, energy=lambda t: 1e6 + power * t)):
        found = summarize_gpus("nvml", looks, 0.0, end)
        if found is not None and found.energy_j is not None:
            assert found.energy_j == pytest.approx(power * end, rel=1e-6)


def test_two_readings_at_almost_one_time_tell_no_power() -> None:
    """A counter of a million joules has no digits left for what came in a nanosecond."""
    close = looks_of([0.0, 8.7e-10], energy=lambda t: 1e6 + 20 * t)
    found = summarize_gpus("nvml", close, 0.0, 1.0)
    assert found is None or found.energy_j is None
    enough = looks_of([0.0, 8.7e-10, 0.5], energy=lambda t: 1e6 + 20 * t)
    assert nvml(enough, 0.0, 1.0).energy_j == pytest.approx(20.0)


def wave(t: float) -> float:
    return 500 + 200 * math.sin(t)


@given(grids(), st.floats(5, 35), st.booleans())
def test_the_parts_of_a_window_add_up(times: list[float], cut: float, by_counter: bool) -> None:  # noqa: FBT001
    looks = looks_of(times, energy=lambda t: 500 * t - 200 * math.cos(t)) if by_counter else looks_of(times, power=wave)
    whole, left, right = (nvml(looks, *edges).energy_j for edges in ((0.0, 40.0), (0.0, cut), (cut, 40.0)))
    assert whole is not None
    assert left is not None
    assert right is not None
    assert left + right == pytest.approx(whole)


@given(st.permutations(["a", "b", "c"]), st.lists(watts, min_size=3, max_size=3))
def test_the_order_of_gpus_does_not_matter(order: list[str], powers: list[float]) -> None:
    drawn = dict(zip("abc", powers, strict=True))

    def look(t: float, names: Sequence[str]) -> list[GpuReading]:
        return [
            GpuReading(at_s=t, gpu=g, energy_j=drawn[g] * t, power_w=drawn[g], reasons=0x20 if g == "b" else 0)
            for g in names
        ]

    times = grid(0, 12)
    found = nvml([look(t, order) for t in times], 0.0, 12.0)
    assert found == nvml([look(t, "abc") for t in times], 0.0, 12.0)
    assert found.gpus == 3
    assert found.energy_j == pytest.approx(sum(powers) * 12)
    assert found.mean_power_w == pytest.approx(sum(powers) / 3)
    assert found.max_power_w == max(powers)


def test_the_counter_is_interpolated_at_the_edges_of_the_window() -> None:
    # 100 W before the window, 600 W in it: readings 0.4 s off the edges.
    looks = looks_of([-0.6, 0.4, 1.4, 2.4, 3.4], energy=lambda t: 100 * min(t, 0.4) + 600 * max(t - 0.4, 0))
    assert nvml(looks, 0.4, 3.4).energy_j == pytest.approx(1800)
    assert nvml(looks, 0.0, 3.0).energy_j == pytest.approx(0.4 * 100 + 2.6 * 600)
    # Nothing was read after the window: its last rate goes on.
    assert nvml(looks, 0.4, 4.4).energy_j == pytest.approx(2400)


@pytest.mark.parametrize(
    ("counter", "fault"), [(lambda t: 1e6 + 700 * t if t < 6 else 700 * (t - 6), "reset"), (lambda _: 1e6, "stuck")]
)
def test_a_counter_that_falls_or_stands_still_is_noticed(counter: Callable[[float], float], fault: str) -> None:
    found = nvml(looks_of(grid(0, 12), energy=counter, power=lambda _: 700.0, reasons=0), 0.0, 12.0)
    assert (found.energy_from, found.counter_fault) == ("power", fault)
    assert found.energy_j == pytest.approx(8400)
    assert any("energy counter" in sentence for sentence in cautions(found, 1))
    without_power = nvml(looks_of(grid(0, 12), energy=counter), 0.0, 12.0)
    assert (without_power.energy_from, without_power.counter_fault, without_power.energy_j) == (None, fault, None)


@given(st.integers(1, 12), st.floats(1, 1e9))
def test_a_reset_anywhere_in_the_window_never_gives_energy_from_the_counter(at: int, value: float) -> None:
    looks = looks_of(grid(0, 12), energy=lambda t: 1e10 + 700 * t if t < at else value + 700 * t, power=lambda _: 700.0)
    assert nvml(looks, 0.0, 12.0).energy_from == "power"


def test_a_reset_before_the_window_does_not_matter() -> None:
    looks = looks_of([-9, -8, *grid(0, 12)], energy=lambda t: 1e6 if t < -5 else 700 * (t + 5))
    assert nvml(looks, 0.0, 12.0).energy_from == "counter"


def test_one_counter_missing_means_power_for_all_and_one_gpu_missing_means_no_energy() -> None:
    def looks(power_of_b: float | None) -> list[list[GpuReading]]:
        return [
            [
                GpuReading(at_s=t, gpu="a", energy_j=900 * t, power_w=700.0),
                GpuReading(at_s=t, gpu="b", power_w=power_of_b, sm_clock_mhz=1980.0),
            ]
            for t in grid(0, 12)
        ]

    both = nvml(looks(600.0), 0.0, 12.0)
    assert (both.energy_from, both.counter_fault) == ("power", None)
    assert both.energy_j == pytest.approx(1300 * 12)
    lacking = nvml(looks(None), 0.0, 12.0)
    assert (lacking.energy_j, lacking.energy_from, lacking.gpus) == (None, None, 2)


def test_a_gpu_that_vanishes_in_the_window_takes_the_energy_with_it() -> None:
    looks = looks_of(grid(0, 12), power=wave, energy=lambda t: 700 * t, gpus=("a", "b"))
    found = nvml([look if i < 8 else look[:1] for i, look in enumerate(looks)], 0.0, 12.0)
    assert (found.gpus, found.energy_j) == (2, None)
    assert found.longest_gap_s == pytest.approx(7)


def test_what_is_missing_is_none_and_never_0() -> None:
    found = nvml(looks_of(grid(0, 12), temperature_c=40.0), 0.0, 12.0)
    assert found == GpuTelemetry(
        source="nvml", gpus=1, window_s=12.0, temperature_max_c=40.0, samples=13, longest_gap_s=1.0
    )
    assert 0 not in [value for name, value in msgspec.structs.asdict(found).items() if name not in ("mig", "repeated")]
    assert summarize_gpus("nvml", [], 0.0, 12.0) is None
    assert summarize_gpus("nvml", looks_of([50.0], power=wave), 0.0, 12.0) is None
    assert summarize_gpus("nvml", looks_of([5.0], power=wave), 5.0, 5.0) is None


def test_a_record_survives_its_file_and_refuses_what_it_does_not_know() -> None:
    found = nvml(looks_of(grid(0, 12), power=wave, reasons=0x24, model="NVIDIA H200"), 0.0, 12.0)
    text = msgspec.json.encode(found)
    assert msgspec.json.decode(text, type=GpuTelemetry) == found
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(text.replace(b'"source"', b'"more":1,"source"'), type=GpuTelemetry)


def test_clocks_temperature_and_cap() -> None:
    looks = [
        [
            GpuReading(at_s=t, gpu="a", sm_clock_mhz=1980.0, temperature_c=60.0 + t, power_cap_w=700.0, model="H"),
            GpuReading(
                at_s=t, gpu="b", sm_clock_mhz=1980.0 - 100 * t, temperature_c=50.0, power_cap_w=600.0, model="G"
            ),
        ]
        for t in (-1.0, 0.0, 1.0, 2.0, 3.0)
    ]
    found = nvml(looks, 0.0, 2.0)
    assert found.sm_clock_mean_mhz == pytest.approx(1930)
    assert (found.sm_clock_min_mhz, found.temperature_max_c, found.power_cap_w) == (1780, 62, 600)
    assert found.model == "G, H"


# Throttling


def throttling(masks: Sequence[Sequence[int | None]], **told: Any) -> GpuTelemetry:
    looks = [
        [GpuReading(at_s=float(i), gpu=str(g), reasons=mask, power_w=700.0, **told) for g, mask in enumerate(look)]
        for i, look in enumerate(masks)
    ]
    return nvml(looks, 0.0, float(len(masks) - 1))


def test_one_slow_gpu_is_a_throttled_look() -> None:
    found = throttling([[0, 0x20], [0x20, 0x20], [0, 0], [0, 0]])
    assert found.throttle == {"sw_thermal": 0.5}
    assert throttled(found) == "throttled: sw thermal slowdown in 50 % of 4 samples"
    assert throttled(found) in cautions(found, 2)


def test_idle_and_chosen_clocks_are_no_throttling() -> None:
    found = throttling([[0x1 | 0x2 | 0x10 | 0x100 | 0x200 | 0x400]] * 4)
    assert (found.throttle, throttled(found), found.idle) == ({}, "", 1.0)
    assert cautions(found, 1) == ("the sampled GPUs were idle in 100 % of the readings: are they the server's?",)


def test_gpus_that_do_not_tell_are_not_called_unthrottled() -> None:
    found = throttling([[None]] * 4)
    assert (found.throttle, found.idle, throttled(found)) == (None, None, "")
    assert any("throttling is unknown" in sentence for sentence in cautions(found, 1))


def test_a_power_cap_alone_has_its_own_word() -> None:
    capped = throttling([[0x4], [0x4], [0x4], [0]], power_cap_w=700.0)
    assert throttled(capped) == "power-capped: sw power cap in 75 % of 4 samples (cap 700 W)"
    both = throttling([[0x4], [0x4 | 0x8 | 0x80], [0x4], [0]])
    assert (
        throttled(both) == "throttled: sw power cap in 75 %, hw power brake in 25 %, hw slowdown in 25 % of 4 samples"
    )


@given(st.lists(st.lists(st.integers(0, 0x7FF), min_size=1, max_size=3), min_size=2, max_size=20))
def test_shares_are_shares_and_follow_the_bits(masks: list[list[int]]) -> None:
    found = throttling(masks)
    assert found.throttle is not None
    for name, bit in THROTTLE_BITS.items():
        active = sum(any(mask & bit for mask in look) for look in masks)
        assert found.throttle.get(name, 0.0) == pytest.approx(active / len(masks))


# What it is good for


def whole(**changes: Any) -> GpuTelemetry:
    found = nvml(
        looks_of(grid(0, 10), energy=lambda t: 600 * t, power=lambda _: 610.0, gpus=("a", "b"), reasons=0), 0.0, 10.0
    )
    return msgspec.structs.replace(found, **changes)


def test_measured_joules_per_token_are_energy_over_all_tokens() -> None:
    found = measured_j_tok(whole(), Estimate(300.0, 15.0), gpus=2)
    # 2 GPUs x 600 W x 10 s = 12 kJ for 2 x 300 x 10 tokens.
    assert found is not None
    assert found.value == pytest.approx(2.0)
    assert found.half_width == pytest.approx(0.1)


def test_energy_of_other_gpus_than_the_engines_is_not_divided_by_its_tokens() -> None:
    assert measured_j_tok(whole(), Estimate(300.0), gpus=1) is None
    assert measured_j_tok(whole(mig=True), Estimate(300.0), gpus=2) is None
    assert measured_j_tok(whole(energy_j=None, energy_from=None), Estimate(300.0), gpus=2) is None
    assert measured_j_tok(whole(), Estimate(0.0), gpus=2) is None


def test_cautions_say_what_a_reader_must_know() -> None:
    assert cautions(whole(), 2) == ()
    assert "is of 2 GPUs and the engine has 8" in cautions(whole(), 8)[0]
    assert "split by MIG" in cautions(whole(mig=True), 2)[0]
    # Zeus issue 181: counter and power of one GPU were seen to differ by 1.7 times.
    assert cautions(whole(mean_power_w=900.0), 2) == (
        "the GPUs' energy counters and power readings disagree: 600 W against 900 W per GPU",
    )
    assert "energy is unknown" in cautions(whole(energy_j=None, energy_from=None), 2)[0]


# Exporters that refresh rarely


def exporter(
    refresh_s: float, end: float, power: Callable[[float], float], before: float = 40.0
) -> list[list[GpuReading]]:
    """Looks once a second at an exporter that refreshes every `refresh_s`."""
    looks = []
    for i in range(int(before + end) + 40):
        t = i - before
        as_of = math.floor(t / refresh_s) * refresh_s
        energy = 1e7 + sum(power(as_of - s / 10) / 10 for s in range(int((as_of + before + 60) * 10)))
        looks.append([GpuReading(at_s=t, gpu="a", energy_j=energy, power_w=power(as_of), reasons=0)])
    return looks


def test_repeated_readings_are_no_samples_and_their_counter_is_not_flat() -> None:
    def power(t: float) -> float:
        return 700.0 + 0.01 * t

    found = summarize_gpus("dcgm", exporter(5.0, 60.0, power), 0.0, 60.0)
    assert found is not None
    assert (found.samples, found.repeated, found.longest_gap_s) == (13, 48, 5.0)
    assert found.energy_from == "counter"
    assert found.energy_j == pytest.approx(700.3 * 60, rel=0.002)


def test_an_exporter_slower_than_the_window_gives_no_energy() -> None:
    def power(t: float) -> float:
        return 700.0 if t >= 0 else 80.0 - 0.01 * t

    short = summarize_gpus("dcgm", exporter(30.0, 20.0, power), 2.0, 14.0)
    assert short is not None
    assert (short.samples, short.energy_j, short.mean_power_w, short.gpus) == (0, None, None, 1)
    assert cautions(short, 1) == ("no new GPU readings in the window of 12 s: the exporter refreshes too rarely",)
    longer = summarize_gpus("dcgm", exporter(30.0, 90.0, power), 2.0, 62.0)
    assert longer is not None
    assert (longer.samples, longer.energy_j) == (2, None)
    assert "energy is unknown" in cautions(longer, 1)[0]


def test_the_age_of_an_exporters_first_reading_is_unknown_so_it_is_not_used() -> None:
    looks = looks_of([0.0, 1.0, 2.0, 3.0], energy=lambda t: 1000 + 700 * t, power=lambda t: 700 + t)
    looks[0] = [GpuReading(at_s=0.0, gpu="a", energy_j=1.0, power_w=80.0)]
    found = summarize_gpus("dcgm", looks, 0.0, 3.0)
    assert found is not None
    assert (found.samples, found.repeated) == (3, 1)
    assert found.energy_j == pytest.approx(2100)


# Which GPUs

SEEN = {"GPU-aaaa-1": "0", "GPU-aabb-2": "1", "GPU-cccc-3": "2"}


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (None, ("GPU-aaaa-1", "GPU-aabb-2", "GPU-cccc-3")),
        ([2, 0], ("GPU-cccc-3", "GPU-aaaa-1")),
        (["1", 1, "GPU-aab"], ("GPU-aabb-2",)),
    ],
)
def test_gpus_are_chosen_by_index_or_the_beginning_of_a_uuid(wanted: Any, chosen: tuple[str, ...]) -> None:
    assert choose(SEEN, wanted) == (chosen, "")


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ([0, 7], "GPU 7 is not there; there are: 0 (GPU-aaaa-1), 1"),
        (["GPU-aa"], "GPU GPU-aa is not unique"),
        (["MIG-1"], "no energy of an instance"),
        ([""], "is not there"),
        ([], "no GPU was chosen"),
    ],
)
def test_a_gpu_that_is_not_there_refuses_the_whole_list(wanted: Any, problem: str) -> None:
    chosen, reason = choose(SEEN, wanted)
    assert chosen == ()
    assert problem in reason
    assert choose({}, None) == ((), "no GPU is seen")


def test_nvml_here_is_for_servers_here() -> None:
    assert on_this_host("http://localhost:8000/v1")
    assert on_this_host("http://127.0.0.1:8000/v1")
    assert on_this_host("http://[::1]:8000/v1")
    assert not on_this_host("http://gpu-node-7:8000/v1")
    assert not on_this_host("nonsense")


# NVML


class FakeError(Exception):
    """pynvml.NVMLError."""


class FakeNvml(ModuleType):
    """`pynvml` on a host with GPUs that draw 650 W; `without` names the calls that its driver or GPUs refuse."""

    NVMLError = FakeError

    def __init__(self, gpus: int = 2, without: Sequence[str] = (), mig: bool = False) -> None:  # noqa: FBT001, FBT002
        super().__init__("pynvml")
        self.gpus, self.without, self.mig = gpus, without, mig
        self.open = 0
        self.threads: set[int] = set()
        self.hang: threading.Event | None = None

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in super().__getattribute__("without"):

            def refuse(*_: object) -> None:
                raise FakeError("Not Supported")

            return refuse
        return super().__getattribute__(name)

    def nvmlInit(self) -> None:  # noqa: N802
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        if not self.open:
            raise FakeError("Uninitialized")
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str | bytes:  # noqa: N802
        return b"GPU-bytes" if handle else "GPU-text"

    def nvmlDeviceGetName(self, _: int) -> str:  # noqa: N802
        return "NVIDIA H200"

    def nvmlDeviceGetMigMode(self, _: int) -> list[int]:  # noqa: N802
        return [int(self.mig), 1]

    def nvmlDeviceGetTotalEnergyConsumption(self, _: int) -> int:  # noqa: N802
        self.threads.add(threading.get_ident())
        if self.hang is not None:
            self.hang.wait(5)
        return int(650_000 * time.perf_counter())

    def nvmlDeviceGetPowerUsage(self, _: int) -> int:  # noqa: N802
        return 650_123

    def nvmlDeviceGetEnforcedPowerLimit(self, _: int) -> int:  # noqa: N802
        return 700_000

    def nvmlDeviceGetClockInfo(self, _: int, kind: int) -> int:  # noqa: N802
        return {1: 1830}[kind]

    def nvmlDeviceGetTemperature(self, _: int, sensor: int) -> int:  # noqa: N802
        return {0: 64}[sensor]

    def nvmlDeviceGetCurrentClocksEventReasons(self, _: int) -> int:  # noqa: N802
        return 0x4

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, _: int) -> int:  # noqa: N802
        return 0x40


@pytest.fixture
def pynvml(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeNvml]:
    def install(*arguments: Any, **named: Any) -> FakeNvml:
        module = FakeNvml(*arguments, **named)
        monkeypatch.setitem(sys.modules, "pynvml", module)
        return module

    return install


def opened(**how: Any) -> tuple[list[GpuReading], str]:
    """Open a source, look once, close it."""

    async def main() -> tuple[list[GpuReading], str]:
        source, reason = await open_source(**how)
        if source is None:
            return [], reason
        readings = list(await source.sample())
        await source.close()
        return readings, reason

    return asyncio.run(main())


def test_nvml_reads_every_gpu_in_our_units_and_in_a_thread(pynvml: Callable[..., FakeNvml]) -> None:
    library = pynvml()
    readings, reason = opened()
    assert (reason, library.open) == ("", 0)
    assert [reading.gpu for reading in readings] == ["GPU-text", "GPU-bytes"]
    first = readings[0]
    assert first.energy_j == pytest.approx(650 * first.at_s, rel=1e-4)
    assert first.values[1:] == (650.123, 700.0, 1830.0, 64.0, 0x4)
    assert (first.model, first.mig) == ("NVIDIA H200", False)
    assert threading.get_ident() not in library.threads


def test_nvml_reads_the_chosen_gpus_only(pynvml: Callable[..., FakeNvml]) -> None:
    library = pynvml()
    assert [reading.gpu for reading in opened(gpus=[1])[0]] == ["GPU-bytes"]
    readings, reason = opened(gpus=[5])
    assert (readings, library.open) == ([], 0)
    assert "GPU 5 is not there" in reason


def test_an_older_driver_has_the_reasons_under_their_older_name(pynvml: Callable[..., FakeNvml]) -> None:
    pynvml(without=["nvmlDeviceGetCurrentClocksEventReasons"])
    assert opened()[0][0].reasons == 0x40


def test_what_a_gpu_does_not_tell_is_none(pynvml: Callable[..., FakeNvml]) -> None:
    pynvml(
        without=[
            "nvmlDeviceGetTotalEnergyConsumption",
            "nvmlDeviceGetEnforcedPowerLimit",
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetCurrentClocksThrottleReasons",
            "nvmlDeviceGetTemperature",
            "nvmlDeviceGetMigMode",
            "nvmlDeviceGetUUID",
        ]
    )
    first = opened()[0][0]
    assert first.values == (None, 650.123, None, 1830.0, None, None)
    assert (first.gpu, first.mig) == ("GPU 0", False)


def test_a_gpu_split_by_mig_is_marked(pynvml: Callable[..., FakeNvml]) -> None:
    pynvml(mig=True)
    assert opened()[0][0].mig


@pytest.mark.parametrize(
    ("without", "gpus", "reason"),
    [
        (["nvmlInit"], 1, "NVML cannot be used here: Not Supported"),
        (["nvmlDeviceGetCount"], 1, "NVML cannot be used here: Not Supported"),
        (["nvmlDeviceGetHandleByIndex"], 1, "NVML: no GPU is seen (GPU 0: Not Supported)"),
        ([], 0, "NVML: no GPU is seen"),
        (
            [name for name in vars(FakeNvml) if name.startswith("nvmlDeviceGet") and "Count" not in name][1:],
            1,
            "NVML: the GPUs report no values",
        ),
    ],
)
def test_nvml_that_cannot_be_used_says_why(
    pynvml: Callable[..., FakeNvml], without: list[str], gpus: int, reason: str
) -> None:
    library = pynvml(gpus, without)
    assert opened() == ([], reason)
    assert library.open == 0


def test_without_the_library_there_is_a_reason_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert opened() == ([], "NVML is unavailable: nvidia-ml-py is not installed")


def test_a_call_that_hangs_costs_one_thread_and_one_look(
    pynvml: Callable[..., FakeNvml], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = pynvml()
    monkeypatch.setattr(sampler_module, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(sampler_module, "EVERY_S", 0.02)

    async def main() -> tuple[int, int, int, list[float]]:
        source, _ = await open_nvml()
        library.threads.clear()
        library.hang = threading.Event()
        lags = []
        async with GpuSampler(source) as sampler:
            for _ in range(20):
                before = time.perf_counter()
                await asyncio.sleep(0.02)
                lags.append(time.perf_counter() - before)
            threads, hung = len(library.threads), len(sampler.samples)
            library.hang.set()
            await _until(lambda: bool(sampler.samples))
        assert source is not None
        await source.close()
        return threads, hung, len(sampler.samples), lags

    threads, hung, looks, lags = asyncio.run(main())
    assert threads <= 1
    assert hung == 0
    assert looks >= 1
    assert sorted(lags)[len(lags) // 2] < 0.2, "the loop goes on while NVML hangs"
    assert library.open == 0


# DCGM

EIGHT_FIELDS = """\
# HELP DCGM_FI_DEV_SM_CLOCK SM clock frequency (in MHz).
# TYPE DCGM_FI_DEV_SM_CLOCK gauge
DCGM_FI_DEV_SM_CLOCK{gpu="0",UUID="GPU-aa",pci_bus_id="00000000:1B:00.0",device="nvidia0",modelName="NVIDIA H200",\
Hostname="node7",DCGM_FI_DRIVER_VERSION="570.124.06"} 1830
DCGM_FI_DEV_SM_CLOCK{gpu="1",UUID="GPU-bb",pci_bus_id="00000000:43:00.0",device="nvidia1",modelName="NVIDIA H200",\
Hostname="node7",DCGM_FI_DRIVER_VERSION="570.124.06"} 1755
# HELP DCGM_FI_DEV_MEMORY_TEMP Memory temperature (in C).
# TYPE DCGM_FI_DEV_MEMORY_TEMP gauge
DCGM_FI_DEV_MEMORY_TEMP{gpu="0",UUID="GPU-aa",device="nvidia0",modelName="NVIDIA H200",Hostname="node7"} 70
# HELP DCGM_FI_DEV_GPU_TEMP GPU temperature (in C).
# TYPE DCGM_FI_DEV_GPU_TEMP gauge
DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-aa",device="nvidia0",modelName="NVIDIA H200",Hostname="node7"} 61
DCGM_FI_DEV_GPU_TEMP{gpu="1",UUID="GPU-bb",device="nvidia1",modelName="NVIDIA H200",Hostname="node7"} 66
# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-aa",device="nvidia0",modelName="NVIDIA H200",Hostname="node7"} POWER
DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-bb",device="nvidia1",modelName="NVIDIA H200",Hostname="node7"} 655.500000
# HELP DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION Total energy consumption since boot (in mJ).
# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0",UUID="GPU-aa",device="nvidia0",modelName="NVIDIA H200",Hostname="node7"} \
ENERGY
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="1",UUID="GPU-bb",device="nvidia1",modelName="NVIDIA H200",Hostname="node7"} \
322148955213
# HELP DCGM_FI_DEV_POWER_MGMT_LIMIT Current power limit (in W).
# TYPE DCGM_FI_DEV_POWER_MGMT_LIMIT gauge
DCGM_FI_DEV_POWER_MGMT_LIMIT{gpu="0",UUID="GPU-aa",device="nvidia0",modelName="NVIDIA H200",Hostname="node7"} 700.000000
# HELP DCGM_FI_DEV_CLOCK_THROTTLE_REASONS Current clock throttle reasons.
# TYPE DCGM_FI_DEV_CLOCK_THROTTLE_REASONS gauge
DCGM_FI_DEV_CLOCK_THROTTLE_REASONS{gpu="0",UUID="GPU-aa",device="nvidia0",modelName="NVIDIA H200",Hostname="node7"} 4
DCGM_FI_DEV_CLOCK_THROTTLE_REASONS{gpu="1",UUID="GPU-bb",device="nvidia1",modelName="NVIDIA H200",Hostname="node7"} 96
"""
"""Labels and number formats as dcgm-exporter 4 renders them (internal/pkg/rendermetrics), with two fields added to its
default list."""


def exposition(power: float = 642.113, energy_mj: int = 322148955213) -> str:
    return EIGHT_FIELDS.replace("} POWER\n", f"}} {power:f}\n").replace("} ENERGY\n", f"}} {energy_mj}\n")


def test_an_exposition_is_one_reading_per_gpu_in_our_units() -> None:
    found = parse_dcgm(exposition(), 5.0)
    assert [(reading.index, reading.gpu) for reading in found] == [("0", "GPU-aa"), ("1", "GPU-bb")]
    first, second = found
    assert list(first.values) == [322148955.213, 642.113, 700.0, 1830.0, 61.0, 4]
    assert (first.at_s, first.model, first.mig) == (5.0, "NVIDIA H200", False)
    assert list(second.values) == [322148955.213, 655.5, None, 1755.0, 66.0, 96]


def row(name: str, value: str, labels: str = 'gpu="0",UUID="GPU-aa"') -> str:
    return f"{name}{{{labels}}} {value}\n"


@pytest.mark.parametrize(
    "blank", ["9223372036854775794", "140737488355328.000000", "2147483632", "NaN", "0", "0.000000", "-1"]
)
def test_blanks_of_dcgm_are_missing(blank: str) -> None:
    names = ("POWER_USAGE", "SM_CLOCK", "POWER_MGMT_LIMIT")
    text = "".join(row(f"DCGM_FI_DEV_{name}", blank) for name in names) + row("DCGM_FI_DEV_GPU_TEMP", "0")
    assert parse_dcgm(text, 0.0)[0].values == (None, None, None, None, 0.0, None)


def test_a_large_counter_is_no_blank_and_a_blank_counter_is() -> None:
    name = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
    assert parse_dcgm(row(name, "64000000000000"), 0.0)[0].energy_j == 64e9
    assert parse_dcgm(row(name, "9223372036854775794"), 0.0)[0].energy_j is None


def test_canonical_names_of_dcgm_4_and_the_enforced_limit_are_understood() -> None:
    text = (
        row("DCGM_FI_DEV_BOARD_POWER_WATTS", "600.5")
        + row("DCGM_FI_DEV_GPU_TEMP_CELSIUS", "61")
        + row("DCGM_FI_DEV_POWER_MGMT_LIMIT", "700")
        + row("DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "650")
        + row("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "32")
        + row("DCGM_FI_DEV_POWER_USAGE_INSTANT", "999")
    )
    assert parse_dcgm(text, 0.0)[0].values == (None, 600.5, 650.0, None, 61.0, 32)


def test_rows_of_mig_instances_are_one_gpu() -> None:
    def instance(i: int) -> str:
        return f'gpu="0",UUID="GPU-aa",modelName="NVIDIA A30",GPU_I_PROFILE="1g.6gb",GPU_I_ID="{i}"'

    # As in dcgm-exporter's issue 317: the whole GPU's power once per instance, read at slightly other moments.
    power = "".join(row("DCGM_FI_DEV_POWER_USAGE", f"52.{600 + i}", instance(i)) for i in (5, 3, 10))
    (found,) = parse_dcgm(power, 0.0)
    assert (found.gpu, found.power_w, found.mig) == ("GPU-aa", 52.603, True)
    (found,) = parse_dcgm(power + row("DCGM_FI_DEV_POWER_USAGE", "53.5"), 0.0)
    assert found.power_w == 53.5


def test_labels_may_hold_anything_and_other_fields_and_lines_are_left_out() -> None:
    labels = 'gpu="0",UUID="GPU-aa",pod="a}, \\"b\\" = {c",modelName="NVIDIA H200"'
    text = (
        row("DCGM_FI_DEV_POWER_USAGE", "600 1700000000000", labels)
        + row("DCGM_FI_DEV_POWER_USAGE_INSTANT", "999", labels)
        + "DCGM_FI_DEV_SM_CLOCK 3\n"
        + row("DCGM_FI_DEV_GPU_TEMP", "warm", labels)
    )
    (found,) = parse_dcgm(text, 0.0)
    assert (found.index, found.gpu, found.model) == ("0", "GPU-aa", "NVIDIA H200")
    assert list(found.values) == [None, 600.0, None, None, None, None]


def test_gpus_of_the_old_namespace_and_without_uuid_are_told_apart() -> None:
    text = row("DCGM_FI_DEV_POWER_USAGE", "1", 'gpu="0",uuid="GPU-aa"')
    text += row("DCGM_FI_DEV_POWER_USAGE", "2", 'gpu="0",Hostname="n1"')
    text += row("DCGM_FI_DEV_POWER_USAGE", "3", 'gpu="0",Hostname="n2"')
    assert [reading.gpu for reading in parse_dcgm(text, 0.0)] == ["GPU-aa", "n1/0", "n2/0"]


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def against(handler: Handler, what: Callable[[str], Awaitable[Any]], path: str = "/metrics") -> Any:
    async def main() -> Any:
        application = web.Application()
        application.router.add_get(path, handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            return await what(f"127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()

    return asyncio.run(main())


async def serve(_: web.Request) -> web.StreamResponse:
    return web.Response(text=exposition())


@pytest.mark.parametrize("url", ["{}", "http://{}", "http://{}/", "http://{}/metrics", "http://me:secret@{}"])
def test_an_exporter_is_found_by_any_spelling_of_its_url(url: str) -> None:
    async def what(address: str) -> list[str]:
        source, reason = await open_source(option_values.exporter(url.format(address)), gpus=["1"])
        assert source is not None, reason
        try:
            return [reading.gpu for reading in await source.sample()]
        finally:
            await source.close()

    assert against(serve, what) == ["GPU-bb"]


async def _missing(_: web.Request) -> web.StreamResponse:
    return web.Response(status=503)


async def _other(_: web.Request) -> web.StreamResponse:
    return web.Response(text="vllm:num_requests_running 3.0\n")


async def _broken(_: web.Request) -> web.StreamResponse:
    return web.Response(text='DCGM_FI_DEV_POWER_USAGE{gpu="0" what\n')


async def _bytes(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\xff\xfe\xff", headers={"Content-Type": "text/plain; charset=utf-8"})


@pytest.mark.parametrize(
    ("handler", "gpus", "reason"),
    [
        (_missing, None, "cannot be read: HTTP 503"),
        (_other, None, "it has none of the DCGM_FI_DEV_ metrics"),
        (_broken, None, "it has none of the DCGM_FI_DEV_ metrics"),
        (_bytes, None, "cannot be read: "),
        (serve, [4], "GPU 4 is not there; there are: 0 (GPU-aa), 1 (GPU-bb)"),
    ],
)
def test_an_exporter_that_is_none_says_why(handler: Handler, gpus: Any, reason: str) -> None:
    async def what(address: str) -> tuple[GpuSource | None, str]:
        return await open_source(f"http://me:secret@{address}/metrics?token=hush", gpus)

    source, said = against(handler, what)
    assert source is None
    assert reason in said
    assert "secret" not in said
    assert "hush" not in said


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/metrics", "http://[::1", "http://", "://", "http://me:secret@h:x/"]
)
def test_a_url_that_leads_nowhere_is_a_reason(url: str) -> None:
    readings, reason = opened(dcgm_url=url)
    assert (readings, "cannot be read" in reason, "secret" in reason) == ([], True, False)


# The sampler


def test_a_sampler_measures_what_an_exporter_shows_and_forgives_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_module, "EVERY_S", 0.02)
    began = time.perf_counter()
    asked = itertools.count()

    async def counting(_: web.Request) -> web.StreamResponse:
        if next(asked) in (3, 12, 13):
            return web.Response(status=500)
        now = time.perf_counter() - began
        return web.Response(text=exposition(power=640 + now, energy_mj=int(322e9 + 640_000 * now)))

    async def what(address: str) -> tuple[GpuSampler, float, float]:
        source, reason = await open_source(f"http://{address}", gpus=[0])
        assert source is not None, reason
        async with GpuSampler(source) as sampler:
            await asyncio.sleep(0.2)
            start = time.perf_counter()
            await asyncio.sleep(1.0)
            end = time.perf_counter()
        await source.close()
        return sampler, start, end

    sampler, start, end = against(counting, what)
    found = sampler.telemetry(start, end)
    assert (found.source, found.gpus, found.model, found.energy_from) == ("dcgm", 1, "NVIDIA H200", "counter")
    # Between reading the counter and stamping it a busy machine may do other things.
    assert found.power_by_energy_w == pytest.approx(640, rel=0.2)
    assert found.sm_clock_mean_mhz == 1830
    assert found.throttle == {"sw_power_cap": 1.0}
    # The first is the opening's; one more may be under way when the sampler leaves.
    assert next(asked) - 1 - len(sampler.samples) in (3, 4)
    assert found.samples >= 10
    assert sampler.samples[-1][0].at_s > end - 0.02, "there is a look at the end"
    assert sampler.telemetry(end + 50, end + 60) is None


def test_a_sampler_measures_nvml(pynvml: Callable[..., FakeNvml], monkeypatch: pytest.MonkeyPatch) -> None:
    pynvml()
    monkeypatch.setattr(sampler_module, "EVERY_S", 0.01)

    async def main() -> GpuTelemetry | None:
        source, reason = await open_source()
        assert source is not None, reason
        async with GpuSampler(source) as sampler:
            await asyncio.sleep(0.05)
            start = time.perf_counter()
            await asyncio.sleep(0.3)
            end = time.perf_counter()
        await source.close()
        return sampler.telemetry(start, end)

    found = asyncio.run(main())
    assert found is not None
    assert (found.source, found.gpus, found.energy_from, found.idle) == ("nvml", 2, "counter", 0.0)
    assert found.power_by_energy_w == pytest.approx(650, rel=0.2)
    assert found.mean_power_w == pytest.approx(650.123)


class Scripted:
    """A source that does what it was told, look by look."""

    name = "nvml"

    def __init__(self, *does: Callable[[], Sequence[GpuReading]]) -> None:
        self.does: Iterator[Callable[[], Sequence[GpuReading]]] = itertools.cycle(does)
        self.asked = 0

    async def sample(self) -> Sequence[GpuReading]:
        self.asked += 1
        return next(self.does)()

    async def close(self) -> None:
        pass


async def _until(so_far: Callable[[], bool]) -> None:
    """Wait as long as it takes a busy machine."""
    for _ in range(3000):
        if so_far():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


def _refuse() -> Sequence[GpuReading]:
    raise OSError("gone")


def test_a_source_that_raises_does_not_end_the_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_module, "EVERY_S", 0.005)
    source = Scripted(_refuse, tuple, lambda: [GpuReading(at_s=time.perf_counter(), gpu="a", power_w=600.0)])

    async def main() -> GpuSampler:
        async with GpuSampler(source) as sampler:  # type: ignore[arg-type]
            await _until(lambda: bool(sampler.samples))
        return sampler

    sampler = asyncio.run(main())
    assert sampler.samples
    assert source.asked >= 3 * len(sampler.samples) - 2


def test_a_sampler_leaves_with_whoever_interrupts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_module, "EVERY_S", 60.0)
    source = Scripted(lambda: [GpuReading(at_s=0.0, gpu="a", power_w=600.0)])

    async def main() -> None:
        async with GpuSampler(source):  # type: ignore[arg-type]
            await asyncio.sleep(0.01)
            raise KeyError("interrupted")

    with pytest.raises(KeyError, match="interrupted"):
        asyncio.run(main())
    assert source.asked == 1, "no last look on the way out"


def test_without_a_source_a_sampler_does_nothing() -> None:
    async def main() -> GpuTelemetry | None:
        async with GpuSampler(None) as sampler:
            await asyncio.sleep(0)
        return sampler.telemetry(0.0, 1.0)

    assert asyncio.run(main()) is None
