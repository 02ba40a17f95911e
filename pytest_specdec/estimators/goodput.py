"""Goodput: the share of requests that meet every bound of a service level objective, and how many do so per second.

The definition is the field's (DistServe, OSDI 2024; `vllm bench serve --goodput`): a request is good when it has
finished and all bounds hold for it, each inclusive; TPOT is (E2E - TTFT) / (output tokens - 1), and 0 for one token.

- Judged are the requests that end in the window. One that failed is not good; one that still streams when the window
  closes is not judged, and counted. When a failure happened is not recorded: its last token, or else its start, stands
  for it.
- The first wave is not judged: it starts in the middle of its output (see `schedule`), so its latencies are not those
  of a request of its length. A window shorter than a request therefore judges few, and the fast ones among them.
- The share's interval is Wilson's, which holds for few requests and near 0 and 1, where the normal one has no width.
  It leans towards 1/2; `Estimate` is symmetric, so the longer side is taken for both: that never claims more than
  Wilson does, and the value stays what was counted. Requests that share a slow phase of the server are not independent,
  which no interval of one window shows.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy import stats

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.traffic import RequestSample, Traffic
from pytest_specdec.estimators.slo import Slo
from pytest_specdec.estimators.steady import CONFIDENCE

_ROUNDING = 1e-9
"""Relative; differences of time stamps and sums of milliseconds are not exact, and on the bound is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodput:
    """Goodput of one point under one SLO."""

    slo: Slo
    share: Estimate
    """Good requests of those judged, 0 to 1."""
    requests_s: Estimate
    """Good requests per second of the window. Its interval is the share's: of the requests that ended, and not of how
    many did.
    """
    judged: int
    """Requests that ended in the window."""
    good: int
    streaming: int
    """Requests that began before the window's end and had not ended by then: not judged."""

    @property
    def words(self) -> str:
        """For people: `37 of 40 requests (92.5 %) met TTFT <= 500 ms: 1.23 req/s`."""
        share = f"{self.good} of {self.judged} requests ({100 * self.share.value:.1f} %)"
        return f"{share} met {self.slo.words}: {self.requests_s.value:.3g} req/s"


def goodput(traffic: Traffic, slo: Slo) -> Goodput | None:
    """Judge the requests that ended in the window; None when there are none."""
    whole = [sample for sample in traffic.samples if not sample.request.skipped]
    judged = [s for s in whole if s.status != "cut" and traffic.has(_end_s(s))]
    if not judged:
        return None
    good = sum(is_good(sample, slo) for sample in judged)
    share = _share(good, len(judged))
    end = traffic.window_end_s
    streaming = [s for s in whole if s.start_s < end and (s.status == "cut" or _end_s(s) >= end)]
    return Goodput(
        slo=slo,
        share=share,
        requests_s=share.scaled(len(judged) / traffic.window_s),
        judged=len(judged),
        good=good,
        streaming=len(streaming),
    )


def is_good(sample: RequestSample, slo: Slo) -> bool:
    """True if a request has finished and met every bound."""
    if sample.status != "ok" or not len(sample.chunk_s):
        return False
    ttft_s = float(sample.chunk_s[0]) - sample.start_s
    e2e_s = float(sample.chunk_s[-1]) - sample.start_s
    gaps = sample.output_tokens - 1
    seconds = {"ttft": ttft_s, "tpot": (e2e_s - ttft_s) / gaps if gaps > 0 else 0.0, "e2e": e2e_s}
    return all(seconds[name] * 1000 <= bound * (1 + _ROUNDING) for name, bound in slo.bounds.items())


def _end_s(sample: RequestSample) -> float:
    return float(sample.chunk_s[-1]) if len(sample.chunk_s) else sample.start_s


def _share(good: int, judged: int) -> Estimate:
    value = good / judged
    interval = stats.binomtest(good, judged).proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return Estimate(value, max(value - float(interval.low), float(interval.high) - value))
