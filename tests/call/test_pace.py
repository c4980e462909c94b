"""How long a voice takes to read something out."""

from __future__ import annotations

import pytest

from agent.call.heard_alignment import letters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("Hello.", 6),
        ("Grüße", 5),
        ("ご注文", 9),
        ("主菜 Pizza", 12),
        ("안녕", 6),
        ("สวัสดี", 6),
    ],
)
def test_wide_characters_count_as_several_letters(text: str, expected: int) -> None:
    """A letter takes a fifteenth of a second, a syllable a fifth."""
    assert letters(text) == expected
