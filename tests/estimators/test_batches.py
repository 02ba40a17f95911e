"""The window cut into batches of equally many output tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.domain.traffic import PlannedRequest, RequestSample, Status, Traffic
from pytest_specdec.estimators.batches import batch_seconds


def traffic(chunks: list[tuple[float, int]], start: float, end: float, status: Status = "ok") -> Traffic:
    sample = RequestSample(
        request=PlannedRequest(index=0, prompt=0, isl=1, osl=1),
        start_s=0.0,
        chunk_s=np.array([s for s, _ in chunks], dtype=np.float64),
        chunk_tokens=np.array([n for _, n in chunks], dtype=np.int64),
        prompt_tokens=None,
        status=status,
    )
    return Traffic(samples=[sample], window_start_s=start, window_end_s=end)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 8)), min_size=1, max_size=60),
    st.floats(0, 50),
    st.floats(1, 50),
    st.integers(1, 20),
)
def test_the_batches_make_up_the_window_so_that_their_mean_rate_is_tokens_over_window(
    chunks: list[tuple[float, int]], start: float, length: float, batches: int
) -> None:
    found = batch_seconds(traffic(sorted(chunks), start, start + length), batches)
    if not any(n and start <= s < start + length for s, n in chunks):
        assert found == ()
    else:
        assert len(found) == batches
        assert min(found) >= 0
        assert sum(found) == pytest.approx(length)


def test_an_even_stream_makes_equal_batches_and_a_slow_half_shows() -> None:
    even = [(i / 10, 1) for i in range(1, 200)]
    assert batch_seconds(traffic(even, 0, 20), 4) == pytest.approx([5, 5, 5, 5], rel=0.03)
    slower = [(i / 10, 2) for i in range(1, 101)] + [(10 + i / 10, 1) for i in range(1, 100)]
    first, second, third = batch_seconds(traffic(slower, 0, 20), 3)
    assert first == pytest.approx(second, rel=0.03) == pytest.approx(5, rel=0.03)
    assert third == pytest.approx(10, rel=0.03)


def test_tokens_of_failed_requests_do_not_count() -> None:
    assert batch_seconds(traffic([(1.0, 3)], 0, 2, status="failed")) == ()
