"""Settings every test shares."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW_MACHINE = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

for name, runs in {"dev": 200, "ci": 3_000, "nightly": 50_000}.items():
    settings.register_profile(
        name,
        max_examples=runs,
        stateful_step_count=40,
        deadline=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=_SLOW_MACHINE,
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
