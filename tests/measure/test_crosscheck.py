"""One record of acceptance from whatever an engine counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_specdec.domain.acceptance import SpecCounters, acceptance_from, counters_of_histogram, counters_of_tokens
from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.domain.facts import Facts
from pytest_specdec.domain.traffic import PlannedRequest, RequestSample
from pytest_specdec.engine.counters import UNREADABLE, EngineReading
from pytest_specdec.errors import EngineError
from pytest_specdec.measure.crosscheck import Snapshots, observed_acceptance, observed_ttft, refuse_other_acceptance

K3 = Facts(draft_tokens=3)


def counted(steps: float, accepted: float) -> EngineReading:
    return EngineReading(speculation=SpecCounters(steps=steps, drafted=3 * steps, accepted=accepted))


def finished(steps: float, generated: float, requests: float) -> EngineReading:
    return EngineReading(verify_steps=steps, generation_tokens=generated, requests=requests)


def request(first_token_s: float = 1.0, speculation: SpecCounters | None = None) -> RequestSample:
    return RequestSample(
        request=PlannedRequest(index=0, prompt=0, isl=5, osl=5),
        start_s=0.0,
        chunk_s=np.array([first_token_s]),
        chunk_tokens=np.array([5]),
        prompt_tokens=5,
        status="ok",
        speculation=speculation,
    )


def test_counters_come_first() -> None:
    snapshots = Snapshots(before=counted(100, 150), after=counted(200, 400), gauge_lengths=[9.0])
    found = observed_acceptance(snapshots, [request(speculation=counters_of_histogram([1], 3))], K3, 3)
    assert found is not None
    assert (found.length, found.source) == (3.5, "counters")


def test_then_the_details_of_each_request() -> None:
    details = [request(speculation=counters_of_histogram([2, 0, 2], 3)), request(speculation=None)]
    snapshots = Snapshots(before=finished(0, 0, 0), after=finished(4, 9, 1), gauge_lengths=[9.0])
    found = observed_acceptance(snapshots, details, K3, 3)
    assert found is not None
    assert (found.length, found.steps, found.source) == (2.0, 4, "requests")
    assert found.per_position == (0.5, 0.5, 0.0)
    assert found.draft_tokens == 3


def test_then_verify_steps_against_tokens() -> None:
    snapshots = Snapshots(before=finished(10, 40, 1), after=finished(110, 302, 3), gauge_lengths=[9.0])
    found = observed_acceptance(snapshots, [request()], K3, 3)
    assert found is not None
    # 262 tokens: 2 of prefills, 100 bonus, 160 drafts.
    assert (found.length, found.draft_tokens, found.source) == (2.6, 3, "tokens")


def test_then_a_gauge_and_only_while_it_says_something() -> None:
    found = observed_acceptance(
        Snapshots(before=UNREADABLE, after=UNREADABLE, gauge_lengths=[2.0, 2.4, 2.2]), [], K3, 3
    )
    assert found is not None
    assert (found.length, found.source) == (2.2, "gauge")
    assert observed_acceptance(Snapshots(before=UNREADABLE, after=UNREADABLE), [], K3, 3) is None


def test_off_has_none() -> None:
    snapshots = Snapshots(before=finished(0, 0, 0), after=finished(0, 99, 1))
    assert observed_acceptance(snapshots, [request()], Facts(draft_tokens=0), 0) is None


@pytest.mark.parametrize(("before", "after"), [(counted(9, 9), counted(1, 1)), (finished(9, 9, 9), finished(1, 1, 1))])
def test_a_counter_that_falls_is_a_restart(before: EngineReading, after: EngineReading) -> None:
    with pytest.raises(EngineError, match="it restarted during the measurement"):
        observed_acceptance(Snapshots(before=before, after=after), [], K3, 3)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200))
def test_a_histogram_gives_the_counters_of_its_steps(lengths: list[int]) -> None:
    histogram = [lengths.count(j) for j in range(max(lengths) + 1)]
    found = counters_of_histogram(histogram, 3)
    assert found.steps == len(lengths)
    assert found.accepted == sum(lengths) == sum(found.per_position)
    assert found.drafted == 3 * len(lengths)
    assert list(found.per_position) == sorted(found.per_position, reverse=True)


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=50), min_size=1, max_size=20))
def test_tokens_tell_the_same_as_counters_where_nothing_is_cut(requests: list[list[int]]) -> None:
    steps = sum(map(len, requests))
    accepted = sum(map(sum, requests))
    found = acceptance_from(
        counters_of_tokens(
            generated=len(requests) + steps + accepted, requests=len(requests), steps=steps, draft_tokens=3
        )
    )
    assert found is not None
    assert found.length == pytest.approx(1 + accepted / steps)


def test_a_pinned_acceptance_must_be_the_measured_one() -> None:
    engine = EngineSpec(model="m", precision="fp8", mtp=3, acceptance="2.5")
    cell = Cell(engine, Workload(isl=1, osl=1), 1)
    right, wrong = (acceptance_from(SpecCounters(steps=100, drafted=300, accepted=n)) for n in (152, 270))
    refuse_other_acceptance(cell, right)
    with pytest.raises(EngineError, match=r"pinned to 2.5 and was measured as 3.70: .* did not take effect"):
        refuse_other_acceptance(cell, wrong)
    with pytest.raises(EngineError, match="do not tell whether it holds"):
        refuse_other_acceptance(cell, None)
    natural = Cell(EngineSpec(model="m", precision="fp8", mtp=3), cell.workload, 1)
    refuse_other_acceptance(natural, wrong)


def test_ttft_is_compared_over_the_same_requests() -> None:
    before, after = EngineReading(ttft_s=(10.0, 100.0)), EngineReading(ttft_s=(10.6, 102.0))
    found = observed_ttft(Snapshots(before=before, after=after), [request(0.3), request(0.5)])
    assert found is not None
    assert found.server_mean_ms == pytest.approx(300)
    assert found.client_mean_ms == pytest.approx(400)
    assert observed_ttft(Snapshots(before=before, after=replace(after, ttft_s=None)), [request()]) is None
    assert observed_ttft(Snapshots(before=before, after=before), [request()]) is None
