"""What a complete answer to a question is: `"phone number"`, `"date"`, `"6 digits"`.

A use case and a tool say it by words of the question (`[turn_taking.expects]`, `expects` of a
tool); the tables of the languages know the usual questions (`agent.call.languages`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class AnswerKind(StrEnum):
    """What an answer consists of, and so when it is complete."""

    NUMBER = "number"
    """Digits, or letters and digits, of unknown length."""
    PHONE = "phone number"
    """With as many digits as such a number has where the call's language is spoken."""
    POSTAL_CODE = "postal code"
    CARD = "card number"
    """16 digits."""
    DATE = "date"
    """With its year."""
    ADDRESS = "address"
    """With a number, a street and a postal code."""
    NAME = "name"
    SPELLING = "spelling"
    EMAIL = "email"
    """With its top-level domain."""
    WORDS = "words"
    """Nothing in particular."""


NUMBERS = {AnswerKind.NUMBER, AnswerKind.PHONE, AnswerKind.CARD, AnswerKind.POSTAL_CODE}
EXPECTATION = rf"^(?:([1-9]|[1-3]\d|40) (?:digits?|characters?)|{'|'.join(AnswerKind)})$"
"""What `expected_answer` reads, as a regular expression."""
_CARD_DIGITS = 16


@dataclass(frozen=True, slots=True)
class ExpectedAnswer:
    """The kind of an answer, and its length in digits and letters; 0 = not known."""

    kind: AnswerKind
    length: int = 0


def expected_answer(text: str) -> ExpectedAnswer:
    """The name of a kind, or `"N digits"`; raises `ValueError` if `EXPECTATION` does not match."""
    length, _, unit = text.partition(" ")
    if unit and length.isdecimal():
        return ExpectedAnswer(AnswerKind.NUMBER, int(length))
    kind = AnswerKind(text)
    return ExpectedAnswer(kind, _CARD_DIGITS if kind is AnswerKind.CARD else 0)


def expected_answers(texts: Mapping[str, str]) -> Mapping[str, ExpectedAnswer]:
    """The same for each of the casefolded words of a question."""
    return {words.casefold(): expected_answer(text) for words, text in texts.items()}
