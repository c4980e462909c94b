"""The tools of the restaurant: stored orders, prices, times, past orders."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest

from agent.ports import Item, Store
from agent.store.memory import MemoryStore
from agent.tools import CallContext
from tests.tools.failing_processes import DEATHS, DiedError, Fate, Mortal, mortal_store
from tests.tools.worlds import (
    ADA,
    AFTERNOON,
    CALL_ID,
    RESTAURANT,
    ZONE,
    call_of,
    refused,
    seeded,
    told,
)

Line = dict[str, object]
PICK_UP, DELIVERY = "CheckRestaurantPickUpTime", "CheckRestaurantDeliveryTime"

LARGE_LIGHTHOUSE: Line = {
    "line_item": "Lighthouse", "size": "large", "toppings": ["bacon", "spinach"],
}  # fmt: skip


async def place(
    *lines: Line,
    store: Store | None = None,
    call: CallContext | None = None,
    order_type: str = "pickup",
    **arguments: object,
) -> Any:
    """Place an order; the answer of the tool."""
    call = call or call_of(store or await seeded())
    arguments |= {"current_order": lines, "order_type": order_type}
    return await told(call, "PlaceOrderFunction", **arguments)


async def refuse(
    *lines: Line, store: Store | None = None, order_type: str = "pickup", **arguments: object
) -> str:
    """Place an order that is refused; the error."""
    arguments |= {"current_order": lines, "order_type": order_type}
    return await refused(call_of(store or await seeded()), "PlaceOrderFunction", **arguments)


async def orders(store: MemoryStore, owner: str = ADA) -> list[Item]:
    return await store.query(owner, "restaurantOrder::")


async def test_an_order_is_stored_in_the_shape_of_the_table() -> None:
    store = await seeded()

    answer = await place(
        {**LARGE_LIGHTHOUSE, "additional_details": "well done", "line_amount": 29},
        {"line_item": "Garlic Knots", "quantity": 2, "line_amount": 16},
        store=store,
        order_total=45,
    )

    pizza = "Large Lighthouse with bacon and spinach"
    order_items = [
        {"line_item": pizza, "additional_details": "well done", "line_amount": 29.0},
        {"line_item": "2 Garlic Knots", "additional_details": "", "line_amount": 16.0},
    ]
    assert answer == {
        "message": "The order is placed. The total is 45.00 dollars.",
        "order_total": "45.00",
        "order_type": "pickup",
        "order_items": order_items,
    }
    (item,) = await orders(store)
    key = str(item["idempotencyKey"])
    assert item == {
        "pk": ADA,
        "sk": f"restaurantOrder::1234::{int(AFTERNOON)}::{key[:8]}",
        "pk1": "restaurantOrder",
        "sk1": RESTAURANT,
        "order": {"order_items": order_items, "order_type": "pickup", "order_total": 45.0},
        "callSid": CALL_ID,
        "idempotencyKey": key,
        "neededUntil": int(AFTERNOON) + 24 * 60 * 60,
        "expireAt": int(AFTERNOON) + 7 * 24 * 60 * 60,
    }


async def test_each_address_is_an_order_of_its_own_and_is_kept() -> None:
    store = await seeded()
    address = " 7 Elm Road,\n Port Maple "

    for kind, where in (("delivery", address), ("delivery", "8 Elm Road"), ("pickup", address)):
        await place(LARGE_LIGHTHOUSE, store=store, order_type=kind, delivery_address=where)

    kept: list[Any] = [item["order"] for item in await orders(store)]
    told = sorted((order["order_type"], order.get("delivery_address")) for order in kept)
    assert told == [
        ("delivery", "7 Elm Road, Port Maple"), ("delivery", "8 Elm Road"), ("pickup", None),
    ]  # fmt: skip


async def test_a_delivery_without_address_is_refused() -> None:
    store = await seeded()

    error = await refuse(
        LARGE_LIGHTHOUSE, store=store, order_type="delivery", delivery_address="  "
    )

    assert error == "A delivery needs an address. Ask the caller for it."
    assert await orders(store) == []


async def test_a_wrong_total_is_corrected_and_told() -> None:
    answer = await place(
        {"line_item": "Pepperoni", "size": "small", "line_amount": 1}, order_total=1
    )

    assert answer["message"] == (
        "The order is placed. The total is 12.50 dollars. "
        "The total of 1 was wrong: tell the caller the right one."
    )
    assert answer["order_items"][0]["line_amount"] == 12.5


def small(item: str, remark: str = "") -> Line:
    return {"line_item": item, "size": "small", "additional_details": remark}


@pytest.mark.parametrize(
    ("line", "title", "amount"),
    [
        ({"line_item": "small cheese pizza"}, "Small Cheese", 11.0),
        ({"line_item": "2 Large Lighthouse Pizzas"}, "2 Large Lighthouse", 48.0),
        ({"line_item": "two garlic knot", "quantity": 2}, "2 Garlic Knots", 16.0),
        ({"line_item": "Cheese, large"}, "Large Cheese", 19.0),
        ({"line_item": "Medium Garden pizza with olives and extra cheese"},
         "Medium Garden with black olives and extra cheese", 22.5),
        ({"line_item": "Cheese (small, bacon)", "toppings": ["bacon"]},
         "Small Cheese with bacon", 14.0),
        ({"line_item": "Cheese", "size": "small", "toppings": ["bacon", "bacon"]},
         "Small Cheese with bacon and bacon", 17.0),
        ({"line_item": "Cheese", "size": "small", "additonal_details": "extra mushrooms"},
         "Small Cheese with mushrooms", 13.0),
    ],
)  # fmt: skip
async def test_a_line_is_read_as_people_say_it(line: Line, title: str, amount: float) -> None:
    answer = await place(line)

    assert answer["order_items"] == [
        {"line_item": title, "additional_details": "", "line_amount": amount}
    ]


@pytest.mark.parametrize(
    "remark",
    [
        "well done", "no onions, olives", "cut in squares, without basil", "extra crispy", "fresh",
        "cut into small pieces", "cut in eight", "no garlic knots", "ring twice", "one",
    ],
)  # fmt: skip
async def test_a_remark_costs_nothing(remark: str) -> None:
    """Also one with numbers, or written into the name."""
    answers = [await place(small("Garden", remark.replace(", o", " and o")))]
    if remark.startswith("no "):
        answers.append(await place(small(f"Garden with {remark}")))

    line = {"line_item": "Small Garden", "additional_details": remark, "line_amount": 13.0}
    assert [answer["order_items"] for answer in answers] == [[line]] * len(answers)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ({"line_item": "Hawaiian pizza", "size": "small"},
         "'Hawaiian pizza' is not on the menu. There is: Garlic Knots, Baked Ricotta, "
         "Tomato Soup, Crispy Calamari, House Salad, Caesar Salad, Harvest Salad, Cheese, "
         "Lighthouse, Garden, Pepperoni, Classic Calzone, Ham Calzone, Spinach Calzone, "
         "Dockside Calzone."),
        ({"line_item": "Lighthaus", "size": "small"},
         "'Lighthaus' is not on the menu. Close to it: Lighthouse."),
        ({"line_item": "Caesar"}, "'Caesar' is not on the menu. Close to it: Caesar Salad."),
        ({"line_item": "Cheese"}, "Cheese needs one size: small, medium, large. Ask the caller."),
        ({"line_item": "Large Cheese", "size": "small"},
         "Cheese needs one size: small, medium, large. Ask the caller."),
        ({"line_item": "Tomato Soup", "size": "small"},
         "Tomato Soup comes in one size only; leave the size out."),
        ({"line_item": "Cheese", "size": "small", "toppings": ["peppers of green colour"]},
         "There is no topping 'peppers of green colour'. Close to it: green peppers."),
        ({"line_item": "Small Cheese with truffle"},
         "There is no topping 'truffle'. There is: mushrooms, black olives, red onion, "
         "green peppers, spinach, fresh basil, jalapenos, pineapple, pepperoni, sausage, "
         "bacon, chicken, extra cheese."),
        ({"line_item": "Caesar Salad", "toppings": ["chicken"]},
         "Toppings go on pizzas only, not on Caesar Salad."),
        (small("Cheese", "double bacon"),
         "'double bacon' reads like a topping, which costs extra. "
         "Put it into toppings by its name, twice for double."),
        ({"line_item": "2 Garlic Knots", "quantity": 3},
         "How many of '2 Garlic Knots'? Write it once, in quantity, 1 to 50."),
        ({"line_item": "900 Garlic Knots"},
         "How many of '900 Garlic Knots'? Write it once, in quantity, 1 to 50."),
        ({"line_item": "Cheese", "size": "small", "topping": "bacon"},
         "The arguments of PlaceOrderFunction do not fit: Object contains unknown field `topping` "
         "- at `$.current_order[0]`"),
        (small("Cheese", "make it large"),
         "'make it large' is no remark: write the size into size."),
        (small("Cheese", "medium please"),
         "'medium please' is no remark: write the size into size."),
        (small("Cheese", "times two"), "'times two' is no remark: write how many into quantity."),
        (small("Cheese", "x3"), "'x3' is no remark: write how many into quantity."),
        (small("Cheese", "also Garlic Knots"),
         "'also Garlic Knots' is no remark: Garlic Knots needs a line of its own."),
        (small("Cheese", "and a small garden pizza"),
         "'a small garden pizza' is no remark: Garden needs a line of its own."),
    ],
)  # fmt: skip
async def test_what_is_not_on_the_menu_or_would_be_unpaid_is_refused(
    line: Line, error: str
) -> None:
    assert await refuse(line) == error


LINKS = ["see https://evil.example", "evil.com", "evil dot com", "evil[.]com", "me@evil.example"]


@pytest.mark.parametrize("link", LINKS)
async def test_no_link_is_stored_with_an_order(link: str) -> None:
    """In a line, with a menu and without one, or as an address."""
    cheese: Line = {"line_item": "Cheese", "size": "small"}
    soup: Line = {"line_item": "soup", "line_amount": 5}
    fields = ("additional_details", "additonal_details", "line_item")
    errors = [await refuse({**cheese, field: link}) for field in fields]
    changes: list[Line] = [{"line_item": link}, {"toppings": [link]}]
    errors += [await refuse({**soup, **change}, store=MemoryStore()) for change in changes]

    address = await refuse(LARGE_LIGHTHOUSE, order_type="delivery", delivery_address=link)

    assert ["must have no link" in error for error in errors] == [True] * 5
    assert address.startswith("An address must have no link")


@pytest.mark.parametrize(
    ("limits", "lines"),
    [
        ({}, [{"line_item": "Lighthouse", "size": "large", "quantity": 42}]),
        ({}, [{"line_item": "Garlic Knots", "quantity": 50}] * 2 + [{"line_item": "Tomato Soup"}]),
        ({"maxQuantity": 3}, [{"line_item": "Garlic Knots", "quantity": 4}]),
        ({"maxTotal": "20"}, [{"line_item": "House Salad", "quantity": 3}]),
    ],
)
async def test_an_order_has_a_largest_size(limits: Line, lines: list[Line]) -> None:
    store = await seeded()
    menu = await store.get("restaurantOrderingUseCase", "menu") or {}
    older = {name: menu[name] for name in menu.keys() - {"maxQuantity", "maxTotal"}}
    await store.put({**older, **limits})

    error = await refuse(*lines, store=store)

    assert error.startswith("Nothing was ordered: an order may have at most ")
    assert await orders(store) == []


async def test_the_largest_order_is_taken_and_without_a_menu_a_larger_one_is_not() -> None:
    calzones: list[Line] = [{"line_item": f"Calzone {n}", "line_amount": 900} for n in range(2)]

    answer = await place({"line_item": "Cheese", "size": "large", "quantity": 50})

    assert answer["order_total"] == "950.00"
    assert (await refuse(*calzones, store=MemoryStore())).startswith("Nothing was ordered")


async def test_the_same_order_in_other_words_or_another_sequence_is_stored_once() -> None:
    store = await seeded()
    soup: Line = {"line_item": "Tomato Soup"}
    reworded: Line = {"line_item": "large lighthouse pizza with spinach and bacon"}

    first = await place(LARGE_LIGHTHOUSE, soup, store=store)
    later = call_of(store, at=AFTERNOON + 90)
    again = await place(soup, reworded, call=later, order_total=37.5)

    assert again == first
    assert len(await orders(store)) == 1


@pytest.mark.parametrize("touch", range(4))
@pytest.mark.parametrize("fate", DEATHS)
async def test_an_order_is_stored_once_whenever_its_process_dies(touch: int, fate: Fate) -> None:
    """A started order is completed as it was started; otherwise the repeat places its own.

    The touches are: the menu, the record, the order, the record again.
    """
    store = await seeded()
    dying = Mortal({touch: fate})
    late = call_of(store, at=AFTERNOON + 90)

    with pytest.raises(DiedError):
        await place(LARGE_LIGHTHOUSE, call=call_of(mortal_store(store, dying)))
    answers = [await place(LARGE_LIGHTHOUSE, call=late) for _ in range(2)]

    assert dying.touches == touch + 1
    (order,) = await orders(store)
    is_begun = touch > 1 or (touch == 1 and fate is Fate.DIES_AFTER)
    begun_at = int(AFTERNOON) if is_begun else int(AFTERNOON) + 90
    assert str(order["sk"]).split("::")[2] == str(begun_at)
    assert answers == [await place(LARGE_LIGHTHOUSE, call=call_of(await seeded()))] * 2


async def test_an_order_keeps_its_prices_when_the_menu_changes() -> None:
    store = await seeded()
    first = await place(LARGE_LIGHTHOUSE, store=store)
    menu = await store.get("restaurantOrderingUseCase", "menu") or {}
    dearer = json.loads(json.dumps(menu).replace("24", "99"))
    await store.put(dearer)

    again = await place(LARGE_LIGHTHOUSE, store=store)
    other = await place({**LARGE_LIGHTHOUSE, "toppings": ["bacon"]}, store=store)

    assert again == first
    assert first["order_total"] == "29.00"
    assert other["order_total"] == "102.00"
    assert len(await orders(store)) == 2


@pytest.mark.parametrize(
    "other",
    [
        {**LARGE_LIGHTHOUSE, "size": "small"},
        {**LARGE_LIGHTHOUSE, "toppings": ["bacon"]},
        {**LARGE_LIGHTHOUSE, "toppings": ["bacon", "spinach", "spinach"]},
        {**LARGE_LIGHTHOUSE, "quantity": 2},
        {**LARGE_LIGHTHOUSE, "additional_details": "well done"},
        {**LARGE_LIGHTHOUSE, "line_item": "Garden"},
    ],
)
async def test_an_order_that_differs_in_one_value_is_another_order(other: Line) -> None:
    store = await seeded()

    async with asyncio.TaskGroup() as group:
        group.create_task(place(LARGE_LIGHTHOUSE, store=store))
        group.create_task(place(other, store=store))

    assert len(await orders(store)) == 2


async def test_a_repeat_leaves_what_the_kitchen_noted() -> None:
    store = await seeded()
    await place(LARGE_LIGHTHOUSE, store=store)
    (order,) = await orders(store)
    await store.merge(ADA, str(order["sk"]), {"status": "in the oven"})

    await place(LARGE_LIGHTHOUSE, store=store)

    assert await orders(store) == [{**order, "status": "in the oven"}]


async def test_a_caller_without_number_can_order() -> None:
    store = await seeded()
    call = call_of(store, caller="")

    await place(LARGE_LIGHTHOUSE, call=call)

    assert len(await orders(store, CALL_ID)) == 1
    assert len((await told(call, "CheckPastOrdersFunction"))["orders"]) == 1


async def test_without_a_menu_an_order_is_taken_as_it_is_said() -> None:
    """The prices stand in the prompt: amounts of lines are the model's, the total is computed."""
    store = MemoryStore()
    salad: Line = {
        "line_item": "green salad", "additional_details": "no onions", "line_amount": 9.1,
    }  # fmt: skip

    answer = await place(
        {"line_item": " small  Lanternfish", "additonal_details": "well done", "line_amount": 12},
        salad,
        store=store,
        order_type="delivery",
        order_total=21.1,
        delivery_address="7 Elm Road",
    )

    fish = {
        "line_item": "small Lanternfish", "additional_details": "well done", "line_amount": 12.0,
    }  # fmt: skip
    order = {"order_items": [fish, salad], "order_type": "delivery", "order_total": 21.1}
    assert answer == {
        **order,
        "message": "The order is placed. The total is 21.10 dollars.",
        "order_total": "21.10",
    }
    (item,) = await orders(store)
    assert item["order"] == {**order, "delivery_address": "7 Elm Road"}


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ({"line_item": "Calzone", "quantity": 2}, "2 Calzone"),
        ({"line_item": "2 calzones", "quantity": 2}, "2 calzones"),
        ({"line_item": "Lanternfish", "size": "large"}, "Large Lanternfish"),
        ({"line_item": "large Lanternfish", "size": "large"}, "large Lanternfish"),
        ({"line_item": "Lanternfish", "toppings": ["bacon", "basil"]},
         "Lanternfish with bacon and basil"),
    ],
)  # fmt: skip
async def test_without_a_menu_the_amount_is_that_of_the_whole_line(line: Line, title: str) -> None:
    answer = await place({**line, "line_amount": 18.5}, store=MemoryStore())

    assert answer["order_items"] == [
        {"line_item": title, "additional_details": "", "line_amount": 18.5}
    ]


