"""What a tool asks the caller to enter on the keypad, and the digits in the caller's words.

A tool whose spec has a `Collector` runs once the caller has entered the digits, see
`agent.call.keypad`. They reach the tool beside its arguments, so a model neither writes nor reads
those of a sensitive collector.

What else learns of sensitive digits reads marks in their place: `x` for each, `X` for one that
makes the entry invalid. Marks lead to the same decisions as the digits, so that the record of a
call can be played again.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from agent.call.dictation import composed
from agent.call.languages import turn_words
from agent.call.languages.turn_words import TurnWords

MARK, WRONG_MARK = "x", "X"
WITHHELD = "(withheld)"
"""In the place of words that may hold digits, when it is not known how many."""
_Digits = Annotated[int, Meta(ge=1, le=40)]
_Wait = Annotated[int, Meta(ge=500, le=60_000)]
NUMBER = 3
"""So many digits in a sentence are an entry, whatever else it says."""
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_MARKS = re.compile(rf"{MARK}*[{MARK}{WRONG_MARK}]")
_RENAMED = {"is_sensitive": "sensitive", "takes_speech": "speech"}


class Collector(
    msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, rename=_RENAMED
):
    """The rules of one entry; times are in milliseconds. Raises `ValueError` if they contradict."""

    min_digits: _Digits = 1
    max_digits: _Digits = 20
    """An entry of this length is complete."""
    terminator: Literal["#", "*", ""] = "#"
    """The key that completes an entry; empty = none."""
    clear_key: Literal["*", "#", ""] = "*"
    """The key that takes all digits back; empty = none."""
    first_digit_ms: _Wait = 8_000
    """From the end of the agent's words until the first digit must have come."""
    pause_ms: _Wait = 3_000
    """After a digit; then the entry is complete."""
    validator: Literal["", "luhn"] = ""
    """`luhn`: the check digit of ISO/IEC 7812, as of payment cards."""
    retries: Annotated[int, Meta(ge=0, le=5)] = 2
    """How often the caller is asked again after a wrong entry, or none."""
    takes_speech: bool = True
    """Whether spoken digits count."""
    is_sensitive: bool = False
    """The digits reach the tool and nothing else."""
    prompt: Annotated[str, Meta(max_length=300)] = ""
    """Said if the model calls the tool without a word; empty = `Phrases.enter_digits`."""

    def __post_init__(self) -> None:
        if self.min_digits > self.max_digits:
            raise ValueError("min_digits is greater than max_digits")
        if self.terminator and self.terminator == self.clear_key:
            raise ValueError("terminator and clear_key are the same key")

    def narrowed(self, arguments: str) -> Collector:
        """With `min_digits` and `max_digits` of a tool's arguments, JSON text, if it has such.

        Raises:
            ValueError: They contradict each other, or are not within those of the collector.
        """
        try:
            given = msgspec.json.decode(arguments, type=_Range, strict=False)
        except msgspec.MsgspecError as error:
            raise ValueError("min_digits and max_digits are whole numbers") from error
        fewest, most = given.min_digits or self.min_digits, given.max_digits or self.max_digits
        if not self.min_digits <= fewest <= most <= self.max_digits:
            raise ValueError("min_digits and max_digits are out of range, or not in order")
        return msgspec.structs.replace(self, min_digits=fewest, max_digits=most)

    def accepts(self, digits: str) -> bool:
        """Whether a complete entry, of digits or marks, is valid."""
        is_long_enough = self.min_digits <= len(digits) <= self.max_digits
        return is_long_enough and self._is_checked(digits)

    def marks(self, before: str, digits: str) -> str:
        """The marks for `digits` that follow those `before` in an entry."""
        entry = before + digits
        is_wrong = len(entry) >= self.min_digits and not self._is_checked(entry)
        return MARK * (len(digits) - 1) + (WRONG_MARK if is_wrong else MARK) if digits else ""

    def _is_checked(self, digits: str) -> bool:
        if not digits.isdecimal():
            return not digits.endswith(WRONG_MARK)
        return self.validator != "luhn" or has_luhn_digit(digits)


class _Range(msgspec.Struct):
    min_digits: int | None = None
    max_digits: int | None = None


def has_luhn_digit(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    return (
        sum(map(int, digits[-1::-2])) + sum(sum(divmod(each, 10)) for each in doubled)
    ) % 10 == 0


class SpokenDigits(NamedTuple):
    """The digits in words of the caller."""

    digits: str
    """All of them in order, or their marks."""
    spans: tuple[tuple[int, int], ...]
    """Where words for digits stand in the text."""
    is_entry: bool
    """The words are an entry, and not a sentence in which a number occurs."""

    def hidden(self, text: str, marks: str) -> str:
        """The text with marks, as many as digits, in the place of the digits."""
        kept, at = list[str](), 0
        for start, end in self.spans:
            kept.append(text[at:start])
            at = end
        kept.append(text[at:])
        first, *others = kept
        shown = " ".join(marks) or WITHHELD
        return " ".join("".join((first, shown, *others)).split()) if others else text


def spoken_digits(text: str, language: str, *, is_sensitive: bool) -> SpokenDigits:
    """The digits in a text of this language, BCP 47: numerals, and words of its table.

    Args:
        text: Words of the caller.
        language: Without a table for it only numerals are digits.
        is_sensitive: Marks are digits, too, and whatever may stand for one has a span: compounds,
            and all of a text in a language without a table.
    """
    words = turn_words(language)
    passed = words.joints | words.hesitations | words.consents if words else frozenset[str]()
    groups, spans, others = list[tuple[str, bool]](), list[tuple[int, int]](), 0
    repeated: re.Match[str] | None = None
    for found in _WORD.finditer(text):
        word = found[0].casefold().replace("\u2019", "'")
        if words and word in words.repeated:
            repeated = found
        elif number := _group(found[0], word, words, is_sensitive=is_sensitive):
            times = words.repeated[repeated[0].casefold()] if words and repeated else 1
            groups.append((number * times, times == 1 and not word.isdecimal()))
            spans += [repeated.span()] if repeated else []
            spans.append(found.span())
            repeated = None
        elif is_sensitive and words and _compound(tuple(words.digits)).fullmatch(word):
            spans.append(found.span())
        else:
            others += word not in passed
            repeated = None
    if is_sensitive and words is None:  # marks take the place of all words
        spans, others = [(0, len(text))], 0
    digits = "".join(composed(groups, words) if words else (group for group, _ in groups))
    is_entry = bool(digits) and (len(digits) >= NUMBER or len(digits) >= others)
    return SpokenDigits(digits, tuple(spans), is_entry)


def _group(written: str, word: str, words: TurnWords | None, *, is_sensitive: bool) -> str:
    """The digits that a word stands for; empty if there are none."""
    if is_sensitive and _MARKS.fullmatch(written):
        return written
    numerals = "".join(str(unicodedata.decimal(each)) for each in word if each.isdecimal())
    if numerals or words is None:
        return numerals
    return words.digits.get(word, "")


@lru_cache(maxsize=16)
def _compound(numbers: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(f"(?:{'|'.join(sorted(numbers, key=len, reverse=True))}|und){{2,}}")
