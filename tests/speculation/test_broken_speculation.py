"""A broken or absent drafter is told whatever the engine counts, and never becomes a baseline."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from measured import measured
from whole_stream import parse_stream

from pytest_specdec.domain.acceptance import (
    Acceptance,
    SpecCounters,
    acceptance_from,
    counters_of_tokens,
    gauge_acceptance,
)
from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.domain.traffic import PlannedRequest, RequestSample, Traffic
from pytest_specdec.speculation.health import Finding, find
from pytest_specdec.speculation.signs import Signs, signs_of

MTP = Cell(EngineSpec(model="m", precision="fp8", mtp=3), Workload(isl=1024, osl=1024), 16)
NOTHING = SpecCounters(steps=0, drafted=0, accepted=0)


def traffic(details: Sequence[SpecCounters | None], tokens: int = 101) -> Traffic:
    """Finished requests of 101 tokens each."""
    samples = [
        RequestSample(
            request=PlannedRequest(index=index, prompt=index, isl=10, osl=tokens),
            start_s=0.0,
            chunk_s=np.linspace(0.1, 9.0, 51),
            chunk_tokens=np.array([1] + [(tokens - 1) // 50] * 50),
            prompt_tokens=10,
            status="ok",
            speculation=counters,
        )
        for index, counters in enumerate(details)
    ]
    return Traffic(samples=samples, window_start_s=0.0, window_end_s=10.0)


def found(acceptance: Acceptance | None, signs: Signs) -> dict[str, Finding]:
    return {finding.check: finding for finding in find(MTP, acceptance, signs, None)}


WORKING = SpecCounters(steps=40, drafted=120, accepted=60, per_position=(30.0, 20.0, 10.0))


def test_details_of_requests_tell_k_and_the_share_of_verified_tokens() -> None:
    signs = signs_of(traffic([WORKING, WORKING]))
    assert (signs.verify_steps, signs.drafts_per_step, signs.verify_share) == (80, 3.0, 1.0)


def test_requests_that_were_not_speculated_on_are_missing_in_that_share() -> None:
    signs = signs_of(traffic([WORKING, None, WORKING, NOTHING]))
    assert signs.verify_share == 0.5
    assert "speculation-off" in found(acceptance_from(WORKING, "requests"), signs)


def test_a_k_that_shrank_on_the_way_is_told_from_the_details() -> None:
    fewer = msgspec.structs.replace(WORKING, drafted=90)
    finding = found(acceptance_from(WORKING, "requests"), signs_of(traffic([WORKING, fewer])))["draft-tokens"]
    assert "2.62 draft tokens per step, 3 configured" in finding.words


@pytest.mark.parametrize("signs", [signs_of(traffic([NOTHING])), signs_of(traffic([None]), verify_steps=0.0)])
def test_speculation_that_never_ran_is_told_without_counters_of_drafts(signs: Signs) -> None:
    assert found(None, signs)["speculation-off"].severity == "broken"


def test_the_servers_counters_come_first() -> None:
    signs = signs_of(traffic([NOTHING]), speculation=WORKING, generated=101.0)
    assert (signs.verify_steps, signs.verify_share) == (40, 1.0)


def test_an_engine_that_tells_nothing_gives_no_sign() -> None:
    signs = signs_of(traffic([None]))
    assert (signs.verify_steps, signs.drafts_per_step, signs.verify_share) == (None, None, None)


def test_where_positions_are_unknown_their_sum_bounds_the_first() -> None:
    """AL 1.04 was once proposed as a reference."""
    broken = acceptance_from(counters_of_tokens(generated=1051, requests=11, steps=1000, draft_tokens=3), "tokens")
    assert broken is not None
    assert broken.length == pytest.approx(1.04)
    finding = found(broken, Signs(verify_steps=1000))["drafter-broken"]
    assert finding.severity == "broken"
    assert "the first draft token is accepted in at most 4.0% of the steps only" in finding.words
    working = acceptance_from(counters_of_tokens(generated=2000, requests=11, steps=1000, draft_tokens=3), "tokens")
    assert found(working, Signs(verify_steps=1000)) == {}


def test_a_gauge_breaks_nothing_and_is_told() -> None:
    finding = found(gauge_acceptance(1.04, 3), Signs())["drafter-broken"]
    assert finding.severity == "warning"
    assert finding.words.endswith("of the steps only, by a gauge")


def test_what_is_broken_becomes_no_baseline() -> None:
    findings = find(MTP, Acceptance(1.04, 0.013, (0.03, 0.01, 0.0), 3, 1000), Signs(verify_steps=1000), None)
    point = msgspec.structs.replace(measured(mtp=3), findings=findings)
    assert "the first draft token is accepted in 3.0% of the steps only" in point.why_no_baseline


@pytest.mark.parametrize(
    ("extension", "details", "counted"),
    [
        ("metrics", "speculative_decoding", ("acceptance_histogram", "num_draft_tokens", "num_spec_steps")),
        (
            "sglext",
            "spec_tokens_details",
            ("spec_correct_drafts_histogram", "spec_num_proposed_drafts", "spec_verify_ct"),
        ),
    ],
)
def test_details_are_taken_as_they_were_told(extension: str, details: str, counted: tuple[str, str, str]) -> None:
    def told(histogram: list[int], drafted: int, steps: int) -> SpecCounters | None:
        values = dict(zip(counted, (histogram, drafted, steps), strict=True))
        event = msgspec.json.encode({"choices": [], extension: {details: values}})
        return parse_stream([(1.0, b"data: " + event + b"\n\n")]).speculation

    assert told([2, 1, 1], 11, 4) == SpecCounters(steps=4, drafted=11, accepted=3, per_position=(2.0, 1.0, 0.0))
    assert told([], 0, 0) == NOTHING
