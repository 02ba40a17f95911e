"""Facts about requests -> values with their uncertainty, all from one steady window.

- Output tokens count where they fall; their rate is that of the long run (see `steady`). Input tokens are credited pro
  rata with output tokens, at the workload's mean ISL/OSL as the server counted it: at 8k1k one prefill more or less in
  the window would otherwise decide the result.
- TPOT of a stream is taken over the part of it that lies in the window: (last - first chunk) / (tokens after the
  first chunk). For a request that runs inside the window this is (E2E - TTFT) / (output tokens - 1). A stream counts
  when at least a quarter of the nominal output was seen, so a window may be shorter than a request.
- TTFT uses requests that start in the window. E2E uses whole requests, and only when the window is longer than the
  slowest of them: a shorter one would show the fast ones only.
- Half-widths are 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pytest_specdec.acceptance import Acceptance
from pytest_specdec.cell import Workload
from pytest_specdec.cost import Price, cost_usd_mtok, j_tok, tok_s_mw
from pytest_specdec.errors import EngineError, NotMeasuredError
from pytest_specdec.estimate import Estimate
from pytest_specdec.measurement import RequestCounts
from pytest_specdec.sample import RequestSample, Traffic
from pytest_specdec.steady import Batches, Floats, median_estimate, output_rate, tpot_s

BATCHES = 10
_SEEN_SHARE = 0.25
_FEWEST_E2E = 5
_MAX_FAILED_SHARE = 0.05


def summarize(
    traffic: Traffic, workload: Workload, *, gpus: int, acceptance: Acceptance | None, price: Price
) -> tuple[dict[str, Estimate], RequestCounts]:
    """Derive every metric that the traffic supports.

    Raises:
        EngineError: too many requests failed.
        NotMeasuredError: no stream was seen long enough to say anything.
    """
    refuse_failures(traffic)
    streams = [sample for sample in traffic.samples if sample.status != "failed"]
    window_s = traffic.window_end_s - traffic.window_start_s
    tpots = _stream_tpots(streams, traffic, workload)
    if len(tpots) and not tpots.any():
        raise NotMeasuredError(
            "every answer arrived all at once: something on the way (a proxy, a gateway) buffers the stream, and speed "
            "per user cannot be seen from here"
        )
    if window_s <= 0 or len(tpots) == 0:
        raise NotMeasuredError(
            f"no stream was seen for {_SEEN_SHARE:.0%} of {workload.osl} output tokens within the window of "
            f"{window_s:.1f} s; use a longer window"
        )
    mean_isl, mean_osl = (nominal * (1 + workload.shortest) / 2 for nominal in (workload.isl, workload.osl))
    batches = _batches(streams, traffic)
    output = output_rate(batches, mean_osl).scaled(1 / gpus)
    credit = mean_isl * _counting(streams) / mean_osl
    rates = {
        "total_tok_s_gpu": output.scaled(1 + credit),
        "output_tok_s_gpu": output,
        "input_tok_s_gpu": output.scaled(credit),
    }
    tpot = _tpot(tpots, batches, mean_osl)
    values = {
        **rates,
        "interactivity_tok_s_user": tpot.inverse(),
        "tpot_p50_ms": tpot.scaled(1000),
        "tpot_p90_ms": Estimate(float(np.percentile(tpots, 90)) * 1000),
        **_latencies(streams, traffic),
        "cost_usd_mtok": cost_usd_mtok(price, rates["total_tok_s_gpu"]),
        "cost_usd_mtok_output": cost_usd_mtok(price, rates["output_tok_s_gpu"]),
        "tok_s_mw": tok_s_mw(price, rates["total_tok_s_gpu"]),
        "j_tok": j_tok(price, rates["total_tok_s_gpu"]),
    }
    # A gauge is of some interval that the engine chose: a hint, and no measurement of this window.
    if acceptance is not None and acceptance.source != "gauge":
        length = acceptance_length(acceptance)
        values["acceptance_length"] = length
        values["acceptance_rate"] = Estimate(acceptance.rate, acceptance.rate * (length.relative or 0.0))
        values["step_rate_s"] = rates["output_tok_s_gpu"].scaled(gpus) / length
    return values, _counts(traffic.samples, len(tpots))


def refuse_failures(traffic: Traffic) -> None:
    """Refuse a point with more than 5 % failed requests.

    Raises:
        EngineError: the message quotes the most common failure.
    """
    failures = [sample.error or "unknown" for sample in traffic.samples if sample.status == "failed"]
    if len(failures) > _MAX_FAILED_SHARE * len(traffic.samples):
        commonest = max(set(failures), key=lambda error: (failures.count(error), error))
        raise EngineError(f"{len(failures)} of {len(traffic.samples)} requests failed; most often: {commonest}")


def acceptance_length(acceptance: Acceptance) -> Estimate:
    """Acceptance length with the uncertainty of its steps taken as independent.

    The number N of accepted drafts in a step exceeds i with probability p_i, so E[N] = sum p_i and
    E[N^2] = sum (2i + 1) p_i.
    """
    p = np.array(acceptance.per_position)
    if not len(p):
        return Estimate(acceptance.length)
    variance = float(((2 * np.arange(len(p)) + 1) * p).sum() - p.sum() ** 2)
    return Estimate(acceptance.length, 1.96 * math.sqrt(max(variance, 0.0) / acceptance.steps))


def _stream_tpots(streams: Sequence[RequestSample], traffic: Traffic, workload: Workload) -> Floats:
    fewest = max(2, _SEEN_SHARE * workload.osl * (1 + workload.shortest) / 2)
    tpots = []
    for sample in streams:
        inside = _inside(sample, traffic)
        times, tokens = sample.chunk_s[inside], sample.chunk_tokens[inside]
        if len(times) >= 2 and tokens.sum() >= fewest:
            tpots.append((times[-1] - times[0]) / tokens[1:].sum())
    return np.array(tpots, dtype=np.float64)


def _batches(streams: Sequence[RequestSample], traffic: Traffic) -> Batches:
    edges = np.linspace(traffic.window_start_s, traffic.window_end_s, BATCHES + 1)
    tokens, prefills, stream_s = np.zeros(BATCHES), np.zeros(BATCHES), np.zeros(BATCHES)
    for sample in streams:
        if not len(sample.chunk_s):
            continue
        tokens += np.histogram(sample.chunk_s, bins=edges, weights=sample.chunk_tokens)[0]
        prefills += np.histogram(sample.chunk_s[:1], bins=edges)[0]
        end = sample.chunk_s[-1] if sample.status == "ok" else max(traffic.window_end_s, sample.chunk_s[0])
        stream_s += np.diff(np.clip(edges, sample.chunk_s[0], end))
    return Batches(seconds=float(edges[1] - edges[0]), tokens=tokens, prefills=prefills, stream_s=stream_s)


def _counting(streams: Sequence[RequestSample]) -> float:
    """Prompt tokens as the server counts them over those that were asked for."""
    counted = [(s.prompt_tokens, s.request.isl) for s in streams if s.prompt_tokens is not None]
    return sum(c for c, _ in counted) / sum(isl for _, isl in counted) if counted else 1.0


def _tpot(tpots: Floats, batches: Batches, mean_osl: float) -> Estimate:
    """Median over streams; its interval joins their scatter with that of the batches, which sees shared slow phases."""
    median = median_estimate(tpots)
    shared = tpot_s(batches, mean_osl)
    relative = [r for r in (median.relative, shared.relative) if r is not None]
    return Estimate(median.value, median.value * math.hypot(*relative) if relative else None)


def _latencies(streams: Sequence[RequestSample], traffic: Traffic) -> dict[str, Estimate]:
    values = {}
    ttft = np.array([s.chunk_s[0] - s.start_s for s in streams if len(s.chunk_s) and _started_inside(s, traffic)])
    if len(ttft):
        values["ttft_p50_ms"] = median_estimate(ttft).scaled(1000)
        for q in (90, 99):
            values[f"ttft_p{q}_ms"] = Estimate(float(np.percentile(ttft, q)) * 1000)
    whole = [s for s in streams if s.status == "ok" and not s.request.skipped and _ended_inside(s, traffic)]
    e2e = np.array([s.chunk_s[-1] - s.start_s for s in whole])
    if len(e2e) >= _FEWEST_E2E and e2e.max() <= traffic.window_end_s - traffic.window_start_s:
        values["e2e_p50_ms"] = median_estimate(e2e).scaled(1000)
        values["e2e_p90_ms"] = Estimate(float(np.percentile(e2e, 90)) * 1000)
    gaps = np.concatenate([np.diff(s.chunk_s[_inside(s, traffic)]) for s in streams] or [np.empty(0)])
    if len(gaps):
        for q in (50, 99):
            values[f"itl_p{q}_ms"] = Estimate(float(np.percentile(gaps, q)) * 1000)
    return values


def _counts(samples: Sequence[RequestSample], observed: int) -> RequestCounts:
    statuses = [sample.status for sample in samples]
    return RequestCounts(
        finished=statuses.count("ok"), failed=statuses.count("failed"), cut=statuses.count("cut"), observed=observed
    )


def _inside(sample: RequestSample, traffic: Traffic) -> NDArray[np.bool_]:
    return (sample.chunk_s >= traffic.window_start_s) & (sample.chunk_s < traffic.window_end_s)


def _started_inside(sample: RequestSample, traffic: Traffic) -> bool:
    return traffic.window_start_s <= sample.start_s < traffic.window_end_s


def _ended_inside(sample: RequestSample, traffic: Traffic) -> bool:
    return len(sample.chunk_s) > 0 and traffic.window_start_s <= float(sample.chunk_s[-1]) < traffic.window_end_s
