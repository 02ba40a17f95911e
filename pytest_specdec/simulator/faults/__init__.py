"""Published regressions of engines, each as a change of the simulated engine."""
