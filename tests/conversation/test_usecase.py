"""Values of a use case and of a caller."""

from __future__ import annotations

import pytest

from agent.conversation.usecase import Profile


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [("Ada", "Lovelace", True), ("Ada", "", False), ("", "Lovelace", False), ("", "", False)],
)
def test_a_caller_is_named_with_both_names(first: str, last: str, *, expected: bool) -> None:
    """Otherwise the agent asks (seed section A6)."""
    assert Profile("+15550100", first, last).is_named is expected
