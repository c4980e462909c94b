"""Numbers in what an agent says, in digits or in English words."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {word: value for value, word in enumerate(_ONES)} | {
    word: 10 * value for value, word in enumerate(_TENS, 2)
}
_SCALES = {"hundred": 100, "thousand": 1000}
_DIGITS = re.compile(r"\d[\d,]*(?:\.\d+)?")


def numbers_in(text: str) -> Iterator[float]:
    """All numbers; `eighteen dollars and fifty cents` and `18.50` are 18.5."""
    for found in _DIGITS.findall(text):
        yield float(found.replace(",", ""))
    words = re.findall(r"[a-z]+", text.lower().replace("-", " "))
    position = 0
    while position < len(words):
        value, after = _number(words, position)
        if after == position:
            position += 1
            continue
        if words[after : after + 1] in (["dollars"], ["dollar"]):
            rest = after + 1 + (words[after + 1 : after + 2] == ["and"])
            cents, end = _number(words, rest)
            if end > rest and words[end : end + 1] in (["cents"], ["cent"]):
                yield value + cents / 100
        yield float(value)
        position = after


def _number(words: list[str], position: int) -> tuple[int, int]:
    """The number that begins here, and where it ends; the same place if there is none."""
    total, current, at = 0, 0, position
    while at < len(words):
        word = words[at]
        if word in _WORDS:
            current += _WORDS[word]
        elif word in _SCALES and at > position:
            current *= _SCALES[word]
            if word == "thousand":
                total, current = total + current, 0
        elif not (word == "and" and at > position and words[at - 1] in _SCALES):
            break
        at += 1
    return total + current, at
