"""The values that every stage of an invocation takes."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_specdec.domain.cell import Cell
from pytest_specdec.domain.environment import UNKNOWN
from pytest_specdec.domain.price import Price, list_price
from pytest_specdec.pipeline.engines import Engines
from pytest_specdec.pipeline.settings import Settings
from pytest_specdec.results.baseline import Baselines
from pytest_specdec.suite.demand import Declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Choices and declarations of the user, with the engines and baselines that they name."""

    settings: Settings
    declared: Declared
    engines: Engines
    baselines: Baselines

    def price(self, hardware: str = "") -> Price:
        """Return the user's price, else the list price of the hardware; by default of the declared one.

        Raises:
            InvalidInputError: there is neither; the message says how to give one.
        """
        usd, kw = self.settings.measure.gpu_hour_usd, self.settings.measure.gpu_kw
        if usd is not None and kw is not None:
            return Price(usd_per_gpu_hour=usd, kw_per_gpu=kw)
        return list_price(hardware or self.declared.any_hardware)

    def is_stored(self, cell: Cell) -> bool:
        """Tell if a cell has a baseline, as far as is known before its engine is asked."""
        side = self.engines.candidate
        hardware = side.settings.hardware or self.declared.hardware.get(cell.engine, "") or UNKNOWN
        simulated, engine = side.source.simulated, side.settings.engine
        if not simulated and engine is None:
            return False  # another engine's baseline is none of this one
        return any(
            bool(point.environment.simulated) == simulated
            and point.environment.hardware.removeprefix("simulated-") == hardware
            and (simulated or engine == point.environment.engine)
            for point in self.baselines.of_any_environment(cell)
        )
