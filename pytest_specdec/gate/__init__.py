"""Measurements against baselines -> verdicts."""
