"""The list of faults keeps up with the core; `python tests/faults.py` makes them."""

from __future__ import annotations

import ast

import pytest

from tests.faults import CORE, FAULTS, Fault, applied


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.promise)
def test_each_fault_still_applies_and_is_python(fault: Fault) -> None:
    """A fault whose line was rewritten must be rewritten too."""
    ast.parse(applied(fault, CORE))