@pytest.mark.parametrize("amount", [None, 0, -12, 0.004, 1000.01, 1e300])
async def test_without_a_menu_every_line_needs_a_name_and_a_plausible_amount(
    amount: float | None,
) -> None:
    store = MemoryStore()

    error = await refuse({"line_item": "Calzone", "line_amount": amount}, store=store)
    nameless = await refuse({"line_item": " ", "line_amount": 5}, store=store)

    assert error == ("'Calzone' needs its line_amount in dollars, more than 0 and at most 1000.")
    assert nameless == "A line has no name. Ask the caller what it is."
    assert await orders(store) == []


async def test_without_a_menu_an_order_is_stored_once_with_any_amounts() -> None:
    store = MemoryStore()
    line: Line = {"line_item": "Small Lanternfish", "line_amount": 12}

    first = await place(line, store=store)
    again = await place(
        {"line_item": "small lanternfish", "line_amount": 13}, call=call_of(store, at=AFTERNOON + 9)
    )

    assert again == first
    assert len(await orders(store)) == 1


async def test_a_menu_with_nothing_on_it_is_not_a_missing_one() -> None:
    store = MemoryStore()
    await store.put({"pk": "restaurantOrderingUseCase", "sk": "menu", "items": []})

    error = await refuse({"line_item": "Calzone", "line_amount": 5}, store=store)

    assert error.startswith("'Calzone' is not on the menu.")


