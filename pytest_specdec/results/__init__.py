"""Everything that is kept: measurements, runs, baselines, verdicts."""
