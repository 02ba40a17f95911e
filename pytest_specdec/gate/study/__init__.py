"""Error rates of the rule in simulated suites."""
