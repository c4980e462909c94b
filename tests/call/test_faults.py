"""The seeded faults apply to the core; `python tests/faults.py` runs them."""

from __future__ import annotations

import ast

import pytest

from tests.faults import CORE, FAULTS, Fault, applied
from tests.system.test_broken_copies import COPIES, BrokenCopy


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.promise)
def test_each_fault_still_applies_and_is_python(fault: Fault) -> None:
    """The text of a fault must be updated with the line that it changes."""
    ast.parse(applied(fault, CORE))


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.name)
def test_each_broken_copy_still_applies(copy: BrokenCopy) -> None:
    """Of `tests/system/test_broken_copies.py`, which takes minutes."""
    text = (CORE / f"{copy.module}.py").read_text(encoding="utf-8")
    assert text.count(copy.old) == 1
