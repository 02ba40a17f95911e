"""For all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Tables are as wide as what they hold, unless the user says how wide the terminal is; so does a worker of pytest-xdist.
os.environ.pop("COLUMNS", None)

# Deadlines and slow data are timed assertions: on a busy machine they say nothing of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("studies", settings.get_profile("patient"), max_examples=1000)
settings.load_profile("patient")
