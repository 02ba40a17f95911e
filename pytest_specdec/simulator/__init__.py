"""The built-in simulated engine."""
