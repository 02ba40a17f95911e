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
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_specdec.domain.acceptance import Acceptance
from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.price import Price, cost_usd_mtok, j_tok, tok_s_mw
from pytest_specdec.domain.traffic import RequestCounts, RequestSample, Traffic
from pytest_specdec.errors import EngineError, NotMeasuredError
from pytest_specdec.estimators.steady import (
    PARTS,
    Batches,
    Floats,
    batch_mean,
    decoding_streams,
    median_estimate,
    output_rate,
    series_rate,
    tpot_s,
)

_SEEN_SHARE = 0.25
_FEWEST_E2E = 5
_MAX_FAILED_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """Speed in the steady window."""

    output: Estimate
    """Output tokens per second of the whole engine."""
    tpot: Estimate
    """Median TPOT in seconds."""
    tpots: Floats
    """TPOT of each stream, seconds; shape (streams,)."""
    mean_tpot: Estimate
    """Mean TPOT in seconds: time of streams over their tokens."""
    batches: Batches
    mean_osl: float
    """Output tokens per request."""


def speeds(traffic: Traffic, workload: Workload) -> Speeds:
    """Estimate throughput and TPOT from the window.

    Raises:
        NotMeasuredError: no stream was observed for long enough.
    """
    streams = [sample for sample in traffic.samples if sample.status != "failed"]
    tpots = _stream_tpots(streams, traffic, workload)
    if traffic.window_s <= 0 or len(tpots) == 0:
        raise NotMeasuredError(
            f"no stream was seen for {_SEEN_SHARE:.0%} of {workload.osl} output tokens within the window of "
            f"{traffic.window_s:.1f} s; use a longer window"
        )
    if np.median(tpots) <= 0:
        which = "every" if not tpots.any() else "every other"
        raise NotMeasuredError(
            f"{which} answer arrived all at once: something on the way (a proxy, a gateway, a client without a CPU) "
            "buffers the stream, and speed per user cannot be seen from here"
        )
    batches = _batches(streams, traffic)
    mean_osl = _mean_osl(batches, workload)
    # A quantity that only the window shows adds nothing about the long run, so there is no control variate.
    known = batches if workload.ignore_eos else replace(batches, prefills=np.zeros_like(batches.prefills))
    mean_tpot = tpot_s(known, mean_osl)
    return Speeds(
        output=output_rate(known, mean_osl),
        tpot=_tpot(tpots, batches, mean_tpot),
        tpots=tpots,
        mean_tpot=mean_tpot,
        batches=batches,
        mean_osl=mean_osl,
    )


def summarize(
    traffic: Traffic, workload: Workload, *, gpus: int, acceptance: Acceptance | None, price: Price
) -> tuple[dict[str, Estimate], RequestCounts]:
    """Derive every metric that the traffic supports.

    Raises:
        EngineError: too many requests failed.
        NotMeasuredError: no stream was observed for long enough.
    """
    refuse_failures(traffic)
    streams = [sample for sample in traffic.samples if sample.status != "failed"]
    found = speeds(traffic, workload)
    output, tpot, tpots = found.output.scaled(1 / gpus), found.tpot, found.tpots
    input_rate, total_rate = _input_and_total(found, _mean_isl(streams, workload), workload)
    rates = {
        "total_tok_s_gpu": total_rate.scaled(1 / gpus),
        "output_tok_s_gpu": output,
        "input_tok_s_gpu": input_rate.scaled(1 / gpus),
    }
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
        # The rate is (length - 1) times a constant: of a small length the same error is a larger share.
        drafted = max(length.value - 1, 1e-9)
        half = None if length.half_width is None else acceptance.rate * length.half_width / drafted
        values["acceptance_rate"] = Estimate(acceptance.rate, half)
        values["step_rate_s"] = rates["output_tok_s_gpu"].scaled(gpus) / length
    values |= _factors(found, values.get("acceptance_length"))
    ended = Counter(sample.status for sample in traffic.samples)
    counts = RequestCounts(finished=ended["ok"], failed=ended["failed"], cut=ended["cut"], observed=len(tpots))
    return values, counts


def _factors(found: Speeds, length: Estimate | None) -> dict[str, Estimate]:
    """Factors of the output rate, see `diagnosis`: their quotient is the rate, exactly."""
    step = found.mean_tpot.scaled(1000)
    if length is not None:
        known = [e.relative for e in (step, length) if e.relative is not None]
        value = step.value * length.value
        step = Estimate(value, value * math.hypot(*known) if known else None)
    half = decoding_streams(found.batches).half_width
    return {"step_time_ms": step, "decoding_streams": Estimate(found.output.value * found.mean_tpot.value, half)}


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
    fewest = max(2, _SEEN_SHARE * workload.mean_osl)
    tpots = []
    for sample in streams:
        inside = traffic.inside(sample.chunk_s)
        times, tokens = sample.chunk_s[inside], sample.chunk_tokens[inside]
        whole = sample.status == "ok" and not workload.ignore_eos and len(times) == len(sample.chunk_s)
        if len(times) >= 2 and (whole or tokens.sum() >= fewest):
            tpots.append((times[-1] - times[0]) / tokens[1:].sum())
    return np.array(tpots, dtype=np.float64)


