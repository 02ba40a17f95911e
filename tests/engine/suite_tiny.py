"""The tiny model on a real vLLM: MTP off, 1 and 3 (`tests/engine/README.md` has the command)."""

import pytest

pytestmark = pytest.mark.specdec(
    model="tiny-mimo-mtp",
    precision="fp32",
    hardware="cpu",
    parallelism="tp1",
    mtp=[0, 1, 3],
    sequence="256x128",
    exact_lengths=True,
    concurrency=[1, 4, 8],
)


def test_holds_its_baseline(measurement, baseline):
    assert measurement >= baseline


@pytest.mark.specdec(mtp=[1, 3])
def test_compares(comparison):
    assert comparison.shared_concurrencies() == (1, 4, 8)
