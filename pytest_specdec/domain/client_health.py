"""Health of the client, and the bounds beyond which its measurements show the client instead of the server."""

from __future__ import annotations

import msgspec

MOST_LOST_LOAD = 0.01
"""Share of the load that may be lost to late sends."""
MOST_LAG_MS = 50.0
"""Delay (99th percentile) from the arrival of data to its read: a slower reader holds the server back, and chunks that
merge into one read get the arrival time of the last one.
"""
MOST_BLUR_MS = 20.0
"""The same where arrivals are stamped by this process itself: the lag is in every latency then."""
MOST_CPU_SHARE = 0.9
"""Own CPU seconds per second; the load runs in one thread."""
MOST_CPU_WAIT_SHARE = 0.15
"""Seconds per second in which this thread could have run and other processes had the CPU."""


class ClientHealth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """State of the client during the window; None where the operating system does not provide it."""

    clock: str
    """`kernel`: arrivals are stamped by the kernel; `process`: by this process (TLS, or no such stamps)."""
    arrival_lag_p99_ms: float | None
    """Delay from arrival to read, by the kernel's time stamps."""
    arrival_lag_max_ms: float | None
    send_lag_p99_ms: float
    """Delay of sends, after the end of the previous answer or after the scheduled time."""
    send_lag_max_ms: float
    lost_load: float
    """Share of the requested load lost to late sends."""
    loop_lag_p99_ms: float
    """Delay of a periodic timer of the event loop."""
    loop_lag_max_ms: float
    cpu_share: float
    """Own CPU seconds per second."""
    cpu_wait_share: float | None
    """Seconds per second that this thread waited for a CPU."""


def client_limited(health: ClientHealth) -> str:
    """Name the limits that the client hit; empty when it kept up."""
    reasons = []
    if health.lost_load > MOST_LOST_LOAD:
        reasons.append(f"late sends lost {health.lost_load:.1%} of the load")
    if health.arrival_lag_p99_ms is not None and health.arrival_lag_p99_ms > MOST_LAG_MS:
        reasons.append(f"received data waited {health.arrival_lag_p99_ms:.0f} ms (p99) to be read")
    elif health.arrival_lag_p99_ms is None and health.loop_lag_p99_ms > MOST_BLUR_MS:
        reasons.append(f"arrivals are stamped up to {health.loop_lag_p99_ms:.0f} ms (p99) late")
    elif health.loop_lag_p99_ms > MOST_LAG_MS:
        reasons.append(f"the event loop lagged {health.loop_lag_p99_ms:.0f} ms (p99)")
    if health.cpu_share > MOST_CPU_SHARE:
        reasons.append(f"the client used {health.cpu_share:.0%} of its CPU")
    if health.cpu_wait_share is not None and health.cpu_wait_share > MOST_CPU_WAIT_SHARE:
        reasons.append(f"the client waited for a CPU {health.cpu_wait_share:.0%} of the time")
    return "; ".join(reasons)
