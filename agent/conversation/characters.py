"""Text without half characters.

JSON writes a character beyond U+FFFF as two escapes, and a server may send them in two pieces, or
only one of them. Python keeps such a half (a lone surrogate) in a `str`, but no UTF-8 has it: a
request or a table item with one cannot be written. The rule: two halves that meet are one
character, a half that stays alone is left out. The values of `messages` and the facts of `history`
follow it by themselves (`mend`), so nothing that is kept or sent to a model has a half character.
"""

from __future__ import annotations

import re

_HALF_ESCAPE = re.compile(
    r"(\\[^u]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
    re.DOTALL,
)
_ESCAPES = ("\\ud", "\\uD")


def whole(text: str) -> str:
    """The text with its halves joined; those that stay alone are left out."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return text


def whole_json(text: str) -> str:
    """The same for JSON text, where a half may also be an escape; the JSON may be broken."""
    text = whole(text)
    if not any(escape in text for escape in _ESCAPES):
        return text
    return _HALF_ESCAPE.sub(lambda found: found[1] or "", text)


def mend(value: object, *names: str, json: tuple[str, ...] = ()) -> None:
    """Make fields of a frozen value whole; for its `__post_init__`.

    Args:
        value: The value, not yet given out.
        names: Fields with text.
        json: Fields with JSON text.
    """
    for fields, rule in ((names, whole), (json, whole_json)):
        for name in fields:
            given = getattr(value, name)
            if (good := rule(given)) is not given:
                object.__setattr__(value, name, good)


class Joined:
    """Pieces of one text; a half at the end of a piece waits for the next one."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, text: str) -> str:
        """What is whole by now."""
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return whole(text)
