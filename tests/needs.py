"""What some tests need beside Python: programs that the whole run installs, or time.

A test says so by its folder, its fixtures or the marker `needs`. `pytest --without NEED` leaves it
out, and `--quick` leaves out whatever needs anything. The helpers that use such a thing call `use`,
which fails in such a run, so that no test stays in it by mistake.
"""

from __future__ import annotations

import os

import pytest

FOLDERS = {
    "browser": "browser",
    "fuzz": "time",
    "image": "image",
    "survival": "balancer",
    "system": "time",
    "templates": "linters",
}
"""What all tests of a folder need."""
FIXTURES = {"dynamodb": "engine", "moto_endpoint": "linters", "image": "image"}
"""What a fixture needs, by its name."""
LEFT_OUT = "TESTS_WITHOUT"
"""Variable: what this run does without, with commas between."""
ALL = (
    "balancer", "browser", "docs", "engine", "image", "linters", "prometheus", "time", "voice-sdk",
)  # fmt: skip


def left_out() -> set[str]:
    """What this run does without."""
    return set(filter(None, os.environ.get(LEFT_OUT, "").split(",")))


def use(need: str) -> None:
    """Called where a test uses something that it needs."""
    assert need not in left_out(), f"this test needs {need}: mark it, see tests/needs.py"


def needs_of(item: pytest.Item) -> set[str]:
    """What a collected test needs."""
    fixtures: list[str] = getattr(item, "fixturenames", [])
    needs = {FIXTURES[name] for name in fixtures if name in FIXTURES}
    if "dynamodb" in (spec.params.values() if (spec := getattr(item, "callspec", None)) else ()):
        needs.add("engine")
    return needs.union(*(marker.args for marker in item.iter_markers("needs")))
