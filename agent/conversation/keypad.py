"""Keys of the telephone.

A key with a binding acts at once (seed section A13). Keys without one are collected to an entry,
so that a number typed in is one turn and not one for each key: `#` completes it, `*` takes it
back, and so does a pause complete it (practice section 16).
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_ENTRY = 40
"""Keys; an entry this long is complete."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The keys pressed so far."""

    digits: str = ""

    def press(self, digit: str) -> Entry:
        """The entry with one more key; `*` empties it."""
        return Entry() if digit == "*" else Entry(self.digits + digit)

    @property
    def is_complete(self) -> bool:
        """No further key belongs to it."""
        return self.digits.endswith("#") or len(self.digits) >= LONGEST_ENTRY

    @property
    def text(self) -> str:
        """The keys with spaces between, as the model reads them; without the closing `#`."""
        return " ".join(self.digits.removesuffix("#"))
