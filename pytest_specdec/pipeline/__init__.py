"""One invocation as stages: plan, measure, judge, accept."""
