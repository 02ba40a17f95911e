"""Workloads: arrivals, prompts, categories and regimes of text."""
