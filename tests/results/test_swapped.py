"""One cell on two hosts: what either of them shows stays with the cell."""

from __future__ import annotations

import pytest
from measured import LATE, measured
from msgspec.structs import replace

from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import merge_swapped
from pytest_specdec.speculation.health import Finding

BROKEN = Finding(check="drafter-broken", severity="broken", words="the first draft token is hardly ever accepted")
LIES = Finding(check="gauge-lies", severity="warning", words="the gauge says 3.90 tokens per step, the counters 3.00")
SOUND = measured(8, mtp=3, throughput=100.0)
KEPT_UP = replace(LATE, lost_load=0.0)


def swapped(**fields: object) -> tuple[Measurement, Measurement]:
    """The two of them either way round."""
    other = replace(SOUND, **fields)
    return merge_swapped(SOUND, other), merge_swapped(other, SOUND)


def test_the_mean_of_two_hosts_is_geometric() -> None:
    merged = merge_swapped(SOUND, measured(8, mtp=3, throughput=121.0))
    assert merged.throughput.value == pytest.approx(110.0)
    assert merged.environment.endpoint == "both hosts"


def test_what_is_broken_on_one_host_is_broken() -> None:
    for merged in swapped(findings=(BROKEN,), notes=(BROKEN.words,)):
        assert merged.findings == (BROKEN,)
        assert merged.why_no_baseline == BROKEN.words


def test_what_both_hosts_show_stands_once() -> None:
    first, second = (replace(SOUND, findings=found, notes=("same",)) for found in ((LIES, BROKEN), (BROKEN,)))
    merged = merge_swapped(first, second)
    assert merged.findings == (LIES, BROKEN)
    assert merged.notes.count("same") == 1


def test_a_client_that_was_the_limit_on_one_host_is_no_silent_part_of_the_mean() -> None:
    for merged in swapped(client=LATE):
        assert merged.client_limited
    first = replace(SOUND, client=KEPT_UP)
    assert merge_swapped(first, replace(SOUND, client=LATE)).client == LATE
    assert merge_swapped(first, first).client_limited == ""
