"""The copies of `tests/system/test_broken_copies.py`, which plays them for minutes, still apply."""

from __future__ import annotations

import pytest

from tests.faults import CORE
from tests.system.test_broken_copies import COPIES, BrokenCopy


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.name)
def test_each_broken_copy_still_applies(copy: BrokenCopy) -> None:
    text = (CORE / f"{copy.module}.py").read_text(encoding="utf-8")
    assert text.count(copy.old) == 1
