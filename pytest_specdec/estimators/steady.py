"""Long-run rates of a closed loop from a short window.

Two short windows of one steady stream differ mostly by the number of prefills that happen to fall into them: each
prefill stops or slows every other stream for a moment. Yet the long run is known exactly: one prefill per E[OSL] output
tokens. So tokens per part of the window are regressed on the prefill work in it, and the regression is read where both
agree,

    tokens* = mean + b (prefills* - mean prefills),  prefills* = tokens* / E[OSL].

This is the control-variate method of simulation output analysis (Lavenberg and Welch, Management Science 27, 1981).

The parts are neighbours in time and their errors are not independent: what one part loses, the next may win back. The
variance of a mean is that of slow waves, so both regression and interval use the lowest cosine coefficients of the
series, with Student's t for their number (equal-weighted cosines: Lazarus, Lewis, Stock and Watson, Journal of Business
and Economic Statistics 36, 2018). `tests/benchmark/precision.py` prints how often the intervals hold the long run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.fft import dct

from pytest_specdec.domain.estimate import Estimate

CONFIDENCE = 0.95
PARTS = 100
"""Parts of a window: short enough for the slow waves to be smooth."""
WAVES = 10
"""Slow waves that an interval rests on: more make it narrower, and blind to slow phases of the engine."""
_TREND_CHANCE = 0.01
"""A trend is believed when steady traffic would show one so large only this often."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The window cut into equal parts; every array has shape (parts,), parts > WAVES."""

    seconds: float
    """Length of one part."""
    tokens: Floats
    """Output tokens."""
    prefills: Floats
    """Prefill work, 1 per request, spread over the time before its first token."""
    stream_s: Floats
    """Seconds that streams spent between their first and last token."""


def output_rate(batches: Batches, mean_osl: float) -> Estimate:
    """Output tokens per second in the long run."""
    slope = _slope(batches.prefills, batches.tokens)
    gain = 1 / (1 - min(slope, 0.0) / mean_osl)
    tokens = (float(batches.tokens.mean()) - min(slope, 0.0) * float(batches.prefills.mean())) * gain
    half = gain * _half_width(batches.prefills, batches.tokens, tokens / mean_osl)
    return Estimate(tokens / batches.seconds, half / batches.seconds)


def trend(batches: Batches) -> float:
    """Relative change of the output rate from the beginning to the end of the window, 0 where it may be chance."""
    slope = min(_slope(batches.prefills, batches.tokens), 0.0)
    tokens = batches.tokens - slope * (batches.prefills - batches.prefills.mean())
    return drift(tokens) / float(tokens.mean())


def drift(series: Floats) -> float:
    """Change of a series from its beginning to its end, 0 where it may be chance.

    A trend is a slowest wave that stands out of the other slow ones.
    """
    slowest, *others = _slow(series)
    if abs(slowest) <= stats.t.ppf(1 - _TREND_CHANCE / 2, len(others)) * math.sqrt(float(np.square(others).mean())):
        return 0.0
    fit = np.polynomial.Polynomial.fit(np.arange(len(series)), series, 1)
    return float(fit(len(series) - 1) - fit(0))


def tpot_s(batches: Batches, mean_osl: float) -> Estimate:
    """Stream seconds per output token in the long run: the mean TPOT.

    The ratio is linearised around its plain value, and the residuals are regressed like the tokens.
    """
    ratio = float(batches.stream_s.sum() / batches.tokens.sum())
    residuals = (batches.stream_s - ratio * batches.tokens) / float(batches.tokens.mean())
    prefills = output_rate(batches, mean_osl).value * batches.seconds / mean_osl
    shift = _slope(batches.prefills, residuals) * (prefills - float(batches.prefills.mean()))
    return Estimate(ratio + shift, _half_width(batches.prefills, residuals, prefills))


def decoding_streams(batches: Batches) -> Estimate:
    """Streams between their first and last token, mean over the window."""
    return series_rate(batches.stream_s, batches.seconds)


def series_rate(series: Floats, seconds: float) -> Estimate:
    """Mean of a series over parts of so many seconds, per second: the scatter of its slow waves, and nothing known."""
    half = _half_width(np.zeros_like(series), series, 0.0)
    return Estimate(float(series.mean()), half).scaled(1 / seconds)


def batch_mean(batches: Floats) -> Estimate:
    """Mean of equally long batches with the t interval of their scatter; shape (n,), n >= 2."""
    n = len(batches)
    return Estimate(float(batches.mean()), t_quantile(n - 1) * float(batches.std(ddof=1)) / math.sqrt(n))


def median_estimate(values: Floats) -> Estimate:
    """Median with its distribution-free interval from order statistics; the t interval below six values."""
    ordered = np.sort(values)
    n = len(ordered)
    median = float(np.median(ordered))
    if n == 1:
        return Estimate(median)
    rank = int(stats.binom.ppf((1 - CONFIDENCE) / 2, n, 0.5))
    if rank < 1:
        return Estimate(median, batch_mean(ordered).half_width)
    return Estimate(median, float(max(median - ordered[rank - 1], ordered[n - rank] - median)))


def _slow(series: Floats) -> Floats:
    """The slowest waves of a series, orthonormal cosine coefficients; shape (WAVES,)."""
    return dct(series, norm="ortho")[1 : WAVES + 1]


def _slope(x: Floats, y: Floats) -> float:
    """Slope of the slow waves, shrunk by what chance would give: noise corrects nothing, a clear slope all.

    Least squares times 1 - 1/F, 0 where F < 1.
    """
    slow, wave = _slow(x), _slow(y)
    spread = float(slow @ slow)
    if spread <= 0:
        return 0.0
    slope = float(slow @ wave) / spread
    residuals = wave - slope * slow
    chance = float(residuals @ residuals) / (WAVES - 1)
    return slope * max(0.0, 1 - chance / (slope**2 * spread)) if slope else 0.0


def _half_width(x: Floats, y: Floats, at: float) -> float:
    """Half-width of the mean of y, read at x = `at`."""
    slow = _slow(x)
    residuals = _slow(y) - _slope(x, y) * slow
    spread = float(slow @ slow)
    variance = float(residuals @ residuals) / (WAVES - 1)
    distance = (at - float(x.mean())) ** 2 / spread if spread > 0 else 0.0
    return t_quantile(WAVES - 1) * math.sqrt(variance * (1 / len(y) + distance))


def t_quantile(degrees: float) -> float:
    """Student's t of a 95 % interval."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees))
