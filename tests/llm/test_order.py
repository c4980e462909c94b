"""Orders as callers say them, on a menu of lamps: a colour is the size, an extra the topping."""

from __future__ import annotations

import msgspec
import pytest

from agent.llm.offline.offline_menu import OfflineMenu
from agent.llm.offline.order import MAX_LINES, Order, OrderReader
from agent.llm.offline.words import normalise

MENU = msgspec.convert(
    {
        "items": [
            {"name": "desk lamp", "price": {"red": 20, "blue": 20}},
            {"name": "floor lamp", "spoken": "tall lamp", "price": {"red": 30, "blue": 35.5}},
            {"name": "candles", "price": 2, "about": "six of them"},
            {"name": "dimmer", "price": 9},
        ],
        "toppings": [{"name": "dimmer", "price": 5}, {"name": "timer", "price": 3}],
        "sizes": {"red": ["crimson"], "blue": []},
        "words": {
            **{word: [word] for word in ("add", "remove", "without", "with")},
            "change": ["make"],
            "onto": ["to the"],
            "all": ["both"],
        },
    },
    OfflineMenu,
)
READER = OrderReader(MENU)


def after(*utterances: str, is_repeating: bool = False) -> Order:
    order = Order()
    for text in utterances[:-1]:
        order = READER.read(normalise(text), order)
    return READER.read(normalise(utterances[-1]), order, is_repeating=is_repeating)


def written(order: Order) -> str:
    view = order.view()
    lines = view["lines"]
    assert isinstance(lines, list)
    return f"{', '.join(lines)} = {view['total']:g}"


@pytest.mark.parametrize(
    ("spoken", "order"),
    [
        ("a red desk lamp", "1 red desk lamp = 20"),
        ("two crimson desk lamps and candles", "2 red desk lamps, 1 candles = 42"),
        ("two, no, three blue floor lamps", "3 blue tall lamps = 106.5"),
        ("red floor lamp with dimmer and timer", "1 red tall lamp with dimmer and timer = 38"),
        ("a dimmer", "1 dimmer = 9"),
        ("blue desk lamp with dimmer, a dimmer", "1 blue desk lamp with dimmer, 1 dimmer = 34"),
        ("a timer red desk lamp", "1 red desk lamp with timer = 23"),
        ("red desk lamp without timer", "1 red desk lamp without timer = 20"),
        ("red desk lamp without timer with dimmer",
         "1 red desk lamp with dimmer without timer = 25"),
        ("red desk lamp without timer candles", "1 red desk lamp without timer, 1 candles = 22"),
        ("desk lamp desk lamp red", "1 red desk lamp = 20"),
        ("red desk lamp red floor lamp timer to the desk lamp",
         "1 red desk lamp with timer, 1 red tall lamp = 53"),
        ("a candles with timer", "1 candles = 2"),
        ("make candles", "1 candles = 2"),
        ("remove candles", " = 0"),
    ],
)  # fmt: skip
def test_lines_are_read_from_one_utterance(spoken: str, order: str) -> None:
    assert written(after(spoken)) == order


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [
        ("a desk lamp", "red", "1 red desk lamp = 20"),
        ("a desk lamp", "red, sorry, blue", "1 blue desk lamp = 20"),
        ("a desk lamp", "a red desk lamp", "1 red desk lamp = 20"),
        ("a desk lamp and a floor lamp", "both blue", "1 blue desk lamp, 1 blue tall lamp = 55.5"),
        ("red", "a desk lamp", "1 red desk lamp = 20"),
        ("timer", "a red desk lamp", "1 red desk lamp with timer = 23"),
        ("a red desk lamp", "add a dimmer", "1 red desk lamp, 1 dimmer = 29"),
        ("a red desk lamp", "add dimmer", "1 red desk lamp with dimmer = 25"),
        ("a red desk lamp", "make it blue", "1 blue desk lamp = 20"),
        ("a red desk lamp", "make that two", "2 red desk lamps = 40"),
        ("a red desk lamp", "make it a floor lamp", "1 red tall lamp = 30"),
        ("a red desk lamp", "make the desk lamp candles", "1 candles = 2"),
        ("a red desk lamp with timer", "make the desk lamp to a floor lamp",
         "1 red tall lamp with timer = 33"),
        ("candles", "make it blue", "1 candles = 2"),
        ("a red desk lamp", "make the desk lamp blue", "1 blue desk lamp = 20"),
        ("3 candles", "remove 1 candles", "2 candles = 4"),
        ("a red desk lamp and candles", "remove the candles", "1 red desk lamp = 20"),
        ("a red desk lamp with dimmer", "remove the dimmer", "1 red desk lamp = 20"),
        ("a red desk lamp and a dimmer", "remove the dimmer", "1 red desk lamp = 20"),
        ("red desk lamp, red floor lamp", "without timer to the desk lamp",
         "1 red desk lamp without timer, 1 red tall lamp = 50"),
        ("candles", "without timer", "1 candles = 2"),
        ("a desk lamp", "red, remove the desk lamp, blue", " = 0"),
        ("candles", "timer and candles", "1 candles, 1 candles = 4"),
        ("red desk lamp", "timer and blue", "1 red desk lamp with timer = 23"),
    ],
)  # fmt: skip
def test_lines_are_completed_and_corrected_later(first: str, second: str, order: str) -> None:
    assert written(after(first, second)) == order


