"""The one table of metrics: name, unit, direction, formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a number means and which way it improves; direction lives here and nowhere else."""

    key: str
    """Name in files and code; ends with its unit where it has one."""
    title: str
    """Heading for people."""
    unit: str
    better: Better | None
    """None: neither direction is an improvement."""
    formula: str
    digits: int
    """Decimals shown to people."""

    def loss(self, now: float, reference: float) -> float:
        """Relative change in the bad direction: 0.05 is 5 % worse, negative is better.

        A doubled latency and a halved throughput are both a loss of 100 % and 50 % of the reference respectively.
        """
        change = now / reference - 1
        return change if self.better == "lower" else -change


_TABLE = (
    Metric(
        key="total_tok_s_gpu",
        title="throughput/GPU",
        unit="tok/s/GPU",
        better="higher",
        digits=1,
        formula="(input + output tokens) / window / GPUs; a request's input is credited pro rata with its output",
    ),
    Metric(
        key="output_tok_s_gpu",
        title="output/GPU",
        unit="tok/s/GPU",
        better="higher",
        digits=1,
        formula="output tokens / window / GPUs, tokens counted where they fall",
    ),
    Metric(
        key="input_tok_s_gpu",
        title="input/GPU",
        unit="tok/s/GPU",
        better="higher",
        digits=1,
        formula="input tokens credited pro rata with their request's output / window / GPUs",
    ),
    Metric(
        key="interactivity_tok_s_user",
        title="interactivity",
        unit="tok/s/user",
        better="higher",
        digits=1,
        formula="1 / median TPOT",
    ),
    Metric(
        key="tpot_p50_ms",
        title="TPOT p50",
        unit="ms",
        better="lower",
        digits=2,
        formula="median over requests of (last - first chunk in the window) / tokens after the first, moved by as much "
        "as the window's mean is off the long run's; of a request inside the window (E2E - TTFT) / (output tokens - 1)",
    ),
    Metric(
        key="tpot_p90_ms",
        title="TPOT p90",
        unit="ms",
        better="lower",
        digits=2,
        formula="90th percentile over requests of (last - first chunk in the window) / tokens after the first",
    ),
    *(
        Metric(
            key=f"ttft_p{q}_ms",
            title=f"TTFT p{q}",
            unit="ms",
            better="lower",
            digits=1,
            formula=f"{q}th percentile over requests of first token's arrival - request start",
        )
        for q in (50, 90, 99)
    ),
    *(
        Metric(
            key=f"e2e_p{q}_ms",
            title=f"E2E p{q}",
            unit="ms",
            better="lower",
            digits=0,
            formula=f"{q}th percentile over whole requests of last token's arrival - request start; missing where "
            "fewer than five ended in the window, or it is shorter than the slowest of them or of those under way",
        )
        for q in (50, 90)
    ),
    *(
        Metric(
            key=f"itl_p{q}_ms",
            title=f"ITL p{q}",
            unit="ms",
            better="lower",
            digits=2,
            formula=f"{q}th percentile of the gaps between consecutive chunks; with MTP a chunk has several tokens",
        )
        for q in (50, 99)
    ),
    Metric(
        key="cost_usd_mtok",
        title="cost",
        unit="$/M tok",
        better="lower",
        digits=3,
        formula="$ per GPU-hour / (throughput per GPU x 0.0036), input and output tokens alike",
    ),
    Metric(
        key="cost_usd_mtok_output",
        title="cost of output",
        unit="$/M output tok",
        better="lower",
        digits=3,
        formula="$ per GPU-hour / (output throughput per GPU x 0.0036)",
    ),
    Metric(
        key="tok_s_mw",
        title="tok/s/MW",
        unit="tok/s/MW",
        better="higher",
        digits=0,
        formula="throughput per GPU x 1000 / kW per GPU, provisioned all-in power",
    ),
    Metric(
        key="j_tok",
        title="energy",
        unit="J/tok",
        better="lower",
        digits=2,
        formula="kW per GPU x 1000 / throughput per GPU, provisioned all-in power",
    ),
    Metric(
        key="measured_j_tok",
        title="GPU energy",
        unit="J/tok",
        better="lower",
        digits=3,
        formula="energy of the GPU boards by their own sensors / (input + output tokens); without host, fans, switches "
        "and power supplies",
    ),
    Metric(
        key="goodput_req_s",
        title="goodput",
        unit="req/s",
        better="higher",
        digits=2,
        formula="requests that ended in the window and met every bound of the SLO / window",
    ),
    Metric(
        key="goodput_share",
        title="within SLO",
        unit="",
        better="higher",
        digits=3,
        formula="requests that met every bound of the SLO / requests that ended in the window",
    ),
    Metric(
        key="acceptance_length",
        title="acceptance length",
        unit="tok/step",
        better="higher",
        digits=2,
        formula="1 + accepted draft tokens / verify steps",
    ),
    Metric(
        key="acceptance_rate",
        title="acceptance rate",
        unit="",
        better="higher",
        digits=3,
        formula="accepted draft tokens / draft tokens",
    ),
    Metric(
        key="step_rate_s",
        title="verify steps",
        unit="steps/s",
        better="higher",
        digits=1,
        formula="output tokens / window / acceptance length, summed over sequences",
    ),
    Metric(
        key="step_time_ms",
        title="step time",
        unit="ms",
        better="lower",
        digits=2,
        formula="acceptance length x time of streams between first and last token / their tokens; whatever stops a "
        "stream is in it",
    ),
    Metric(
        key="decoding_streams",
        title="decoding streams",
        unit="",
        better="higher",
        digits=1,
        formula="streams between their first and last token, mean over the window",
    ),
)

METRICS: dict[str, Metric] = {metric.key: metric for metric in _TABLE}
"""Every metric by its key, in the order in which reports show them."""
