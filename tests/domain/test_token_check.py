"""Both sides count the same tokens, or the measurement says why not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.domain.token_check import METRICS_OFF, token_truth
from pytest_specdec.domain.traffic import PlannedRequest, RequestSample, Status


def sample(tokens: int, status: Status = "ok", *, osl: int = 100, prompt: int | None = 50) -> RequestSample:
    return RequestSample(
        request=PlannedRequest(index=0, prompt=0, isl=50, osl=osl),
        start_s=0.0,
        chunk_s=np.array([1.0, 2.0]),
        chunk_tokens=np.array([1, tokens - 1]),
        prompt_tokens=prompt,
        status=status,
    )


def test_a_drained_run_agrees_to_the_token() -> None:
    truth = token_truth([sample(100), sample(100)], 200, 100)
    assert (truth.usage_generated, truth.usage_prompt, truth.unfinished, truth.reason) == (200, 100, 0, "")


@pytest.mark.parametrize(
    ("generated", "prompt", "reason"),
    [
        (201, 100, "exceed our usage by 1 generated tokens: another client"),
        (199, 100, "fall short of our usage by 1 generated tokens"),
        (200, 150, "exceed our usage by 50 prompt tokens: another client"),
        (None, None, METRICS_OFF),
    ],
)
def test_a_disagreement_has_its_reason(generated: float | None, prompt: float | None, reason: str) -> None:
    assert reason in token_truth([sample(100), sample(100)], generated, prompt).reason


@given(seen=st.integers(2, 100), more=st.integers(-5, 200))
def test_a_cut_stream_leaves_a_range_as_wide_as_its_rest(seen: int, more: int) -> None:
    truth = token_truth([sample(100), sample(seen, "cut")], 100 + seen + more, 100)
    assert truth.unfinished == 1
    assert (truth.reason == "") == (0 <= more <= 100 - seen)


def test_a_prompt_without_a_first_token_may_have_been_counted_or_not() -> None:
    samples = [sample(100), sample(2, "cut", prompt=None)]
    assert token_truth(samples, 102, 50).reason == ""
    assert token_truth(samples, 102, 100).reason == ""
    assert "another client" in token_truth(samples, 102, 101).reason
