"""Whole calls of the shipped use cases over real sockets: orders, tours, names and addresses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.settings import Settings
from tests.dynamodb import REGION
from tests.servers import Server, serving, settings_for
from tests.shipped import load_shipped
from tests.system.test_call import ADA, GRACE, STRANGER, order_salad

ROOT = Path(__file__).parents[2]


def pizza_order(details: str = "") -> dict[str, object]:
    line = {
        "line_item": "Large Pepperoni with mushrooms",
        "additional_details": details,
        "line_amount": 23.5,
    }
    return {"order_items": [line], "order_type": "pickup", "order_total": 23.5}


async def order_pizza(server: Server) -> None:
    async with server.twilio.call(From=ADA) as call:
        total = await call.say("a large pepperoni pizza with mushrooms for pickup")
        placed = await call.say("yes", cycles=2)

    assert "The total is $23.50" in total.text
    assert "Your order is placed" in placed.text
    assert "It will be ready for pickup in" in placed.text
    assert await server.orders(ADA) == [pizza_order()]
    assert call.ledger.departures == []


async def test_pizza_is_ordered_up_to_total_and_pickup_time(server: Server) -> None:
    await order_pizza(server)


async def test_pizza_is_ordered_with_the_table_in_dynamodb(table_name: str, tmp_path: Path) -> None:
    """As production is deployed."""
    settings = settings_for(tmp_path / "unused.db", TABLE_NAME=table_name, AWS_REGION=REGION)

    async with serving(settings) as server:
        await load_shipped(server.store)
        await order_pizza(server)

    assert not (tmp_path / "unused.db").exists()


async def test_order_for_delivery_keeps_the_address(server: Server) -> None:
    async with server.twilio.call(From=ADA) as call:
        await call.say("a large pepperoni pizza for delivery")
        await call.say("it's twelve main street apartment four")
        await call.say("yes", cycles=2)

    (order,) = await server.orders(ADA)
    assert order["delivery_address"] == "12 Main Street Apartment 4"


async def test_order_said_yes_to_twice_is_stored_once(server: Server) -> None:
    async with server.twilio.call(From=ADA) as call:
        await order_salad(call)
        await call.say("yes")
        await call.say("place the order please")

    assert len(await server.orders(ADA)) == 1


async def ordered_before(server: Server, *lines: Mapping[str, object]) -> None:
    """Store an order that Ada placed yesterday."""
    at = int(datetime.now(UTC).timestamp()) - 24 * 3600
    order = {"order_items": list(lines), "order_type": "pickup", "order_total": 99}
    key = {"pk": ADA, "sk": f"restaurantOrder::0000::{at}"}
    index = {"pk1": "restaurantOrder", "sk1": "+15550100000"}
    await server.store.put({**key, **index, "order": order, "expireAt": at + 7 * 24 * 3600})


async def test_same_as_last_time_is_ordered_again_at_prices_of_today(server: Server) -> None:
    line = {"line_item": "Large Pepperoni with mushrooms", "additonal_details": "no red onion"}
    await ordered_before(server, line)

    async with server.twilio.call(From=ADA) as call:
        heard = await call.say("the same as last time please", cycles=2)
        placed = await call.say("yes", cycles=2)
        (item,) = await server.items(call.relay.fields["CallSid"], "connection")

    assert '"Large Pepperoni with mushrooms (no red onion)"; 99.00 dollars' in str(item)
    assert "1 large Pepperoni pizza with mushrooms without red onion, for pickup" in heard.text
    assert "Today the total is $23.50" in heard.text
    assert "the total is $23.50" in placed.text
    assert await server.orders(ADA) == [
        {"order_items": [line], "order_type": "pickup", "order_total": 99},
        pizza_order("no red onion"),
    ]
    assert call.ledger.departures == []


async def test_what_is_gone_from_the_menu_since_last_time_is_said(server: Server) -> None:
    await ordered_before(server, {"line_item": "Small Hawaiian"}, {"line_item": "Tomato Soup"})

    async with server.twilio.call(From=ADA) as call:
        heard = await call.say("the same as last time please", cycles=2)

    assert "I am sorry, Small Hawaiian is not on our menu any more." in heard.text
    assert "I have 1 Tomato Soup, for pickup. Today the total is $8.50" in heard.text


async def test_address_that_was_spelled_is_saved_and_known_in_the_next_call(server: Server) -> None:
    await server.know(GRACE, useCase="restaurantOrderingUseCase")

    async with server.twilio.call(From=GRACE) as call:
        heard = await call.say("my email is g r a c e dot double o at example dot com")
        between = await server.items(GRACE, "profile")
        await call.say("yes that is right")
    (profile,) = await server.items(GRACE, "profile")
    next_call = await server.relay(From=GRACE)
    (item,) = await server.items(next_call.fields["CallSid"], "connection")

    assert "g, r, a, c, e, dot, o, o, at, e, x, a, m, p, l, e, dot, c, o, m." in heard.text
    assert between[0].get("email") is None
    assert (profile["firstName"], profile["email"]) == ("Grace", "grace.oo@example.com")
    assert profile["useCase"] == "restaurantOrderingUseCase"
    assert 'The e-mail address on file is "grace.oo@example.com"' in str(item["systemPrompt"])


async def test_tour_is_booked_and_found_again(server: Server) -> None:
    day = (datetime.now(UTC) + timedelta(days=1)).date()
    slots = await server.items("availableApartmentAppointments", f"{day}::")
    keys = [str(item["sk"]).split("::") for item in slots]
    times = [start for _, start, *kind in keys if kind == ["studio", "in-person"]]

    async with server.twilio.call(From=GRACE) as call:
        await call.say("i want to see the studio in person tomorrow")
        await call.say(f"at {times[0]}")
        booked = await call.say("yes please")
        appointments = await call.say("what are my appointments")

    assert "booked for" in booked.text
    assert times[0] in appointments.text
    (booking,) = await server.items(GRACE, "apartmentAppointment::")
    key = str(booking["sk"]).removeprefix("apartmentAppointment::")
    assert booking["appointment"] == {
        "date": str(day),
        "time": times[0],
        "type": "in-person",
        "apartmentType": "studio",
    }
    assert await server.items("availableApartmentAppointments", key) == []


async def test_guide_talks_about_physics_and_goes_on(server: Server) -> None:
    await server.know(STRANGER, useCase="albertEinsteinUseCase")

    async with server.twilio.call(From=STRANGER) as call:
        first = await call.say("what is relativity")
        more = await call.say("tell me more")

    assert "beam of light" in first.text
    assert "one speed for all" in more.text


async def test_newcomer_is_known_and_served_otherwise_in_the_next_call(
    service_settings: Settings, server: Server
) -> None:
    await server.know(STRANGER, useCase="defaultUseCase", email="ada@example.com")

    async with server.twilio.call(From=STRANGER) as call:
        await call.say("my name is ada lovelace")
        await call.say("yes")
        await call.say("the second one please")
    (profile,) = await server.items(STRANGER, "profile")
    next_call = await server.relay(From=STRANGER)

    assert service_settings.stack_use_case == "restaurantOrderingUseCase"
    assert (profile["firstName"], profile["lastName"]) == ("Ada", "Lovelace")
    assert profile["useCase"] == "apartmentSearchUseCase"
    assert profile["email"] == "ada@example.com"
    assert next_call.attributes["welcomeGreeting"].startswith("Hello Ada, this is Alder Way")
