"""Events of the built-in tools are written in the same step as what they tell."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import msgspec
import pytest

from agent.errors import MessageError, MessageRefusal, MessageRefusedError
from agent.events.outbox import TableOutbox, events_of_call
from agent.messaging.kept_messages import MemoryMessenger
from agent.ports import Store, TextMessage
from agent.store.memory import MemoryStore
from agent.tools import CallContext
from agent.usecases.receivers import Receiver
from tests.tools.failing_processes import DEATHS, DiedError, Fate, Mortal, mortal_store
from tests.tools.worlds import ADA, AFTERNOON, CALL_ID, call_of, run, seeded, told

CRM = Receiver(url="https://crm.example.com/", secret="S", personal_fields=True, name="crm")
ORDER: dict[str, object] = {
    "current_order": [
        {"line_item": "Lighthouse", "size": "large", "additional_details": "well done"}
    ],
    "order_type": "delivery",
    "delivery_address": "5 Harbor Lane",
}
TOUR = {
    "date": "2026-03-06", "time": "4:30 PM", "type": "in-person", "apartmentType": "studio",
}  # fmt: skip
FACTS = {"call": CALL_ID, "useCase": "restaurantOrderingUseCase", "caller": ADA}


def telling(store: Store, **given: Any) -> CallContext:
    """A call whose events a receiver wants."""
    moments = count(AFTERNOON, 0.001)
    outbox = TableOutbox(store, lambda: next(moments))
    outbox.receivers = (CRM,)
    return replace(call_of(store, **given), outbox=outbox)


async def payloads(store: MemoryStore) -> list[tuple[str, Any]]:
    """Kind and data of the events of the call, in order."""
    events = await events_of_call(store, CALL_ID)
    return [(event.kind, msgspec.json.decode(event.body)["data"]) for event in events]


async def test_an_order_is_told_with_its_lines() -> None:
    store = await seeded()

    for _ in range(2):
        await told(telling(store), "PlaceOrderFunction", **ORDER)

    [order] = await store.query(ADA, "restaurantOrder::")
    line = {"name": "Large Lighthouse", "amount": 24.0, "remarks": "well done"}
    assert await payloads(store) == [
        (
            "order.placed",
            {
                **FACTS,
                "order": order["sk"],
                "orderType": "delivery",
                "total": 24.0,
                "items": [line],
                "deliveryAddress": "5 Harbor Lane",
            },
        )
    ]


@pytest.mark.parametrize("touch", range(4))
@pytest.mark.parametrize("fate", DEATHS)
@pytest.mark.parametrize(
    ("name", "arguments", "kind"),
    [("PlaceOrderFunction", ORDER, "order.placed"), ("ScheduleTourFunction", TOUR, "booking.made")],
)
async def test_what_a_process_that_dies_has_done_is_told_if_and_only_if_it_was_done(
    touch: int, fate: Fate, name: str, arguments: dict[str, object], kind: str
) -> None:
    store = await seeded()
    dying = mortal_store(store, Mortal({touch: fate}))

    with pytest.raises(DiedError):
        await run(telling(dying), name, **arguments)
    done = [*await store.query(ADA, "restaurantOrder::"), *await store.query(ADA, "apartmentA")]
    early = await payloads(store)
    await told(telling(store), name, **arguments)

    assert len(early) == len(done)
    assert [told_kind for told_kind, _ in await payloads(store)] == [kind]


async def test_a_booking_is_told() -> None:
    store = await seeded()

    for _ in range(2):
        await told(telling(store), "ScheduleTourFunction", **TOUR)

    booking = f"apartmentAppointment::{TOUR['date']}::4:30 PM::studio::in-person"
    data = {**FACTS, "booking": booking, "appointment": TOUR}
    assert await payloads(store) == [("booking.made", data)]


async def test_a_message_is_told_when_the_carrier_has_it() -> None:
    store = await seeded()
    call = telling(store)
    await told(call, "PlaceOrderFunction", **ORDER)

    for _ in range(2):
        await told(call, "SendRestaurantSmsFunction", message_type="order confirmation")

    [_, (kind, data)] = await payloads(store)
    assert kind == "message.sent"
    assert data == {**FACTS, "channel": "sms", "message": "SM1", "recipient": ADA}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MessageRefusedError(MessageRefusal.RECIPIENT), "refused"),
        (MessageError("no answer"), "unknown"),
    ],
)
async def test_a_message_that_fails_is_told_with_the_reason(
    error: MessageError, reason: str
) -> None:
    class Failing(MemoryMessenger):
        async def text(self, message: TextMessage) -> str:
            raise error

    store = await seeded()
    call = telling(store, messenger=Failing())
    await told(call, "PlaceOrderFunction", **ORDER)

    outcome = await run(call, "SendRestaurantSmsFunction", message_type="order confirmation")

    [_, (kind, data)] = await payloads(store)
    assert (outcome.is_error, kind) == (True, "message.failed")
    assert data == {**FACTS, "channel": "sms", "reason": reason, "recipient": ADA}