def _batches(streams: Sequence[RequestSample], traffic: Traffic) -> Batches:
    edges = np.linspace(traffic.window_start_s, traffic.window_end_s, PARTS + 1)
    tokens, prefills, stream_s = np.zeros(PARTS), np.zeros(PARTS), np.zeros(PARTS)
    earlier_s = -math.inf
    for sample in sorted((s for s in streams if len(s.chunk_s)), key=lambda s: float(s.chunk_s[0])):
        tokens += np.histogram(sample.chunk_s, bins=edges, weights=sample.chunk_tokens)[0]
        first_s = float(sample.chunk_s[0])
        # A request that came while others were prefilled had to wait for them.
        prefills += _spread(edges, max(sample.start_s, earlier_s), first_s)
        earlier_s = first_s
        end = sample.chunk_s[-1] if sample.status == "ok" else max(traffic.window_end_s, first_s)
        stream_s += np.diff(np.clip(edges, first_s, end))
    return Batches(seconds=float(edges[1] - edges[0]), tokens=tokens, prefills=prefills, stream_s=stream_s)


def _spread(edges: Floats, begin: float, end: float) -> Floats:
    """Share of the time from `begin` to `end` in each batch: a prefill is work before its token, not at it."""
    return (
        np.diff(np.clip(edges, begin, end)) / (end - begin) if end > begin else np.histogram([end], bins=edges)[0] * 1.0
    )


def _mean_isl(streams: Sequence[RequestSample], workload: Workload) -> Estimate:
    """Input tokens per request as the server counts them: the workload's mean, or that of a file's prompts.

    The latter is that of the prompts sent so far, and as uncertain as their number.
    """
    counted = [(s.prompt_tokens, s.request.isl) for s in streams if s.prompt_tokens is not None]
    if not workload.isl:
        tokens = np.array([c for c, _ in counted], dtype=np.float64)
        return batch_mean(tokens) if len(tokens) > 1 else Estimate(float(tokens.sum()))
    tokens_sent = sum(c for c, _ in counted)
    return Estimate(workload.mean_isl * (tokens_sent / sum(isl for _, isl in counted) if counted else 1.0), 0.0)


def _input_and_total(found: Speeds, mean_isl: Estimate, workload: Workload) -> tuple[Estimate, Estimate]:
    """Input and all tokens per second of the whole engine, a request's input credited pro rata with its output.

    Where the output lengths are known, both follow from the output rate. Where the model stops by itself, prefills and
    output tokens of the window are two quantities, each with a scatter of its own.
    """
    credit = mean_isl.value / found.mean_osl
    if workload.ignore_eos:
        inputs, total = found.output.scaled(credit), found.output.scaled(1 + credit)
    else:
        batches = found.batches
        inputs = series_rate(batches.prefills * mean_isl.value, batches.seconds)
        total = series_rate(batches.tokens + batches.prefills * mean_isl.value, batches.seconds)
    unsure = inputs.value * (mean_isl.relative or 0.0)
    return _wider(inputs, unsure), _wider(total, unsure)


def _wider(estimate: Estimate, half_width: float) -> Estimate:
    own = estimate.half_width
    return Estimate(estimate.value, None if own is None else math.hypot(own, half_width))


def _mean_osl(batches: Batches, workload: Workload) -> float:
    """Output tokens per request: known where the model may not stop by itself, else what the window saw."""
    prefills = float(batches.prefills.sum())
    return workload.mean_osl if workload.ignore_eos or not prefills else float(batches.tokens.sum()) / prefills


def _tpot(tpots: Floats, batches: Batches, shared: Estimate) -> Estimate:
    """Median over streams, moved by as much as the mean TPOT of the window is off the long run's.

    Its interval is the larger of two that see the same scatter: among the streams, and over the time that they share.
    """
    median = median_estimate(tpots)
    value = median.value * shared.value * float(batches.tokens.sum() / batches.stream_s.sum())
    relative = [r for r in (median.relative, shared.relative) if r is not None]
    return Estimate(value, value * max(relative) if relative else None)


def _latencies(streams: Sequence[RequestSample], traffic: Traffic) -> dict[str, Estimate]:
    values = {}
    ttft = np.array([s.chunk_s[0] - s.start_s for s in streams if len(s.chunk_s) and traffic.has(s.start_s)])
    if len(ttft):
        values["ttft_p50_ms"] = median_estimate(ttft).scaled(1000)
        for q in (90, 99):
            values[f"ttft_p{q}_ms"] = Estimate(float(np.percentile(ttft, q)) * 1000)
    whole = [s for s in streams if s.status == "ok" and not s.request.skipped and len(s.chunk_s)]
    e2e = np.array([s.chunk_s[-1] - s.start_s for s in whole if traffic.has(s.chunk_s[-1])])
    # Those in flight for longer are the slow ones, and would be missing.
    slowest = max([*e2e, *_under_way_s(streams, traffic)], default=0.0)
    if len(e2e) >= _FEWEST_E2E and slowest <= traffic.window_s:
        values["e2e_p50_ms"] = median_estimate(e2e).scaled(1000)
        values["e2e_p90_ms"] = Estimate(float(np.percentile(e2e, 90)) * 1000)
    gaps = np.concatenate([np.diff(s.chunk_s[traffic.inside(s.chunk_s)]) for s in streams] or [np.empty(0)])
    if len(gaps):
        for q in (50, 99):
            values[f"itl_p{q}_ms"] = Estimate(float(np.percentile(gaps, q)) * 1000)
    return values


def _under_way_s(streams: Sequence[RequestSample], traffic: Traffic) -> list[float]:
    """Ages at the window's end of whole requests that have not ended by then, seconds."""
    end = traffic.window_end_s
    begun = [s for s in streams if not s.request.skipped and s.start_s < end]
    return [end - s.start_s for s in begun if not (s.status == "ok" and len(s.chunk_s) and s.chunk_s[-1] <= end)]
