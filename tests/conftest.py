"""For all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Deadlines and slow data are timed assertions: on a busy machine they say nothing of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("studies", settings.get_profile("patient"), max_examples=1000)
settings.load_profile("patient")
