"""The digits and letters at the end of what a caller says."""

from __future__ import annotations

import pytest

from agent.call.dictation import dictated
from agent.call.languages import turn_words


@pytest.mark.parametrize(
    ("language", "said", "groups", "code"),
    [
        ("en", "it is four one five oh one forty two", "4 1 5 0 1 42", "4150142"),
        ("en", "double oh seven", "0 0 7", "007"),
        ("en", "triple one", "1 1 1", "111"),
        ("en", "eight hundred five five five", "800 5 5 5", "800555"),
        ("en", "nineteen eighty seven", "19 87", "1987"),
        ("en", "800 55 12", "800 55 12", "8005512"),
        ("en", "x j four um seven", "4 7", "xj47"),
        ("en", "s as in sam m like mary", "", "sm"),
        ("en", "ab12 dash 7", "7", "ab127"),
        ("en", "i would like this one", "", ""),
        ("en", "at 7:30", "", ""),
        ("es", "seiscientos doce veintitrés cuarenta y uno", "612 23 41", "6122341"),
        ("es", "mil novecientos ochenta y cuatro", "1984", "1984"),
        ("es", "nueve dos veces tres", "9 3 3", "933"),
        ("de", "einundsechzig achtunddreissig zwo", "61 38 2", "61382"),
        ("de", "b wie berta vier", "4", "b4"),
        ("fr", "soixante dix quatre vingt dix sept", "70 97", "7097"),
        ("fr", "deux cent six cent douze", "200 612", "200612"),
        ("fr", "soixante et onze dix huit", "71 18", "7118"),
        ("fr", "mille neuf cent quatre vingt sept", "1987", "1987"),
        ("fr", "deux fois trois", "3 3", "33"),
    ],
)  # fmt: skip
def test_numbers_are_put_together_as_each_language_says_them(
    language: str, said: str, groups: str, code: str
) -> None:
    words = turn_words(language)
    assert words is not None

    found = dictated(said.split(), words)

    assert (" ".join(found.groups), found.code) == (groups, code)


@pytest.mark.parametrize(
    ("said", "begins_at", "has_more"),
    [
        ("my number is four one five", 3, False),
        ("four one five dash", 0, True),
        ("four one five and then", 0, True),
        ("four one five double", 0, True),
        ("no number at all here", 5, False),
    ],
)
def test_a_last_word_may_say_that_more_follows(said: str, begins_at: int, has_more: bool) -> None:
    words = turn_words("en")
    assert words is not None

    found = dictated(said.split(), words)

    assert (found.begins_at, found.has_more) == (begins_at, has_more)


def test_one_alone_is_a_number() -> None:
    words = turn_words("en-US")

    assert words is not None
    assert dictated(["one"], words).groups == ("1",)
