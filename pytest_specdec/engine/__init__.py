"""Engines as processes behind HTTP: attach or start, ask what they are, read their counters."""
