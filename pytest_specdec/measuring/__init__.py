"""Carry a plan out: engines up, load on, facts in, measurements out."""
