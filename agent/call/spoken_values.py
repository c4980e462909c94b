"""Values in spoken words: numbers, prices, times, days, addresses; whether a text names a value.

A value of a tool call is written ("2:00 PM", 21.5, "2026-03-06"), and a model says it in words
("two in the afternoon", "twenty-one fifty", "Friday the sixth"). `names` is tolerant to that, and
only says no where the value could not have been meant. Number words are read by `text2num`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from text_to_num import alpha2digit  # type: ignore[import-untyped] # it has no types

from agent.call.languages import primary
from agent.call.languages.commitment_words import commitment_words
from agent.call.spoken_address import names_address, read_address

_READ = frozenset({"en", "es", "de", "fr", "it", "nl", "pt"})
"""Languages whose number words `text2num` reads: https://text2num.readthedocs.io"""
_LONGEST = 4_000  # characters that are read, at the end
_NUMBER = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d{1,2}(?!\d))?")
_TWO_PARTS = re.compile(
    r"(?<![\d.,:])(\d{1,5})(?: [^\W\d_]+)?(?: (?:and|y|con|und|et))? (\d\d)(?![\d:])(?!\d|[.,]\d)"
)
"""`21 50`, `18 dollars and 50`."""
_CLOCK = re.compile(r"(\d{1,2})(?:[:.h](\d\d))?\s*([ap])?\.?m?\.?", re.IGNORECASE)
_TIME = re.compile(r"\d{1,2}(?:[:.h]\d\d)?\s*[ap]\.?m\.?|\d{1,2}[:h]\d\d", re.IGNORECASE)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_WORD = re.compile(r"[^\W_]+")
_SPOKEN_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_NO_SIGN = re.compile(r"[\W_]+")
_STEM = 4
"""Letters by which two forms of a word are the same."""
_SHORT = 2
PRICE = re.compile(r"\d[\d,]*\.\d\d(?!\d)")
"""An amount of money by its form."""
_ORDINALS = ("st", "nd", "rd", "th")


def words_of(text: str) -> str:
    """The words of a text on one line, casefolded, with apostrophes only inside a word."""
    plain = text.casefold().replace("\u2019", "'").replace("-", " ")
    return " ".join(_SPOKEN_WORD.findall(plain))


def in_digits(text: str, language: str) -> str:
    """The text with digits for the number words of its language, a BCP 47 tag."""
    latest, spoken = text[-_LONGEST:], primary(language) or "en"
    return str(alpha2digit(latest, spoken, 0)) if spoken in _READ else latest


def numbers_in(text: str) -> frozenset[float]:
    """The numbers in a text of digits; `21 50` and `18 dollars and 50` are also 21.5 and 18.5."""
    found = (_read(each) for each in _NUMBER.findall(text))
    parts = (int(whole) + int(rest) / 100 for whole, rest in _TWO_PARTS.findall(text))
    return frozenset([*found, *parts])


def _read(number: str) -> float:
    is_grouped = re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", number) is not None
    return float(number.replace(",", "" if is_grouped else "."))


def squeezed(text: str) -> str:
    """Letters and digits only, without case and accents: spelled words are equal to written."""
    return _NO_SIGN.sub("", unicodedata.normalize("NFKD", text.casefold()))


class SpokenText:
    """What the agent has said, to look for values in it; a BCP 47 tag."""

    def __init__(self, text: str, language: str) -> None:
        self._text = text
        self._digits = in_digits(text, language).casefold()
        self._squeezed = squeezed(self._digits)
        self._words = frozenset(squeezed(word) for word in _WORD.findall(self._digits))
        self._numbers = numbers_in(self._digits)
        self._table = commitment_words(language)
        self._language = language

    def names(self, value: object, *, compares_words: bool = True) -> bool:
        """Whether the text may name this value of a tool call; only what can be checked counts.

        Args:
            value: Text, a number or a truth value; the last, 0 and 1 are seldom said.
            compares_words: False for values in another language than the text's: only numbers,
                times, days and the parts of an e-mail address count.
        """
        match value:
            case bool():
                return True
            case int() | float():
                return value in {0, 1} or float(value) in self._numbers
            case str() if _DAY.fullmatch(value.strip()):
                return self._names_day(value.strip())
            case str() if _TIME.fullmatch(value.strip()):
                return self._names_time(value.strip())
            case str() if address := read_address(value):
                return names_address(self._text, address, is_exact=compares_words)
            case str():
                return not compares_words or self._has_words(value)
            case _:
                return True

    def _names_time(self, value: str) -> bool:
        (hour, minute), *_ = (map(int, (each[0], each[1] or 0)) for each in _CLOCK.findall(value))
        table = self._table
        is_near = table is not None and not self._words.isdisjoint(map(squeezed, table.half_past))
        hours = {hour % 12, hour % 12 + 12, hour, 12 if hour == 0 else hour}
        if is_near:  # half past two; quarter to three; halb drei; noon
            hours |= {each + 1 for each in hours}
        has_hour = any(float(each) in self._numbers for each in hours) or (is_near and hour == 12)
        has_minute = not minute or float(minute) in self._numbers
        has_minute = has_minute or any(
            round(each + minute / 100, 2) in self._numbers for each in hours
        )
        return has_hour and (has_minute or (is_near and minute in {15, 30, 45}))

    def _names_day(self, value: str) -> bool:
        try:
            day = date.fromisoformat(value)
        except ValueError:
            return True
        table = self._table
        is_named = table is not None and not self._words.isdisjoint(
            map(squeezed, (*table.near_days, table.weekdays[day.weekday()]))
        )
        is_numbered = any(f"{day.day}{mark}" in self._words for mark in ("", *_ORDINALS))
        return is_named or is_numbered or float(day.day) in self._numbers

    def _has_words(self, value: str) -> bool:
        written = in_digits(value, self._language)
        if squeezed(written) in self._squeezed or squeezed(value) in self._squeezed:
            return True
        wanted = list(map(squeezed, _WORD.findall(written)))
        if any(word.isdigit() and word not in self._squeezed for word in wanted):
            return False
        wanted = [word for word in wanted if len(word) > _SHORT and not word.isdigit()]
        heard = [word for word in wanted if self._has_word(word)]
        return 2 * len(heard) >= len(wanted)

    def _has_word(self, word: str) -> bool:
        stem = word[:_STEM]
        return any(
            each == word or (len(word) > _STEM and each.startswith(stem)) for each in self._words
        )


def leaves(value: object, names: frozenset[str], name: str = "") -> Iterator[tuple[str, object]]:
    """The values of JSON below properties of these names, at any depth, with the name."""
    match value:
        case dict():
            for key, each in value.items():
                yield from leaves(each, names, key if key in names else name)
        case list():
            for each in value:
                yield from leaves(each, names, name)
        case _:
            if name and value not in (None, ""):
                yield name, value


def all_numbers(text: str, language: str) -> frozenset[float]:
    """All numbers, also the halves of a time such as `7:30`."""
    lines = [in_digits(line, language) for line in text.split("\n")]
    halves = (float(each) for line in lines for each in re.findall(r"\d{1,6}", line))
    return frozenset().union(halves, *map(numbers_in, lines))


@dataclass(frozen=True, slots=True)
class KnownNumbers:
    """The numbers of a prompt, and those of them that are prices."""

    numbers: frozenset[float] = frozenset()
    prices: frozenset[float] = frozenset()


def known_numbers(text: str) -> KnownNumbers:
    """The numbers of a prompt in English or in digits."""
    prices = frozenset(float(each.replace(",", "")) for each in PRICE.findall(text))
    return KnownNumbers(all_numbers(text, "en"), prices)
