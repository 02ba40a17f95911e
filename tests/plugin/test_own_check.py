"""A check of a user's own, in ten lines: what a measurement holds is public."""

from __future__ import annotations

from collections.abc import Callable

from small_suite import Suite

Serve = Callable[..., str]
OWN_CHECK = """
def later_positions_hold(measurement):
    first, *later = measurement.acceptance.per_position
    return all(p > 0.5 * first for p in later)


@pytest.mark.specdec(mtp=3)
def test_positions(measurement):
    assert measurement.acceptance.source == "counters"
    assert later_positions_hold(measurement), measurement.acceptance
    assert not measurement.findings, measurement.findings
"""


def test_an_own_check_passes_on_a_healthy_engine_and_fails_on_a_broken_one(suite: Suite, serve: Serve) -> None:
    suite.write(OWN_CHECK)
    for fault, outcome in ((None, {"passed": 1}), ("later-positions-collapse", {"failed": 1})):
        endpoint = f"--specdec-endpoint=mtp=3={serve(mtp=3, fault=fault)}"
        result = suite.run(endpoint, "-k", "c2", simulate=False)
        result.assert_outcomes(**outcome, deselected=1)
