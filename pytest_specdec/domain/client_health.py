"""Did the client keep up? What it knows of itself, and when its numbers are its own rather than the server's."""

from __future__ import annotations

import msgspec

MOST_LOST_LOAD = 0.01
"""Share of the load that late sends may take away."""
MOST_LAG_MS = 50.0
"""How late (99th percentile) this process may look at what has come: a reader so slow holds the server back, and what
merges into one read meanwhile has the arrival of its last part.
"""
MOST_BLUR_MS = 20.0
"""The same where arrivals are stamped by this process itself: the lag is in every latency then."""
MOST_CPU_SHARE = 0.9
"""Own CPU seconds per second; the load runs in one thread."""
MOST_CPU_WAIT_SHARE = 0.15
"""Seconds per second in which this thread could have run and other processes had the CPU."""


class ClientHealth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the client did during the window; None where the operating system does not tell."""

    clock: str
    """`kernel`: arrivals are stamped by the kernel; `process`: by this process (TLS, or no such stamps)."""
    arrival_lag_p99_ms: float | None
    """How long what had arrived waited for this process, by the kernel's stamps."""
    arrival_lag_max_ms: float | None
    send_lag_p99_ms: float
    """How late requests were sent: after the answer before them had ended, or after their time had come."""
    send_lag_max_ms: float
    lost_load: float
    """Share of the asked load that late sends took away."""
    loop_lag_p99_ms: float
    """How late a ticker of the event loop was."""
    loop_lag_max_ms: float
    cpu_share: float
    """Own CPU seconds per second."""
    cpu_wait_share: float | None
    """Seconds per second that this thread waited for a CPU."""


def client_limited(health: ClientHealth) -> str:
    """Say by what the client, and not the server, was the limit; empty when it kept up."""
    reasons = []
    if health.lost_load > MOST_LOST_LOAD:
        reasons.append(f"late sends took {health.lost_load:.1%} of the load away")
    if health.arrival_lag_p99_ms is not None and health.arrival_lag_p99_ms > MOST_LAG_MS:
        reasons.append(f"what had arrived waited {health.arrival_lag_p99_ms:.0f} ms (p99) to be read")
    elif health.arrival_lag_p99_ms is None and health.loop_lag_p99_ms > MOST_BLUR_MS:
        reasons.append(f"arrivals are stamped up to {health.loop_lag_p99_ms:.0f} ms (p99) late")
    elif health.loop_lag_p99_ms > MOST_LAG_MS:
        reasons.append(f"the event loop lagged {health.loop_lag_p99_ms:.0f} ms (p99)")
    if health.cpu_share > MOST_CPU_SHARE:
        reasons.append(f"the client used {health.cpu_share:.0%} of its CPU")
    if health.cpu_wait_share is not None and health.cpu_wait_share > MOST_CPU_WAIT_SHARE:
        reasons.append(f"the client waited for a CPU {health.cpu_wait_share:.0%} of the time")
    return "; ".join(reasons)
