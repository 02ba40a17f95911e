"""Catalogue, to come."""

from __future__ import annotations

from pytest_specdec.simulator.fault import HEALTHY, Fault


def find_fault(name: str) -> Fault:
    """Stub."""
    return HEALTHY
