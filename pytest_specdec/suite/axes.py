"""What a suite's marker may vary, and how much of a suite runs."""

from __future__ import annotations

TIERS = ("smoke", "nightly", "release")
"""Each tier holds the ones before it."""
AXES = ("model", "precision", "parallelism", "mtp", "acceptance", "sequence", "concurrency", "rate")
