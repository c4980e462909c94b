"""Numbers as agents say them."""

from __future__ import annotations

import pytest

from agent.scenarios.spoken_numbers import numbers_in


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("The total is $23.50.", [23.5]),
        ("That is 1,200 dollars, or 5.", [1200, 5]),
        ("two hundred and five, twenty-one", [205, 21]),
        ("Two hundred and five twenty-one", [205, 21]),
        ("eighteen dollars and fifty cents", [18, 18.5, 50]),
        ("eighteen dollars fifty cents", [18, 18.5, 50]),
        ("18 dollars and 50 cents", [18, 18.5, 50]),
        ("eighteen dollars and fifty minutes", [18, 50]),
        ("twenty-three fifty", [23, 23.5, 50]),
        ("one, two, three", [1, 2, 3]),
        ("one two three", [1, 2, 3]),
        ("five. Twenty", [5, 20]),
        ("nineteen hundred", [1900]),
        ("a hundred and one thousand two hundred and twelve", [101212]),
        ("a thousand", [1000]),
        ("two point five, zero point oh five", [2.5, 0.05]),
        ("zero", [0]),
        ("a pizza and a half, no hundreds", []),
        ("", []),
    ],
)
def test_numbers_are_found_in_digits_and_words(text: str, numbers: list[float]) -> None:
    assert list(numbers_in(text)) == numbers
