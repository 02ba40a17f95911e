"""Checks of acceptance: paired by prompt, unpaired, along the context."""
