"""The image that is tested."""

from __future__ import annotations

import pytest

from tests.image.container import variable


@pytest.fixture(scope="session")
def image() -> str:
    """Its tag; without one the test fails."""
    return variable("AGENT_TEST_IMAGE")
