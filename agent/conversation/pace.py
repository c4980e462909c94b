"""How long a voice takes to read something out.

A rate is given in letters of an alphabet. A character of Chinese, Japanese or Korean is a syllable
or more and takes as long as several letters, which Unicode tells by its width.
"""

from __future__ import annotations

import unicodedata

_WIDE = frozenset("WF")
_LETTERS_OF_A_WIDE_CHARACTER = 3


def letters(text: str) -> int:
    """The length of a text in letters, for a rate of letters a second."""
    if text.isascii():
        return len(text)
    return sum(map(_letters_of, text))


def _letters_of(character: str) -> int:
    is_wide = unicodedata.east_asian_width(character) in _WIDE
    return _LETTERS_OF_A_WIDE_CHARACTER if is_wide else 1
