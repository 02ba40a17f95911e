"""What a campaign measures, and what it does not: pairs, resumed pairs, an old engine that is no match."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from measured import ENVIRONMENT, measured

from pytest_specdec.domain.environment import Environment
from pytest_specdec.errors import EngineError, NotComparableError
from pytest_specdec.measure.budget import Bill, Budget
from pytest_specdec.measure.campaign import Campaign, Place, resumed
from pytest_specdec.results.run import Arm, RawRun, Run, Stage, save_run
from pytest_specdec.suite.plan import Plan

CELL = measured(8).cell
Places = list[tuple[Arm, Stage, int, int]]


class Engines:
    """Measures whatever it is asked for at once, and remembers what for."""

    def __init__(self) -> None:
        self.broken: frozenset[Arm] = frozenset()
        self.restarts = True
        self.starts: list[str] = []
        """Names under which engines were opened."""
        self.asked: Places = []
        self.refined: list[bool] = []
        self.campaign: Campaign

    def carry_out(self, plan: Plan, open_engine: Callable[..., Any], *, starts: bool, refine: bool) -> None:
        assert starts is self.restarts
        now = self.campaign._now
        for cell in plan.cells:
            with open_engine(cell.engine):
                pass
            self.asked.append(now)
            self.refined.append(refine)
            if now[0] in self.broken:
                self.campaign.not_measured([cell], EngineError("it does not start"))
            else:
                self.campaign.measured(measured(8))


def listener() -> Any:
    return SimpleNamespace(
        said=lambda _: None, measured=lambda _: None, not_measured=lambda *_: None, engine_starting=lambda _: None
    )


@contextmanager
def nothing(_: object) -> Iterator[Any]:
    yield None


@pytest.fixture
def engines() -> Engines:
    return Engines()


@pytest.fixture
def campaign(engines: Engines) -> Campaign:
    unused: Any = SimpleNamespace()

    def open_arm(_arm: Arm, _engine: object, server_start: str) -> Any:
        engines.starts.append(server_start)
        return nothing(None)

    made = Campaign(
        restarts={"candidate": True, "reference": True},
        open_arm=open_arm,
        connect=unused,
        point=unused,
        levels=(),
        bill=Bill(budget=Budget(), usd_per_gpu_hour=1.0),
        listener=listener(),
        stamp="20261124-100000",
        seed=0,
        sink=lambda _: None,
    )
    runner: Any = engines
    made._runner = runner
    engines.campaign = made
    return made


def places(engines: Engines) -> list[tuple[Arm, int]]:
    return [(arm, place) for arm, _, _, place in engines.asked]


def test_a_block_is_old_new_new_old(campaign: Campaign, engines: Engines) -> None:
    found = campaign.pairs([CELL], 1)
    assert places(engines) == [("reference", 0), ("candidate", 1), ("candidate", 2), ("reference", 3)]
    assert [list(place) for place in found] == [[CELL]] * 4


def test_a_cell_that_the_old_engine_lost_is_not_measured_on_the_new_one(campaign: Campaign, engines: Engines) -> None:
    engines.broken = frozenset({"reference"})
    assert campaign.pairs([CELL], 1) == [{}, {}, {}, {}]
    assert places(engines) == [("reference", 0)]
    assert str(campaign.unconfirmed[CELL]) == "it does not start"
    assert not campaign.found.lost


@pytest.mark.parametrize(("restarts", "count"), [(True, 7), (False, 1)])
def test_a_server_that_is_not_restarted_stays_in_its_session(
    campaign: Campaign,
    engines: Engines,
    restarts: bool,  # noqa: FBT001
    count: int,
) -> None:
    """Two looks at one attached server are runs of one start, however long lies between them."""
    engines.restarts = restarts
    campaign.restarts = {"candidate": restarts, "reference": restarts}
    plan = Plan(cells=(CELL,))
    campaign.screen(plan, {CELL: 2})
    campaign.screen(plan, {CELL: 1})
    campaign.pairs([CELL], 1)
    campaign.fresh_starts([CELL], 2)
    assert len(set(engines.starts)) == count


def test_a_further_look_after_several_sessions_is_a_start_of_its_own(campaign: Campaign, engines: Engines) -> None:
    plan = Plan(cells=(CELL,))
    campaign.repeats(plan, [{CELL: 1}] * 2)
    campaign.screen(plan, {CELL: 1})
    assert [name.rpartition(".")[2] for name in engines.starts] == ["1", "2", "3"]
    assert engines.refined == [True, False, False]


def test_nothing_is_refined_beside_pairs_or_twice(campaign: Campaign, engines: Engines) -> None:
    campaign.repeats(Plan(cells=(CELL,)), [{CELL: 1}] * 2)
    campaign.pairs([CELL], 1)
    assert engines.refined == [True, False, False, False, False, False]


def gone_on_with(folder: Path, *found: tuple[Arm, Stage, int, int], paired: bool = True) -> Places:
    raw = tuple(
        RawRun(measurement=measured(8), arm=arm, stage=stage, block=block, place=place)
        for arm, stage, block, place in found
    )
    save_run(Run(tool_version="1", started_at="2026-11-24T10:00:00+00:00", raw=raw), folder / "run.json")
    begun = resumed(folder / "run.json", paired=paired)
    return [(run.arm, run.stage, run.block, run.place) for run in begun]


SCREEN: tuple[Arm, Stage, int, int] = ("candidate", "screen", 0, 0)
WHOLE: Places = [
    ("reference", "confirm", 1, 0),
    ("candidate", "confirm", 1, 1),
    ("candidate", "confirm", 1, 2),
    ("reference", "confirm", 1, 3),
]


def test_a_block_of_pairs_that_was_interrupted_is_measured_anew(tmp_path: Path) -> None:
    begun: Places = [("reference", "confirm", 2, 0), ("candidate", "confirm", 2, 1)]
    assert gone_on_with(tmp_path, SCREEN, *WHOLE, *begun) == [SCREEN, *WHOLE]


def test_fresh_starts_are_kept_where_there_is_no_old_engine(tmp_path: Path) -> None:
    start: tuple[Arm, Stage, int, int] = ("candidate", "confirm", 1, 1)
    assert gone_on_with(tmp_path, SCREEN, start, paired=False) == [SCREEN, start]


@pytest.mark.parametrize(
    ("old", "words"),
    [
        (msgspec.structs.replace(ENVIRONMENT, hardware="simulated-h200"), "hardware differs"),
        (msgspec.structs.replace(ENVIRONMENT, facts={"kv_cache_dtype": "fp8"}), "kv_cache_dtype differs"),
    ],
)
def test_an_old_engine_that_is_unlike_the_new_one_makes_no_pairs(
    campaign: Campaign, old: Environment, words: str
) -> None:
    here = msgspec.structs.replace(ENVIRONMENT, facts={"kv_cache_dtype": "auto"})
    campaign.measured(msgspec.structs.replace(measured(8), environment=here))
    campaign._now = Place("reference", "confirm", 1, 0)
    with pytest.raises(NotComparableError, match=words):
        campaign.engine_known(CELL.engine, old)
    campaign.engine_known(CELL.engine, msgspec.structs.replace(here, version="0.0.1"))
