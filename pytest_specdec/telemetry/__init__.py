"""GPU telemetry during a point: NVML on the same host, or a DCGM exporter; readings only, no statistics."""
