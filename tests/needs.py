"""What some tests need that only the whole run installs or takes the time for.

A test says so by its folder, its fixtures or the marker `needs`, and `pytest --quick` leaves it
out. The helpers that use such a thing call `use`, which fails in a quick run, so that none stays in
it by mistake.
"""

from __future__ import annotations

import os

import pytest

FOLDERS = {
    "fuzz": "time",
    "image": "image",
    "survival": "balancer",
    "system": "time",
    "templates": "linters",
}
"""What all tests of a folder need."""
FIXTURES = {"dynamodb": "engine", "moto_endpoint": "linters", "image": "image"}
"""What a fixture needs, by its name."""
QUICK = "QUICK_TESTS"


def use(need: str) -> None:
    """Called where a test uses something that it needs."""
    assert QUICK not in os.environ, f"this test needs {need}: mark it, see tests/needs.py"


def needs_of(item: pytest.Item) -> set[str]:
    """What a collected test needs."""
    fixtures: list[str] = getattr(item, "fixturenames", [])
    needs = {FIXTURES[name] for name in fixtures if name in FIXTURES}
    if "dynamodb" in (spec.params.values() if (spec := getattr(item, "callspec", None)) else ()):
        needs.add("engine")
    return needs.union(*(marker.args for marker in item.iter_markers("needs")))