@pytest.mark.parametrize("has_menu", [True, False])
@pytest.mark.parametrize(
    ("day", "hour", "pickup", "delivery"),
    [
        (5, 14, ("15 minutes", "2:15 PM"), ("45 minutes", "2:45 PM")),
        (5, 17, ("30 minutes", "5:30 PM"), ("1 hour", "6:00 PM")),
        (6, 19, ("45 minutes", "7:45 PM"), ("1 hour 15 minutes", "8:15 PM")),
        (6, 20, ("15 minutes", "8:15 PM"), ("45 minutes", "8:45 PM")),
    ],
)
async def test_times_depend_on_how_busy_the_kitchen_is(
    day: int, hour: int, pickup: tuple[str, str], delivery: tuple[str, str], has_menu: bool
) -> None:
    store = await seeded() if has_menu else MemoryStore()
    call = call_of(store, at=datetime(2026, 3, day, hour, tzinfo=ZONE).timestamp())

    assert await told(call, PICK_UP, order_type="pickup") == {
        "pickupTime": pickup[0],
        "message": f"The order will be ready in {pickup[0]}, at about {pickup[1]}.",
    }
    assert await told(call, DELIVERY, order_type="delivery") == {
        "deliveryTime": delivery[0],
        "message": f"The order will arrive in {delivery[0]}, at about {delivery[1]}.",
    }
    for name, other in ((PICK_UP, "delivery"), (DELIVERY, "pickup")):
        error = await refused(call, name, order_type=other)
        assert f"Use {DELIVERY if name == PICK_UP else PICK_UP}" in error


