"""What pytest-benchmark is given: seconds per output token of the whole engine."""

from __future__ import annotations

from statistics import fmean

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import ENVIRONMENT, measured

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.plugin.benchmark import PlaybackClock, group_of, seconds_per_token
from pytest_specdec.results.measurement import Measurement


def with_batches(batches_s: tuple[float, ...], output_tok_s_gpu: float = 50.0) -> Measurement:
    point = measured(4)
    return msgspec.structs.replace(
        point, batches_s=batches_s, values=point.values | {"output_tok_s_gpu": Estimate(output_tok_s_gpu)}
    )


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20), st.floats(0.1, 1e5))
def test_the_mean_is_the_reported_throughput_of_all_gpus_and_the_scatter_is_that_of_the_window(
    batches_s: list[float], throughput: float
) -> None:
    found = seconds_per_token(with_batches(tuple(batches_s), throughput))
    assert 1 / fmean(found) == pytest.approx(throughput * 8), "a cell of tp8 has eight GPUs"
    assert [s / found[0] for s in found] == pytest.approx([s / batches_s[0] for s in batches_s])


def test_a_measurement_without_batches_is_one_round() -> None:
    assert seconds_per_token(with_batches(())) == (1 / 400,)


class Pedantic:
    """What the bridge uses of pytest-benchmark's fixture."""

    def __init__(self, clock: PlaybackClock) -> None:
        self.clock = clock
        self.seen: list[float] = []

    def pedantic(self, target, setup, rounds) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        for _ in range(rounds):
            setup()
            begun = self.clock.output_tokens()
            target()
            self.seen.append(self.clock.output_tokens() - begun)


@given(st.lists(st.floats(1e-9, 1e9), min_size=1))
def test_the_clock_plays_every_duration_back_to_the_last_digit(seconds: list[float]) -> None:
    clock = PlaybackClock()
    benchmark = Pedantic(clock)
    clock.play(benchmark, tuple(seconds))
    assert benchmark.seen == seconds


def test_every_mode_is_in_one_group_and_a_simulated_engine_in_another() -> None:
    assert group_of(measured(4)) == group_of(measured(4, mtp=3))
    assert group_of(measured(4)) != group_of(measured(8))
    simulated = msgspec.structs.replace(ENVIRONMENT, simulated="tiny", hardware="simulated-h200")
    assert group_of(measured(4, environment=simulated)).startswith("SIMULATED ")
