"""Whole numbers that come as text from outside.

`str.isdecimal` accepts the digits of every script, and `int` accepts signs, spaces and
underscores besides. Settings, query strings and keys of the table have none of these.
"""

from __future__ import annotations

_MOST_DIGITS = 18


def whole_number(text: str, most: int) -> int | None:
    """The number that a text of ASCII digits stands for; `None` if it is none, or above `most`."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        return None
    number = int(text)
    return number if number <= most else None