async def test_past_orders_are_told_newest_first() -> None:
    store = await seeded()
    none = await told(call_of(store), "CheckPastOrdersFunction")
    for number, day in enumerate((1, 4, 2, 3)):
        at = datetime(2026, 3, day, 12, tzinfo=ZONE).timestamp()
        order = {"order_items": [{"line_item": f"Pizza {day}"}], "order_type": "pickup"}
        sk = f"restaurantOrder::{number}::{int(at)}"
        await store.put({"pk": ADA, "sk": sk, "order": {**order, "order_total": day}})
    await store.put({"pk": ADA, "sk": "restaurantOrder::odd"})

    answer = await told(call_of(store), "CheckPastOrdersFunction")

    assert none == {"orders": [], "message": "There are no past orders of this caller."}
    assert answer["message"] == "These are the latest orders of this caller."
    assert answer["orders"] == [
        {
            "ordered": f"{name}, March {day}",
            "order_items": [f"Pizza {day}"],
            "order_type": "pickup",
            "order_total": day,
        }
        for name, day in (("Wednesday", 4), ("Tuesday", 3), ("Monday", 2))
    ]


async def test_past_orders_are_told_with_their_remarks() -> None:
    store = await seeded()
    await place(small("Garden", "no red onion"), store=store)

    answer = await told(call_of(store), "CheckPastOrdersFunction")
    again = await place({"line_item": answer["orders"][0]["order_items"][0]}, store=store)

    assert answer["orders"][0]["order_items"] == ["Small Garden (no red onion)"]
    assert len(await orders(store)) == 1
    assert again["order_items"][0]["additional_details"] == "no red onion"