def test_line_said_again_while_confirming_is_not_added_twice() -> None:
    """Callers repeat what they agree to; "add" makes it another one."""
    repeated = after("a red desk lamp", "yes a red desk lamp", is_repeating=True)
    added = after("a red desk lamp", "add a red desk lamp", is_repeating=True)

    assert written(repeated) == "1 red desk lamp = 20"
    assert written(added) == "1 red desk lamp, 1 red desk lamp = 40"


def test_news_are_about_the_last_utterance() -> None:
    removed = after("3 candles", "remove the candles")

    assert removed.news["removed"] == ["3 candles"]
    assert (removed.news["named"], removed.news["about"]) == ("candles", "six of them")
    assert after("candles", "hm").news["changed"] is False


@pytest.mark.parametrize(
    ("before", "earlier", "order", "unread"),
    [
        ("hm", ["2 Red desk lamp (with timer)", "candles"],
         "2 red desk lamps with timer, 1 candles = 48", []),
        ("hm", ["red sofa", "desk lamp"], "1 desk lamp = 0", ["red sofa"]),
        ("a desk lamp", ["red desk lamp"], "1 desk lamp, 1 red desk lamp = 20", []),
        ("candles", ["sofa", {"what": "candles"}, None], "1 candles = 2", ["sofa"]),
    ],
)  # fmt: skip
def test_earlier_order_is_added_at_the_prices_of_the_menu(
    before: str, earlier: list[object], order: str, unread: list[str]
) -> None:
    read = READER.read_earlier(earlier, after(before))

    assert written(read) == order
    assert read.news["unread"] == unread


def test_order_has_a_most_lines() -> None:
    assert len(after("candles and " * 60).lines) == MAX_LINES


def test_an_order_is_said_in_the_words_of_its_menu() -> None:
    menu = msgspec.convert(
        {
            "items": [
                {"name": "desk lamp", "heard": ["lámpara"], "spoken": "lámpara de mesa",
                 "plural": "lámparas de mesa", "price": {"red": 20, "blue": 20}},
            ],
            "toppings": [
                {"name": "timer", "heard": ["reloj"], "spoken": "reloj", "price": 3},
                {"name": "dimmer", "heard": ["regulador"], "spoken": "regulador", "price": 5},
            ],
            "sizes": {"red": ["roja"], "blue": ["azul"]},
            "quantities": {"dos": 2},
            "spoken": {
                "line": "{quantity} {name} {size}",
                "sizes": {"red": ["roja", "rojas"]},
                "adding": "con",
                "leavingOut": "sin",
                "conjunction": "y",
            },
            "words": {"with": ["con"], "without": ["sin"]},
        },
        OfflineMenu,
    )  # fmt: skip
    reader = OrderReader(menu)

    two = reader.read("dos lámparas rojas con reloj y regulador", Order()).view()
    one = reader.read("una lámpara azul sin reloj", Order()).view()

    assert two["lines"] == ["2 lámparas de mesa rojas con reloj y regulador"]
    assert two["items"] == [
        {"line_item": "desk lamp", "size": "red", "toppings": ["timer", "dimmer"],
         "quantity": 2, "line_amount": 56},
    ]  # fmt: skip
    assert one["lines"] == ["1 lámpara de mesa blue sin reloj"]
