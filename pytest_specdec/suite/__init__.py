"""Suites: marker arguments to cells, subjects and a plan."""
