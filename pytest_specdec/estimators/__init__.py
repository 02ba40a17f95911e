"""Traffic to values with intervals."""
