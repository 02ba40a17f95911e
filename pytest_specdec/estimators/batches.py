"""The window cut into batches of equally many output tokens: how long each took shows the scatter within the window."""

from __future__ import annotations

import numpy as np

from pytest_specdec.domain.traffic import Traffic

BATCHES = 20
"""Few enough that a batch of a short window still holds many chunks, enough for quartiles."""


def batch_seconds(traffic: Traffic, batches: int = BATCHES) -> tuple[float, ...]:
    """Seconds that each batch took; their sum is the window, so that tokens / window is their mean rate exactly.

    Between two chunks, tokens are taken to come evenly. Empty where no token fell into the window.
    """
    streams = [sample for sample in traffic.samples if sample.status != "failed" and len(sample.chunk_s)]
    if not streams:
        return ()
    times = np.concatenate([s.chunk_s for s in streams])
    tokens = np.concatenate([s.chunk_tokens for s in streams])
    inside = traffic.inside(times) & (tokens > 0)
    if not inside.any():
        return ()
    order = np.argsort(times[inside], kind="stable")
    seen = np.concatenate([[0.0], np.cumsum(tokens[inside][order])])
    at = np.concatenate([[traffic.window_start_s], times[inside][order]])
    edges = np.interp(np.linspace(0.0, float(seen[-1]), batches + 1), seen, at)
    # The time after the last token belongs to the window too.
    edges[-1] = traffic.window_end_s
    return tuple(float(seconds) for seconds in np.diff(edges))
