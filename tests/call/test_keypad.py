"""Keys that are collected to an entry."""

from __future__ import annotations

import pytest

from agent.call.caller_input import KeypadEntry


def typed(keys: str) -> KeypadEntry:
    entry = KeypadEntry()
    for key in keys:
        entry = entry.press(key)
    return entry


@pytest.mark.parametrize(
    ("keys", "text", "is_complete"),
    [
        ("", "", False),
        ("5", "5", False),
        ("0042", "0 0 4 2", False),
        ("42#", "4 2", True),
        ("#", "", True),
        ("42*", "", False),
        ("42*7", "7", False),
        ("1" * 39, " ".join("1" * 39), False),
        ("1" * 40, " ".join("1" * 40), True),
    ],
)
def test_an_entry_is_what_was_typed(keys: str, text: str, *, is_complete: bool) -> None:
    """`#` completes, `*` takes back, forty keys are enough (practice section 16)."""
    entry = typed(keys)

    assert (entry.text, entry.is_complete) == (text, is_complete)
