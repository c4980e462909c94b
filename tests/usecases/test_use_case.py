"""Values of a use case and of a caller."""

from __future__ import annotations

import pytest

from agent.usecases.use_case import Profile, use_case_name


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [("Ada", "Lovelace", True), ("Ada", "", False), ("", "Lovelace", False), ("", "", False)],
)
def test_a_caller_is_named_with_both_names(first: str, last: str, *, expected: bool) -> None:
    """Otherwise the agent asks (seed section A6)."""
    assert Profile("+15550100", first, last).is_named is expected


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("pizzaUseCase", "pizzaUseCase"),
        ("use-case_2.0", "use-case_2.0"),
        ("", ""),
        ("+15550108642", ""),
        ("Ada Lovelace", ""),
        ("x" * 256, ""),
        ({"+15550108642": None}, ""),
        (7, ""),
        (None, ""),
    ],
)
def test_only_a_name_is_a_name(stored: object, name: str) -> None:
    """Names are logged, and nobody knows what somebody has written into a table."""
    assert use_case_name(stored) == name
