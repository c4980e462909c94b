"""Toppings in free texts: added ones are paid for, those left out are not."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ToolError
from agent.tools.builtin.restaurant.toppings import Dish, find_topping, sort_text, words_of

TOPPINGS = {
    name: Decimal(2)
    for name in (
        "red onion", "black olives", "green peppers", "spinach", "jalapenos", "pepperoni",
        "sausage", "bacon", "chicken", "extra cheese",
    )
}  # fmt: skip
CHEESE = Dish("Cheese", "tomato sauce and three cheeses", TOPPINGS)
GARDEN = Dish("Garden", "mushrooms, spinach, olives and red onion", TOPPINGS)
PEPPERONI = Dish("Pepperoni", "pepperoni and mozzarella", TOPPINGS)
UNKNOWN = Dish("Cheese", "", TOPPINGS)
"""Of an older menu, without descriptions."""


def sort(text: str, dish: Dish = CHEESE) -> tuple[list[str], str]:
    toppings, remarks = sort_text(text, dish)
    return toppings, ", ".join(piece.text for piece in remarks)


@pytest.mark.parametrize(
    ("text", "toppings", "remarks"),
    [
        ("no onion but bacon and sausage", ["bacon", "sausage"], "no onion"),
        ("No onion, BUT bacon, sausage & chicken", ["bacon", "sausage", "chicken"], "No onion"),
        ("without onion with bacon", ["bacon"], "without onion"),
        ("minus onion plus bacon", ["bacon"], "minus onion"),
        ("hold the onion, add bacon and sausage", ["bacon", "sausage"], "hold the onion"),
        ("no onion extra bacon", ["bacon"], "no onion"),
        ("bacon but no onion", ["bacon"], "no onion"),
        ("bacon instead of onion", ["bacon"], "without onion"),
        ("no onion however bacon", ["bacon"], "no onion"),
        ("no onion, just bacon", ["bacon"], "no onion"),
        ("no onion then bacon", ["bacon"], "no onion"),
        ("no onion. bacon", ["bacon"], "no onion"),
        ("no onion (bacon)", ["bacon"], "no onion"),
        ("no onion; and bacon", ["bacon"], "no onion"),
        ("no onion! bacon + sausage", ["bacon", "sausage"], "no onion"),
        ("not only onion but bacon", ["red onion", "bacon"], ""),
        ("no jalapeños but jalapeños", ["jalapenos"], "no jalapeños"),
    ],
)
def test_what_is_wanted_is_paid_for(text: str, toppings: list[str], remarks: str) -> None:
    assert sort(text) == (toppings, remarks)


@pytest.mark.parametrize(
    ("text", "remarks"),
    [
        ("no bacon", "no bacon"),
        ("hold the bacon please", "hold the bacon please"),
        ("with no bacon", "no bacon"),
        ("no added bacon", "no added bacon"),
        ("do not add bacon", "don't add bacon"),
        ("don\u2019t put bacon on it", "don't put bacon on it"),
        ("everything but onion", "without onion"),
        ("no onion or bacon", "no onion, no bacon"),
        ("neither onion nor bacon", "neither onion, no bacon"),
        ("no onion, bacon or sausage", "no onion, no bacon, no sausage"),
        ("no onion, bacon, chicken, or sausage", "no onion, no bacon, no chicken, no sausage"),
        ("no extra cheese", "no extra cheese"),
        ("light cheese", "light cheese"),
        ("well done, no onion, cut in eight", "well done, no onion, cut in eight"),
        ("no onion, well done", "no onion, well done"),
        ("extra crispy", "extra crispy"),
        ("", ""),
    ],
)
def test_what_is_left_out_costs_nothing_and_says_so(text: str, remarks: str) -> None:
    assert sort(text) == ([], remarks)


@pytest.mark.parametrize(
    "text",
    [
        "no onion, bacon", "no onion or bacon, chicken", "no onion and bacon",
        "no onion bacon", "no onion & bacon",
        "no onion/bacon", "light bacon", "easy on the bacon", "not too much bacon", "half bacon",
        "double bacon", "free bacon", "no charge bacon", "no extra charge for bacon",
        "without paying for bacon", "not without bacon", "don't skip the bacon",
        "no toppings except bacon", "no toppings other than bacon", "swap onion for bacon",
        "less onion more bacon", "lots of bacon", "no onion: bacon",
    ],
)  # fmt: skip
def test_what_may_be_a_wish_is_asked_for(text: str) -> None:
    with pytest.raises(ToolError, match="reads like a topping, which costs extra"):
        sort(text)


@pytest.mark.parametrize(
    ("dish", "text", "remarks"),
    [
        (GARDEN, "no onions and olives", "no onions, olives"),
        (GARDEN, "no onions, olives and spinach", "no onions, olives, spinach"),
        (GARDEN, "light onion", "light onion"),
        (GARDEN, "no raw onion", "no raw onion"),
        (GARDEN, "no onion or olives", "no onion, olives"),
        (PEPPERONI, "no pepperoni", "no pepperoni"),
        (UNKNOWN, "no onions and olives", "no onions, no olives"),
    ],
)
def test_what_is_on_the_dish_may_be_left_out_in_a_list(dish: Dish, text: str, remarks: str) -> None:
    assert sort(text, dish) == ([], remarks)


@pytest.mark.parametrize(
    ("dish", "text"),
    [
        (GARDEN, "no onions and bacon"),
        (GARDEN, "double onion"),
        (GARDEN, "no less than double onion"),
        (GARDEN, "no extra charge for onion"),
        (PEPPERONI, "double pepperoni"),
        (PEPPERONI, "lots of pepperoni"),
        (UNKNOWN, "no onion and lots of bacon"),
        (UNKNOWN, "no onion or free bacon"),
    ],
)
def test_more_of_what_is_on_the_dish_is_asked_for(dish: Dish, text: str) -> None:
    with pytest.raises(ToolError, match="reads like a topping"):
        sort(text, dish)


WORDS = st.sampled_from(
    [
        *words_of("no without hold but and or with extra light not the onion bacon sausage cheese"),
        *(",", ";", "please", "done", "double", "instead of", "except"),
    ]
)


@given(words=st.lists(WORDS, max_size=8), dish=st.sampled_from([CHEESE, GARDEN, UNKNOWN]))
def test_no_remark_names_a_topping_without_a_denial(words: list[str], dish: Dish) -> None:
    denials = {"no", "without", "hold", "not", "light", "except"}
    try:
        _, remarks = sort_text(" ".join(words), dish)
    except ToolError:
        return
    for piece in remarks:
        named = [name for name in TOPPINGS if words_of(name)[-1] in words_of(piece.text)]
        is_there = all(map(dish.has, named))
        is_own = find_topping(set(words_of(dish.name)), TOPPINGS) in named
        assert is_there or is_own or denials & set(words_of(piece.text)), piece
