"""The one table of metrics: name, unit, direction, formula, the outputs that show it, and the limits it is gated by.

A metric is added by one row here and by the estimator that computes it: every table, file, menu and test of the gate
reads its choice of metrics from the rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, get_args

import msgspec

from pytest_specdec.errors import InvalidInputError

Better = Literal["higher", "lower"]
ChartGroup = Literal["Throughput", "Cost", "Power and energy", "Speculation", "Latency"]
"""Groups of the page's menu of vertical axes, in its order."""
CHART_GROUPS: tuple[ChartGroup, ...] = get_args(ChartGroup)
Role = Literal["headline", "verdict", "point", "tracker", "peer", "x axis"] | ChartGroup
"""An output that shows a choice of metrics, not all of them.

headline: named with a verdict or an accepted baseline, and a column of pytest-html.
verdict: shown with every verdict, gated or not.
point: a column of the table of measured points.
tracker: a chart of github-action-benchmark, which draws one per metric and cell.
peer: read from the result files of load generators, where they have it.
x axis: offered as horizontal axis of the page.
"""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a gated metric, as fractions of the baseline.

    Two limits, not one: with a single threshold a loss of exactly that size is never decided.
    """

    margin: float
    """Loss that must be found: a PASS says that it is smaller."""
    tolerance: float
    """Loss that is accepted: a FAIL says that it is larger."""
    min_requests: int = 0
    """Below so many requests per run the metric is advisory: shown, never red."""
    speed: bool = False
    """A cell is judged only if a metric of speed is: a steady TTFT says nothing about the rate of tokens."""
    place: int = 99
    """Order of the gated metrics of a cell."""

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < self.margin < 1:
            raise InvalidInputError(
                f"the tolerance ({self.tolerance:g}) must lie below the margin ({self.margin:g}), both from 0 to 1"
            )

    @property
    def far(self) -> float:
        """The margin on the log scale (capital delta)."""
        return -math.log1p(-self.margin)

    @property
    def near(self) -> float:
        """The tolerance on the log scale (delta zero)."""
        return -math.log1p(-self.tolerance)


@dataclass(frozen=True, slots=True)
class Metric:
    """Meaning of a number and the direction in which it improves."""

    key: str
    """Name in files and code; ends with its unit where it has one."""
    title: str
    """Heading for people."""
    unit: str
    better: Better | None
    """None: neither direction is an improvement."""
    digits: int
    """Decimals shown to people."""
    formula: str
    _: KW_ONLY
    column: str = ""
    """Heading of its column of measured points; empty: title and unit."""
    needs: Literal["price", "SLO", "GPU sensors"] | None = None
    """Input beside the traffic. Values of a price, or of an SLO, compare only with those of the same one."""
    roles: Mapping[Role, int] = field(default_factory=dict)
    """Outputs of a choice of metrics that show this one, each with its place in their order."""
    gate: Limits | None = None
    """None: not gated."""

    def __post_init__(self) -> None:
        if self.better is None and (self.gate or "tracker" in self.roles):
            raise InvalidInputError(f"{self.key} can be neither gated nor tracked: it has no direction of improvement")

    @property
    def heading(self) -> str:
        """Heading of a column of values without units."""
        return self.column or f"{self.title} {self.unit}".strip()

    def loss(self, now: float, reference: float) -> float:
        """Relative change in the bad direction: 0.05 is 5 % worse, negative is better.

        A doubled latency and a halved throughput are both a loss of 100 % and 50 % of the reference respectively.
        """
        change = now / reference - 1
        return change if self.better == "lower" else -change


_E2E = (
    "over whole requests of last token's arrival - request start; missing where fewer than five ended in the window, "
    "or it is shorter than the slowest of them or of those under way"
)
_LATENCIES = {
    "TTFT": (1, "over requests of first token's arrival - request start"),
    "E2E": (0, _E2E),
    "ITL": (2, "of the gaps between consecutive chunks; with MTP a chunk has several tokens"),
}
"""Decimals and formula of each percentile."""


def _latency(name: str, q: int, roles: Mapping[Role, int], gate: Limits | None = None) -> Metric:
    digits, of = _LATENCIES[name]
    return Metric(
        f"{name.lower()}_p{q}_ms", f"{name} p{q}", "ms", "lower", digits, f"{q}th percentile {of}",
        roles=roles, gate=gate,
    )  # fmt: skip


_TABLE = (
    Metric(
        "total_tok_s_gpu", "throughput/GPU", "tok/s/GPU", "higher", 1,
        "(input + output tokens) / window / GPUs; a request's input is credited pro rata with its output",
        column="tok/s/GPU", roles={"headline": 1, "verdict": 1, "point": 2, "tracker": 1, "Throughput": 1},
        gate=Limits(margin=0.05, tolerance=0.01, speed=True, place=1),
    ),
    Metric(
        "output_tok_s_gpu", "output/GPU", "tok/s/GPU", "higher", 1,
        "output tokens / window / GPUs, tokens counted where they fall",
        roles={"tracker": 2, "Throughput": 2},
    ),
    Metric(
        "input_tok_s_gpu", "input/GPU", "tok/s/GPU", "higher", 1,
        "input tokens credited pro rata with their request's output / window / GPUs",
        roles={"Throughput": 3},
    ),
    Metric(
        "interactivity_tok_s_user", "interactivity", "tok/s/user", "higher", 1, "1 / median TPOT",
        column="tok/s/user", roles={"headline": 2, "verdict": 2, "point": 1, "tracker": 3, "x axis": 1},
        gate=Limits(margin=0.05, tolerance=0.01, speed=True, place=2),
    ),
    Metric(
        "tpot_p50_ms", "TPOT p50", "ms", "lower", 2,
        "median over requests of (last - first chunk in the window) / tokens after the first, moved by as much "
        "as the window's mean is off the long run's; of a request inside the window (E2E - TTFT) / (output tokens - 1)",
        roles={"tracker": 7, "x axis": 7, "Latency": 4},
    ),
    Metric(
        "tpot_p90_ms", "TPOT p90", "ms", "lower", 2,
        "90th percentile over requests of (last - first chunk in the window) / tokens after the first",
        roles={"peer": 1},
    ),
    _latency(
        "TTFT", 50, roles={"verdict": 4, "point": 3, "tracker": 8, "peer": 2, "x axis": 2, "Latency": 1},
        gate=Limits(margin=0.10, tolerance=0.02, place=4),
    ),
    _latency("TTFT", 90, roles={"peer": 3, "x axis": 3}),
    _latency(
        "TTFT", 99, roles={"tracker": 9, "peer": 4, "x axis": 4, "Latency": 2},
        gate=Limits(margin=0.25, tolerance=0.05, min_requests=1000, place=6),
    ),
    _latency(
        "E2E", 50, roles={"tracker": 10, "peer": 5, "x axis": 5, "Latency": 3},
        gate=Limits(margin=0.10, tolerance=0.02, place=5),
    ),
    _latency("E2E", 90, roles={"peer": 6, "x axis": 6}),
    _latency("ITL", 50, roles={}),
    _latency("ITL", 99, roles={"Latency": 5}),
    Metric(
        "cost_usd_mtok", "cost", "$/M tok", "lower", 3,
        "$ per GPU-hour / (throughput per GPU x 0.0036), input and output tokens alike",
        column="$/M tok", needs="price", roles={"verdict": 5, "point": 4, "tracker": 11, "Cost": 1},
    ),
    Metric(
        "cost_usd_mtok_output", "cost of output", "$/M output tok", "lower", 3,
        "$ per GPU-hour / (output throughput per GPU x 0.0036)",
        needs="price", roles={"Cost": 2},
    ),
    Metric(
        "tok_s_mw", "tok/s/MW", "tok/s/MW", "higher", 0,
        "throughput per GPU x 1000 / kW per GPU, provisioned all-in power",
        needs="price", roles={"Power and energy": 1},
    ),
    Metric(
        "j_tok", "energy", "J/tok", "lower", 2, "kW per GPU x 1000 / throughput per GPU, provisioned all-in power",
        needs="price", roles={"Power and energy": 2},
    ),
    Metric(
        "measured_j_tok", "GPU energy", "J/tok", "lower", 3,
        "energy of the GPU boards by their own sensors / (input + output tokens); without host, fans, switches "
        "and power supplies",
        column="GPU J/tok", needs="GPU sensors", roles={"point": 7, "tracker": 12, "Power and energy": 3},
    ),
    Metric(
        "goodput_req_s", "goodput", "req/s", "higher", 2,
        "requests that ended in the window and met every bound of the SLO / window",
        needs="SLO", roles={"point": 6, "tracker": 6, "Throughput": 4},
    ),
    Metric(
        "goodput_share", "within SLO", "", "higher", 3,
        "requests that met every bound of the SLO / requests that ended in the window",
        needs="SLO",
    ),
    Metric(
        "acceptance_length", "acceptance length", "tok/step", "higher", 2, "1 + accepted draft tokens / verify steps",
        column="accept. length",
        roles={"headline": 3, "verdict": 3, "point": 5, "tracker": 4, "peer": 7, "Speculation": 1},
        gate=Limits(margin=0.03, tolerance=0.005, place=7),
    ),
    Metric(
        "acceptance_rate", "acceptance rate", "", "higher", 3, "accepted draft tokens / draft tokens",
        roles={"peer": 8, "Speculation": 2},
    ),
    Metric(
        "step_rate_s", "verify steps", "steps/s", "higher", 1,
        "output tokens / window / acceptance length, summed over sequences",
        roles={"tracker": 5}, gate=Limits(margin=0.05, tolerance=0.01, speed=True, place=3),
    ),
    Metric(
        "step_time_ms", "step time", "ms", "lower", 2,
        "acceptance length x time of streams between first and last token / their tokens; whatever stops a "
        "stream is in it",
        roles={"Speculation": 3},
    ),
    Metric(
        "decoding_streams", "decoding streams", "", "higher", 1,
        "streams between their first and last token, mean over the window",
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.key: metric for metric in _TABLE}
"""Every metric by its key, in the order in which reports show them."""


def metrics_as(role: Role) -> tuple[Metric, ...]:
    """The metrics of a role, in its order."""
    return tuple(sorted((m for m in METRICS.values() if role in m.roles), key=lambda m: m.roles[role]))


def keys_as(role: Role) -> tuple[str, ...]:
    """Keys of the metrics of a role, in its order."""
    return tuple(metric.key for metric in metrics_as(role))
