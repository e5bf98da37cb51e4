"""How hard Hypothesis tries: enough for every run, and much harder for `make fuzz`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# The machine may be busy: how long one example takes says nothing about what is right.
settings.register_profile("test", deadline=None)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=20_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))
