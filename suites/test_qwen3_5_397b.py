"""Qwen3.5-397B-A17B FP8 on one 8xH200 node: MTP must pay wherever it is enabled."""

import pytest

pytestmark = pytest.mark.specdec(
    model="Qwen/Qwen3.5-397B-A17B-FP8",
    precision="fp8",
    hardware="h200",
    parallelism="tp8ep8",
    mtp={"smoke": [0, 3], "nightly": [0, 1, 2, 3]},
    sequence={"smoke": ["1k1k"], "nightly": ["1k1k", "8k1k"], "release": ["1k1k", "8k1k", "1k8k"]},
    concurrency=[4, 8, 16, 24, 40, 64],
)


def test_holds_its_baseline(measurement, baseline):
    assert measurement >= baseline


@pytest.mark.specdec(sequence="1k1k", mtp=3)
def test_mtp_pays_at_the_published_levels(comparison):
    for interactivity in (55, 75, 96):
        assert comparison.at(interactivity).throughput_ratio > 1.4


@pytest.mark.specdec(mtp={"smoke": [3], "nightly": [1, 2, 3]})
def test_mtp_pays_at_every_concurrency(comparison):
    for concurrency in comparison.shared_concurrencies():
        assert comparison.at_concurrency(concurrency).throughput_ratio > 1.0


@pytest.mark.specdec(mtp={"smoke": [3], "nightly": [1, 2, 3]}, concurrency=[4, 16, 64])
def test_drafts_are_accepted(measurement):
    assert measurement.acceptance is not None, "the engine does not report accepted draft tokens"
    assert measurement.acceptance.per_position[0] > 0.5
