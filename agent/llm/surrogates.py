"""Characters beyond the first 65,536 that came in two halves.

JSON writes them as two escapes, and a stream may part these: each piece then has half a character,
which no encoder takes and providers refuse in every later request of the call.
"""

from __future__ import annotations


def mended(text: str) -> str:
    """The text with halves that stand together joined, and U+FFFD for each that stands alone."""
    if text.isascii() or not has_halves(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def has_halves(text: str) -> bool:
    """Whether a text has halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
