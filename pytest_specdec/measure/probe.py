"""Look at a concurrency for a moment, to find where an interactivity level lies; nothing of it is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from pytest_specdec.domain.cell import Cell
from pytest_specdec.engine.endpoint import wait_until_idle
from pytest_specdec.estimators.look import LookReview, rough_interactivity
from pytest_specdec.load.point import Progress, put_under_load
from pytest_specdec.load.writers import Writer
from pytest_specdec.measure.point import PointOptions, Server

_BUSY_S = 10.0
_DRAIN_S = 60.0


async def look_at(  # noqa: PLR0913 - a look is all of these
    server: Server,
    cell: Cell,
    writer: Writer,
    options: PointOptions,
    *,
    seconds: float,
    on_progress: Callable[[Progress], None],
) -> float:
    """Interactivity of a closed loop, roughly, tok/s/user.

    Raises:
        EngineError: somebody else uses the server, or requests keep failing.
        NotMeasuredError: no token came.
    """
    endpoint, adapter = server.endpoint, server.served.adapter
    await wait_until_idle(endpoint, adapter, seconds=_BUSY_S)
    result = await put_under_load(
        server.target,
        cell,
        writer,
        limits=dataclasses.replace(options.limits, settle_s=options.limits.settle_s / 2),
        review=LookReview(seconds=seconds),
        on_progress=on_progress,
    )
    await wait_until_idle(endpoint, adapter, seconds=_DRAIN_S)
    return rough_interactivity(result.traffic, cell.concurrency)
