"""Values of a tool call are found in what was said, however it was said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.spoken_values import SpokenText, in_digits, leaves, numbers_in


@pytest.mark.parametrize(
    ("text", "language", "value", "expected"),
    [
        ("a large pepperoni for twenty-one fifty", "en-US", 21.5, True),
        ("eighteen dollars and fifty cents", "en", 18.5, True),
        ("that is $1,450 a month", "", 1450, True),
        ("two large pizzas", "en", 3, False),
        ("a pizza", "en", 1, True),
        ("treinta y cinco euros", "es-US", 35, True),
        ("fünfunddreißig Euro", "de-DE", 35.0, True),
        ("quatre-vingt-dix-neuf euros", "fr-FR", 99, True),
        ("at two in the afternoon", "en", "2:00 PM", True),
        ("at 14:00", "en", "2:00 PM", True),
        ("at two fifteen", "en", "2:15 PM", True),
        ("at a quarter to three", "en", "2:45 PM", True),
        ("at noon", "en", "12:00 PM", True),
        ("at three", "en", "2:00 PM", False),
        ("um halb drei", "de", "14:30", True),
        ("on the sixth of March", "en", "2026-03-06", True),
        ("tomorrow", "en", "2026-03-06", True),
        ("am Freitag", "de", "2026-03-06", True),
        ("on Monday the ninth", "en", "2026-03-06", False),
        ("n, o, r, a at example dot com", "en", "n o r a at example dot com", True),
        ("to two one four Lantern Street", "en", "214 Lantern Street, Port Maple", True),
        ("to 12 Lantern Street", "en", "214 Lantern Street", False),
        ("with basil", "en", "fresh basil", True),
        ("for pick up", "en", "pickup", True),
        ("with mushrooms", "en", "pepperoni", False),
        ("Señor José Muñoz", "en", "Jose Munoz", True),
        ("anything", "en", True, True),
        ("tomorrow", "en", "2026-13-45", True),
    ],
)
def test_a_value_is_found_or_missed(
    text: str, language: str, value: object, *, expected: bool
) -> None:
    assert SpokenText(text, language).names(value) is expected


@given(amount=st.integers(min_value=0, max_value=99_999))
def test_a_price_in_digits_is_its_number(amount: int) -> None:
    price = amount / 100

    assert price in numbers_in(in_digits(f"The total is ${price:,.2f}.", "en-US"))


@given(text=st.text(), value=st.text() | st.integers() | st.floats(allow_nan=False) | st.none())
def test_any_text_can_be_compared_with_any_value(text: str, value: object) -> None:
    SpokenText(text, "en").names(value)


def test_values_are_found_in_lists_and_below_other_properties() -> None:
    order = {"items": [{"name": "Soup", "size": ""}, {"name": "Tea"}], "at": {"name": "Ada"}}

    found = list(leaves(order, frozenset({"name", "size"})))

    assert found == [("name", "Soup"), ("name", "Tea"), ("name", "Ada")]
