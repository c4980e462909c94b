"""Plain words, numbers, days and times of day as callers say them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.offline.words import date_of_prompt, find_date, find_time, normalise

THURSDAY = date(2026, 3, 5)


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("Two LARGE, please!", "2 large please"),
        ("a one-bedroom", "a 1 bedroom"),
        ("fifteen hundred dollars", "1500 dollars"),
        ("two thousand and fifty", "2050"),
        ("two thousand one hundred", "2100"),
        ("two hundred fifty", "250"),
        ("twenty five", "25"),
        ("twenty one fifty", "2150"),
        ("three fifteen", "315"),
        ("5 thousand", "5000"),
        ("one two three", "1 2 3"),
        ("one hundred and a salad", "100 and a salad"),
        ("two and three", "2 and 3"),
        ("$1,500", "1500"),
        ("a hundred", "a hundred"),
        ("the third", "the 3rd"),
        ("twenty first of march", "21st of march"),
        ("eleventh, second, first", "11th 2nd 1st"),
        ("2 p.m. or 10am", "2 pm or 10 am"),
        ("that\u2019s it, thats all, dont", "that's it that's all don't"),
        ("", ""),
    ],
)
def test_words_come_to_one_form(said: str, plain: str) -> None:
    """Patterns see this form and no other."""
    assert normalise(said) == plain


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("today", "2026-03-05"),
        ("tomorrow", "2026-03-06"),
        ("the day after tomorrow", "2026-03-07"),
        ("in three days", "2026-03-08"),
        ("monday, no, tuesday", "2026-03-10"),
        ("next thursday", "2026-03-12"),
        ("march fourteenth", "2026-03-14"),
        ("the third of april", "2026-04-03"),
        ("January 2", "2027-01-02"),
        ("the thirty first", "2026-03-31"),
        ("the fourth", "2026-04-04"),
        ("2026-04-09", "2026-04-09"),
        ("on the eleventh of this month", "2026-03-11"),
        ("on ninth please", "2026-03-09"),
        ("the first one", None),
        ("the fourteenth floor", None),
        ("thanks for your help today", None),
        ("february thirty", None),
        ("some day", None),
    ],
)
def test_day_is_the_next_one_of_its_kind(said: str, day: str | None) -> None:
    """Relative to a Thursday."""
    found = find_date(normalise(said), THURSDAY)

    assert (found.isoformat() if found else None) == day


@pytest.mark.parametrize(
    ("said", "time"),
    [
        ("[answer] three", "3:00 PM"),
        ("[answer] ten thirty", "10:30 AM"),
        ("[answer] 99", None),
        ("at two", "2:00 PM"),
        ("at 9", "9:00 AM"),
        ("2 pm", "2:00 PM"),
        ("ten thirty am", "10:30 AM"),
        ("ten in the morning", "10:00 AM"),
        ("seven in the evening", "7:00 PM"),
        ("three o'clock", "3:00 PM"),
        ("half past two", "2:30 PM"),
        ("quarter to three pm", "2:45 PM"),
        ("quarter to one", "12:45 PM"),
        ("quarter past nine", "9:15 AM"),
        ("at eight pm", "8:00 PM"),
        ("at 14:30", "2:30 PM"),
        ("at 0:15", "12:15 AM"),
        ("noon", "12:00 PM"),
        ("12 am", "12:00 AM"),
        ("12 pm", "12:00 PM"),
        ("ten am, no, eleven am", "11:00 AM"),
        ("at 77", None),
        ("0 pm", None),
        ("three", None),
    ],
)
def test_time_is_in_the_form_of_the_tools(said: str, time: str | None) -> None:
    """Without a half of the day it is what an office would mean; a bare number is an answer."""
    words = normalise(said.removeprefix("[answer]"))
    assert find_time(words, is_answer=words != normalise(said)) == time


@pytest.mark.parametrize(
    ("system", "day"),
    [
        ("It is March 05, 2026 at 6:40 PM.", THURSDAY),
        ("It is February 30, 2026.", None),
        ("No date.", None),
    ],
)
def test_date_is_read_from_the_prompt(system: str, day: date | None) -> None:
    """Long month, day, year, as the placeholder is filled."""
    assert date_of_prompt(system) == day


@given(st.text(max_size=200), st.dates(date(1, 1, 2), date(9000, 1, 1)))
def test_any_text_can_be_read(text: str, today: date) -> None:
    """Total functions; bringing a text to its form twice is bringing it once."""
    plain = normalise(text)

    assert normalise(plain) == plain
    find_date(plain, today)
    find_time(plain, is_answer=True)
