"""Simulated suites: how often the landed rule, and those of its peers, are wrong."""
