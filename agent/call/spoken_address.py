"""E-mail addresses in spoken words: read, spelled out, and looked for in what was said.

A caller says an address as "ada dot lovelace at g mail dot com", "a d a", "underscore", "double l",
and an agent reads it back the same way. Rejected: leaving the address to the model alone, which
writes down what looks likely; and quoted names and literal hosts of RFC 5321, always mistakes here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.call.text import NUMBER_WORDS

_SIGNS = {
    "at": "@", "ät": "@", "klammeraffe": "@", "arroba": "@", "arobase": "@",
    "dot": ".", "period": ".", "point": ".", "punkt": ".", "punto": ".",
    "underscore": "_", "unterstrich": "_", "plus": "+", "más": "+",
    "dash": "-", "hyphen": "-", "minus": "-", "bindestrich": "-", "guion": "-", "guión": "-",
    "tiret": "-",
}  # fmt: skip
_JOINED = (
    ("at sign", "@"), ("under score", "_"), ("gui[oó]n bajo", "_"), ("tiret bas", "_"),
    ("trait d'union", "-"), ("double u", "w"),
)  # fmt: skip
_SAID = {"@": "at", ".": "dot", "_": "underscore", "-": "dash", "+": "plus"}
_TIMES = {"double": 2, "triple": 3}
_EXAMPLE = re.compile(r"\b([a-z]) (?:as in|like|for) \1[a-z]+\b")
_GAPS = re.compile(r"[\s,;]+")
_SPEAKABLE = re.compile(r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@[a-z0-9.-]+")
_EMAIL_ADDRESS = re.compile(
    r"(?=.{3,254}\Z)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_PARTS = re.compile(r"[@._+-]")
_WORD_ENDS = re.compile(r"[.?!:\"'()\u201c\u201d\u00bf\u00a1\u2026]+(?= )|[?!\"()\u00bf\u00a1]")
_LETTERS = re.compile(r"(?<![^ ])\w(?:-\w)+(?![^ ])")
_END = "\n"


def read_address(text: str) -> str | None:
    """The address in lower case; `None` if `text` is anything but one address."""
    pieces = list(_written(_plain(text).strip(" .?!").split()))
    address = "".join(pieces)
    is_address = _SPEAKABLE.fullmatch(address) is not None and is_email_address(address)
    return address if is_address and not _goes_on(pieces) else None


def is_email_address(text: str) -> bool:
    """An address that mail servers accept: ASCII, a domain with a dot, no quotes or comments."""
    return _EMAIL_ADDRESS.fullmatch(text) is not None


def spell_out(address: str) -> str:
    """An address letter by letter: `a, d, a, at, x, dot, c, o, m`."""
    return ", ".join(_SAID.get(sign, sign) for sign in address)


def names_address(said: str, address: str, *, is_exact: bool) -> bool:
    """Whether words of the agent name an address, spelled, spoken or written.

    Args:
        said: In any language; other signs than those of four languages are not known.
        address: As `read_address` gives it.
        is_exact: All of it in order; false: each part between two signs, anywhere.
    """
    plain = _plain(f"{said} ")
    spelled = _LETTERS.sub(lambda found: found[0].replace("-", " "), plain)
    ended = re.sub(r"(?<=[^ .])[.?!\u2026]+ ", f" {_END} ", spelled)
    for text in (ended, _WORD_ENDS.sub(" ", spelled)):
        pieces = list(_written(_WORD_ENDS.sub(" ", text).split(" ")))
        if is_exact and any(_stands_alone(pieces, *run) for run in _runs(pieces, address)):
            return True
        if not is_exact and all(any(_runs(pieces, part)) for part in _PARTS.split(address)):
            return True
    return False


def _plain(text: str) -> str:
    plain = _GAPS.sub(" ", text.casefold().replace("\u2019", "'"))
    plain = _EXAMPLE.sub(r"\1", plain)
    for spoken, written in _JOINED:
        plain = re.sub(rf"\b{spoken}\b", written, plain)
    return plain


def _runs(pieces: Sequence[str], wanted: str) -> Iterator[tuple[int, int]]:
    """Where pieces in a row make up the text that is wanted: first, and after the last."""
    for start in range(len(pieces)):
        left, end = wanted, start
        while left and end < len(pieces) and pieces[end] and left.startswith(pieces[end]):
            left, end = left.removeprefix(pieces[end]), end + 1
        if not left:
            yield start, end


def _stands_alone(pieces: Sequence[str], start: int, end: int) -> bool:
    """Whether no part of a longer address stands before or after: a sign, or one more letter."""
    before, after = pieces[max(0, start - 1) : start], pieces[end : end + 1]
    return not any(
        other in _SAID or (other.isalnum() and len(other) == 1 == len(own))
        for near, own in ((before, pieces[start]), (after, pieces[end - 1]))
        for other in near
    )


def _goes_on(pieces: list[str]) -> bool:
    """Whether other words follow the address: its last label must be one word, or letters."""
    dot = max(at for at, piece in enumerate(pieces) if "." in piece)
    labels = [label for piece in pieces[dot:] if (label := piece.rpartition(".")[2])]
    return len(labels) > 1 and any(len(piece) > 1 for piece in labels)


def _written(words: Sequence[str]) -> Iterator[str]:
    times, ten = 1, 0
    for word in filter(None, words):
        number = NUMBER_WORDS.get(word)
        if ten and (number is None or not 0 < number < 10 or times > 1):
            yield str(ten)
            ten = 0
        if word in _TIMES:
            times = _TIMES[word]
        elif number is not None and number >= 20:
            ten = number
        else:
            sign = _SIGNS.get(word, word) if number is None else str(ten + number)
            yield sign * times if len(sign) == 1 else sign
            times, ten = 1, 0
    if ten:
        yield str(ten)
