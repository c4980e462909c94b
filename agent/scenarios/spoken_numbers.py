"""Numbers in what an agent says, in digits or in English words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

_ONES = {
    word: value
    for value, word in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"), 1
    )
}
_TEENS = {
    word: value
    for value, word in enumerate(
        (
            "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
            "eighteen", "nineteen",
        ), 10,
    )
}  # fmt: skip
_TENS = {
    word: 10 * value
    for value, word in enumerate(
        ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2
    )
}
_DIGITS = {"zero": 0, "oh": 0} | _ONES
_WHOLE, _CENTS = {"dollar", "dollars", "euro", "euros"}, {"cent", "cents"}
_TOKEN = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|[a-z]+|[^\w\s-]")
"""A sign that is no hyphen ends a number: `five, twenty` is 5 and 20."""


def numbers_in(text: str) -> Iterator[float]:
    """All numbers; an amount of money comes whole as well.

    `eighteen dollars and fifty cents` is 18, 18.5 and 50; `twenty-three fifty` is 23, 23.5 and 50.
    """
    tokens = _TOKEN.findall(text.lower())
    at = 0
    while at < len(tokens):
        value, after = _number(tokens, at)
        if after > at:
            yield value
            yield from _amount(tokens, value, after)
        at = max(after, at + 1)


def _amount(tokens: Sequence[str], value: float, after: int) -> Iterator[float]:
    """The number with the cents that follow it."""
    following = [*tokens[after:], ""]
    if following[0] in _WHOLE:
        cents, end = _number(tokens, _past_and(tokens, after + 1))
        if tokens[end : end + 1] and tokens[end] in _CENTS:
            yield value + cents / 100
    elif value < 100:
        cents, _ = _number(tokens, after)
        if 10 <= cents < 100:
            yield value + cents / 100


def _number(tokens: Sequence[str], at: int) -> tuple[float, int]:
    """The number that begins here, and where it ends; the same place if there is none."""
    first = tokens[at] if at < len(tokens) else ""
    if first[:1].isdigit():
        return float(first.replace(",", "")), at + 1
    if first == "zero":
        value, after = 0, at + 1
    else:
        value, after = _whole(tokens, at)
    if after > at and tokens[after : after + 1] == ["point"]:
        decimals = list(takewhile(_DIGITS.__contains__, tokens[after + 1 :]))
        if decimals:
            places = "".join(str(_DIGITS[each]) for each in decimals)
            return float(f"{value}.{places}"), after + 1 + len(decimals)
    return float(value), after


def _whole(tokens: Sequence[str], at: int) -> tuple[int, int]:
    """A number from 1 to 999,999 in words."""
    value, after = _below_thousand(tokens, at)
    if after == at or tokens[after : after + 1] != ["thousand"]:
        return value, after
    rest, end = _below_thousand(tokens, _past_and(tokens, after + 1))
    return (1000 * value + rest, end) if rest else (1000 * value, after + 1)


def _below_thousand(tokens: Sequence[str], at: int) -> tuple[int, int]:
    value, after = _below_hundred(tokens, at)
    if tokens[at : at + 2] == ["a", "hundred"] or tokens[at : at + 2] == ["a", "thousand"]:
        value, after = 1, at + 1
    if after == at or tokens[after : after + 1] != ["hundred"]:
        return value, after
    rest, end = _below_hundred(tokens, _past_and(tokens, after + 1))
    return (100 * value + rest, end) if rest else (100 * value, after + 1)


def _below_hundred(tokens: Sequence[str], at: int) -> tuple[int, int]:
    word, following = [*tokens[at : at + 2], "", ""][:2]
    if word in _TENS:
        ones = _ONES.get(following, 0)
        return _TENS[word] + ones, at + 1 + bool(ones)
    value = _ONES.get(word, 0) or _TEENS.get(word, 0)
    return value, at + bool(value)


def _past_and(tokens: Sequence[str], at: int) -> int:
    return at + (tokens[at : at + 1] == ["and"])
