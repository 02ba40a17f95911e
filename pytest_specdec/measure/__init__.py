"""Carry a campaign out: engines up, load on, facts in, measurements out."""
