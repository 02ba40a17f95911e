"""What is measured besides a plan, so that a level is read between neighbours."""

from __future__ import annotations

import math

from measured import WORKLOAD, measured

from pytest_specdec.domain.facts import Facts
from pytest_specdec.measure.refine import Probed, refining
from pytest_specdec.results.measurement import Measurement

LEVEL = 30.0


def speed(concurrency: int) -> float:
    """Interactivity of an engine on which it falls as c^-1/2: 30 tok/s/user lie between 11 and 12."""
    return 100.0 / math.sqrt(concurrency)


def point(concurrency: int, half: float = 0.004) -> Measurement:
    interactivity = speed(concurrency)
    return measured(concurrency, throughput=concurrency * interactivity, interactivity=interactivity, half=half)


class Engine:
    """Measures what refining asks for."""

    def __init__(self, *planned: int, lost: frozenset[int] = frozenset(), most: int | None = None) -> None:
        self.found = [point(c) for c in planned]
        self.looked = Probed()
        self.asked: list[tuple[int, bool]] = []
        self.said: list[str] = []
        self.lost = lost
        self.facts = Facts(max_running=most)

    def refine(self, *levels: float) -> None:
        steps = refining(self.found, self.looked, levels, precision=0.01, facts=self.facts, said=self.said.append)
        for cell, wanted in steps:
            self.asked.append((cell.concurrency, wanted.precision is not None))
            assert len(self.asked) < 50, "it never ends"
            if cell.concurrency in self.lost:
                continue
            if wanted.precision is None:
                self.looked[cell.workload, cell.concurrency] = speed(cell.concurrency)
            else:
                self.found.append(point(cell.concurrency))


def test_looks_find_the_level_and_both_neighbours_are_measured() -> None:
    engine = Engine(2, 4)
    engine.refine(LEVEL)
    assert [c for c, sure in engine.asked if sure] in ([11, 12], [12, 11])
    assert all(c > 4 for c, sure in engine.asked if not sure)
    (said,) = engine.said
    assert said.startswith("model-fp8-off 1k1k: read at 30 tok/s/user to ±0.")


def test_the_plans_own_points_are_not_measured_again() -> None:
    engine = Engine(11, 12, 16)
    engine.refine(LEVEL)
    assert engine.asked == []
    assert len(engine.said) == 1


def test_a_point_that_failed_is_not_tried_again_and_nothing_is_claimed() -> None:
    engine = Engine(8, 16, lost=frozenset({11, 12}))
    engine.refine(LEVEL)
    assert len(engine.asked) == len(set(engine.asked)) == 1
    # What the plan has on either side is still read, and how surely.
    assert len(engine.said) == 1


def test_no_more_requests_are_asked_for_than_the_server_runs() -> None:
    engine = Engine(4, most=8)
    engine.refine(LEVEL)
    assert engine.asked
    assert max(c for c, _ in engine.asked) <= 8
    assert engine.said == []


def test_runs_of_one_concurrency_are_one_point() -> None:
    """A cell that the plan has measured three times is known three times as well, not three points of a curve."""
    once, often = Engine(11, 12), Engine(11, 12, 11, 11, 12, 12)
    once.refine(LEVEL)
    often.refine(LEVEL)
    half = [float(engine.said[0].split("±")[1].split("%")[0]) for engine in (once, often)]
    assert half[1] < 0.7 * half[0]


def test_each_level_is_looked_for_and_neighbours_are_shared() -> None:
    engine = Engine(8, 16)
    engine.refine(LEVEL, LEVEL + 0.1)
    assert sorted(c for c, sure in engine.asked if sure) == [11, 12]
    assert len(engine.said) == 2


def test_nothing_is_refined_without_a_closed_loop() -> None:
    engine = Engine()
    engine.refine(LEVEL)
    assert not engine.asked
    assert not engine.said
    assert WORKLOAD.sequence == "1k1k"
