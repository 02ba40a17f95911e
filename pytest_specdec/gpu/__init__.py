"""What GPUs' own sensors said, as numbers; reading them is `telemetry`."""
