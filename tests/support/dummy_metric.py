"""One more metric, added by its row alone: to be imported before the modules that read the rows."""

from __future__ import annotations

from typing import get_args

from pytest_specdec.domain.metric import METRICS, ChartGroup, Limits, Metric, Role

KEY = "widgets_s"
ROLES: tuple[Role, ...] = ("headline", "verdict", "point", "tracker", "peer", "x axis", *get_args(ChartGroup))

METRICS[KEY] = Metric(
    key=KEY,
    title="widget rate",
    unit="widgets/s",
    better="lower",
    digits=3,
    formula="widgets / window",
    column="wid/s",
    roles=dict.fromkeys(ROLES, 50),
    gate=Limits(margin=0.06, tolerance=0.02, place=50),
)
