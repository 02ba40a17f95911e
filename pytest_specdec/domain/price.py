"""Price and power per GPU, and the metrics that follow from throughput.

A price belongs to a measurement and is stored with it: one H200 cost $1.41 per GPU-hour at 1.73 kW when the published
Qwen3.5 table was made and $1.22 at 1.37 kW a month later. Cost, tok/s/MW and J/token are always derived from
throughput, never interpolated on their own.
"""

from __future__ import annotations

import msgspec

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import InvalidInputError

_SECONDS_PER_HOUR_PER_MILLION = 0.0036


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Price and power of a GPU; a measurement keeps the price it was reported with."""

    usd_per_gpu_hour: float
    kw_per_gpu: float
    """Provisioned all-in power, not measured power."""
    source: str = "given by the user"

    def __post_init__(self) -> None:
        if not (0 < self.usd_per_gpu_hour < float("inf") and 0 < self.kw_per_gpu < float("inf")):
            raise InvalidInputError(
                "price and power must be positive: "
                f"got ${self.usd_per_gpu_hour:g} per GPU-hour and {self.kw_per_gpu:g} kW per GPU"
            )

    def __str__(self) -> str:
        return f"${self.usd_per_gpu_hour:g}/GPU-hour, {self.kw_per_gpu:g} kW/GPU ({self.source})"


def cost_usd_mtok(price: Price, throughput: Estimate) -> Estimate:
    """$ per million tokens = $ per GPU-hour / (tok/s/GPU x 0.0036)."""
    return throughput.inverse(price.usd_per_gpu_hour / _SECONDS_PER_HOUR_PER_MILLION)


def tok_s_mw(price: Price, throughput: Estimate) -> Estimate:
    """Tokens per second per megawatt = tok/s/GPU x 1000 / kW per GPU."""
    return throughput.scaled(1000 / price.kw_per_gpu)


def j_tok(price: Price, throughput: Estimate) -> Estimate:
    """Joules per token = kW per GPU x 1000 / tok/s/GPU."""
    return throughput.inverse(price.kw_per_gpu * 1000)


TIERS = ("hyperscaler", "neocloud", "rental")
"""SemiAnalysis' tiers: own hyperscaler, neocloud giant, three-year rental."""

_INFERENCEX: dict[str, dict[str, tuple[float, float, float, float]]] = {
    # $/GPU-hour hyperscaler, neocloud, rental, then all-in kW per GPU (SemiAnalysis InferenceX, Apache-2.0).
    "2026-04": {
        "h100": (1.30, 1.69, 1.30, 1.73),
        "h200": (1.41, 1.74, 1.60, 1.73),
        "b200": (1.95, 2.34, 2.90, 2.17),
        "b300": (2.34, 2.808, 3.48, 2.17),
        "gb200": (2.21, 2.75, 3.30, 2.10),
        "gb300": (2.652, 3.30, 3.96, 2.10),
        "mi300x": (1.12, 1.40, 1.55, 1.79),
        "mi325x": (1.28, 1.59, 1.80, 2.18),
        "mi355x": (1.48, 1.90, 2.10, 2.65),
    },
    "2026-08": {
        "h100": (1.17, 1.55, 1.78, 1.37),
        "h200": (1.22, 1.59, 2.05, 1.37),
        "b200": (1.73, 2.07, 2.60, 1.71),
        "b300": (2.26, 2.52, 3.00, 1.90),
        "gb200": (1.86, 2.26, 2.60, 1.87),
        "gb300": (2.31, 2.79, 3.30, 2.12),
        "mi300x": (0.95, 1.16, 1.30, 1.39),
        "mi325x": (1.10, 1.32, 1.60, 1.69),
        "mi355x": (1.50, 2.09, 2.10, 2.09),
    },
}

PRICE_BOOKS = tuple(_INFERENCEX)
"""Price lists by the month from which they were published, oldest first."""


def list_price(hardware: str, *, book: str = PRICE_BOOKS[-1], tier: str = "hyperscaler") -> Price:
    """Look a GPU up in a published price list.

    Raises:
        InvalidInputError: unknown hardware, book or tier; the message lists what there is.
    """
    for name, value, known in (("price book", book, PRICE_BOOKS), ("price tier", tier, TIERS)):
        if value not in known:
            raise InvalidInputError(f"unknown {name} {value!r}; there are: {', '.join(known)}")
    prices = _INFERENCEX[book]
    key = hardware.lower().removeprefix("simulated-")
    if key not in prices:
        raise InvalidInputError(
            f"no listed price for hardware {hardware!r} (listed: {', '.join(prices)}); "
            "give the price per GPU-hour and the power per GPU yourself"
        )
    row = prices[key]
    return Price(
        usd_per_gpu_hour=row[TIERS.index(tier)], kw_per_gpu=row[3], source=f"InferenceX {book}, {hardware}, {tier}"
    )
