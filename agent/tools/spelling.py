"""E-mail addresses as they are said, and how they are read back.

A caller says "ada dot lovelace at g mail dot com", spells "a d a", says "underscore" and "double
l", and a recogniser writes all of that in many ways. `read_address` brings it to one form,
`spelled` tells it letter by letter, and what it tells is read as the same address again.

What is read is a guess until the caller has heard it: "seven" may be a word or a digit. So nothing
here tries to be clever. Words run together, signs and numbers are taken where they are said, and
what is then no plain address is refused. Rejected: leaving it to the model alone, which writes down
an address that looks likely; and the whole grammar of RFC 5321, of which quoted names and literal
hosts are, on the telephone, always mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SIGNS = {
    "at": "@",
    "dot": ".",
    "period": ".",
    "point": ".",
    "underscore": "_",
    "dash": "-",
    "hyphen": "-",
    "minus": "-",
    "plus": "+",
}
_SAID = {"@": "at", ".": "dot", "_": "underscore", "-": "dash", "+": "plus"}
_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
_UNITS += " fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {word: value for value, word in enumerate(_UNITS.split())}
_NUMBERS |= {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}
_TIMES = {"double": 2, "triple": 3}
_EXAMPLE = re.compile(r"\b([a-z]) (?:as in|like|for) \1[a-z]+\b")
"""As in "b as in boy"."""
_JOINED = (("at sign", "@"), ("under score", "_"), ("double u", "w"))
_GAPS = re.compile(r"[\s,;]+")
_LOCAL = r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{3,254}}\Z)(?=[^@]{{1,64}}@){_LOCAL}@(?:{_LABEL}\.)+[a-z]{{2,63}}")


def read_address(said: str) -> str | None:
    """The address in what was said or written, in lower case; `None` if there is none.

    Args:
        said: The address alone, without a sentence around it.
    """
    words = _GAPS.sub(" ", said.casefold()).strip(" .?!")
    words = _EXAMPLE.sub(r"\1", words)
    for spoken, written in _JOINED:
        words = re.sub(rf"\b{spoken}\b", written, words)
    pieces = list(_written(words.split()))
    address = "".join(pieces)
    return address if _ADDRESS.fullmatch(address) and not _goes_on(pieces) else None


def spelled(address: str) -> str:
    """An address letter by letter: `a, d, a, at, x, dot, c, o, m`."""
    return ", ".join(_SAID.get(sign, sign) for sign in address)


def _goes_on(pieces: list[str]) -> bool:
    """Something follows the address: its last label is one word, or letters."""
    last = list[str]()
    for piece in reversed(pieces):
        last.append(piece.rpartition(".")[2])
        if "." in piece:
            break
    said = list(filter(None, last))
    return len(said) > 1 and any(len(piece) > 1 for piece in said)


def _written(words: list[str]) -> Iterator[str]:
    """What each word stands for; a word that stands for nothing else is itself."""
    times, ten = 1, 0
    for word in words:
        number = _NUMBERS.get(word)
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
