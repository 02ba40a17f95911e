"""One fault of every kind over HTTP, in real time; `catalogue_doc.py http` tries them all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from catalogue import reason_of
from catalogue_http import (
    LIMITS,
    OVER_HTTP,
    Serve,
    catch_beside_off,
    catch_start,
    measure,
    serving,
    serving_here,
    unlimited_client,
)
from expected import SPEED, START

from pytest_specdec.domain.cell import Workload
from pytest_specdec.errors import SpecdecError
from pytest_specdec.simulator.faults.catalogue import find_fault
from pytest_specdec.simulator.presets import find_preset

TINY = find_preset("tiny")


@pytest.fixture(autouse=True)
def _unlimited_client() -> Iterator[None]:
    with unlimited_client():
        yield


WORKLOAD = Workload(isl=256, osl=128)
QUICK = replace(LIMITS, warm_up_s=0.5)


def findings(fault: str) -> dict[str, str]:
    """What a point of the small engine says of itself."""
    measured = measure(fault, WORKLOAD, 4, 0, preset=TINY, window_s=0.8, limits=QUICK, serve=serving_here)
    return {finding.check: finding.severity for finding in measured.findings}


def test_a_healthy_engine_has_nothing_broken() -> None:
    # On a busy machine requests of so quick an engine may wait, and that is told.
    assert set(findings("")) <= {"queue-limited"}


@pytest.mark.parametrize(
    "fault",
    [
        "drafter-broken",  # a drafter
        "fewer-draft-tokens",  # K
        "off-silently",  # speculation
        "speculation-counted-twice",  # counters
        "usage-inflated",  # usage
        "prefix-hits",  # the workload
    ],
)
def test_what_is_wrong_by_itself_is_found(fault: str) -> None:
    assert findings(fault)[SPEED[fault].check] == "broken"


def test_a_gauge_that_lies_is_told() -> None:
    assert findings("gauge-lies")["gauge-lies"] == "warning"


@pytest.mark.parametrize("fault", ["crash-at-warm-up", "stops-early", "tokens-lost"])
def test_requests_that_fail_say_of_what(fault: str) -> None:
    with pytest.raises(SpecdecError) as caught:
        measure(fault, Workload(isl=256, osl=512), 4, 0, preset=TINY, serve=serving_here)
    assert reason_of(caught.value) == SPEED[fault].cause


def test_a_template_that_changed_shows_beside_off() -> None:
    found = catch_beside_off(
        "template-changed", WORKLOAD, 4, preset=TINY, window_s=0.5, limits=QUICK, serve=serving_here
    )
    assert found.cause == OVER_HTTP["template-changed"].cause


@pytest.mark.parametrize(("fault", "serve"), [("start-fails", serving), ("start-fails-above-k1", serving_here)])
def test_a_start_that_fails_is_an_error_and_no_result(fault: str, serve: Serve) -> None:
    found = catch_start(find_fault(fault), serve)
    assert (found.checks, found.cause) == ((START[fault].check,), START[fault].cause)
