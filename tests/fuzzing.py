"""How many examples a fuzzer tries: `HYPOTHESIS_PROFILE` is `dev`, `ci` or `nightly`."""

from __future__ import annotations

import os

_RUNS = {"quick": 40, "dev": 200, "ci": 2_000, "nightly": 100_000}
RUNS = _RUNS[os.environ.get("HYPOTHESIS_PROFILE", "dev")]
FEW_RUNS = RUNS // 10
"""Where each example goes through a socket."""
