"""The seeded faults apply to the core; `python tests/faults.py` runs them."""

from __future__ import annotations

import ast

import pytest

from tests.faults import CORE, FAULTS, Fault, applied


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.promise)
def test_each_fault_still_applies_and_is_python(fault: Fault) -> None:
    """The text of a fault must be updated with the line that it changes."""
    ast.parse(applied(fault, CORE))
