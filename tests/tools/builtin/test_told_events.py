"""Events of the built-in tools are written in the same step as what they tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import msgspec
import pytest

from agent.call.actions import Entry
from agent.call.messages import ToolCall
from agent.errors import MessageError, MessageRefusal, MessageRefusedError, StoreError
from agent.events.outbox import TableOutbox, events_of_call
from agent.messaging.kept_messages import MemoryMessenger
from agent.ports import Item, Store, TextMessage
from agent.store.memory import MemoryStore
from agent.tools import TOOLS, CallContext, CallToolExecutor, HttpTools, ToolRegistry
from agent.tools.builtin.call_back import NOT_TAKEN
from agent.usecases.receivers import Receiver
from tests.fakes import Nowhere
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


async def test_a_call_back_is_told_once_for_a_number() -> None:
    store = await seeded()
    call = telling(store)

    used = ToolCall("call00001", "RequestCallBackFunction", '{"topic":"A late order."}')
    for entry in (None, None, Entry("4155550101")):
        await CallToolExecutor(TOOLS, call).run(used, entry)

    asked = {**FACTS, "number": ADA, "topic": "A late order.", "language": "en-US"}
    assert await payloads(store) == [
        ("callback.requested", asked),
        ("callback.requested", {**asked, "number": "4155550101"}),
    ]


async def test_a_call_back_that_no_system_takes_is_refused() -> None:
    store = await seeded()
    call = telling(store)
    elsewhere = replace(call, use_case="apartmentSearchUseCase")
    assert isinstance(call.outbox, TableOutbox)
    call.outbox.receivers = (msgspec.structs.replace(CRM, use_cases=("restaurantOrdering",)),)

    outcome = await run(elsewhere, "RequestCallBackFunction")

    assert outcome.is_error
    assert outcome.effect is None
    assert NOT_TAKEN in outcome.content
    assert await payloads(store) == []


async def test_a_call_back_is_not_promised_while_the_table_is_away() -> None:
    outcome = await run(telling(_LostStore()), "RequestCallBackFunction")

    assert (outcome.is_error, outcome.effect) == (True, None)


def test_the_tool_for_call_backs_is_offered_where_a_receiver_takes_them() -> None:
    outbox = TableOutbox(MemoryStore(), lambda: AFTERNOON)
    outbox.receivers = (msgspec.structs.replace(CRM, use_cases=("shop",)),)
    registry = ToolRegistry(TOOLS, {}, HttpTools(Nowhere(), {}), outbox=outbox)

    usable, _ = registry.choice_of("shop")
    others, unavailable = registry.choice_of("desk")

    assert "RequestCallBackFunction" in usable
    assert "RequestCallBackFunction" not in others
    assert unavailable == {"RequestCallBackFunction": "no receiver takes callback.requested"}


class _LostStore(MemoryStore):
    async def put(
        self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        raise StoreError("the table is away")


async def test_a_message_is_told_when_the_carrier_has_it() -> None:
    store, messenger = await seeded(), MemoryMessenger()
    call = telling(store, messenger=messenger)
    await told(call, "PlaceOrderFunction", **ORDER)

    for _ in range(2):
        await told(call, "SendRestaurantSmsFunction", message_type="order confirmation")

    [_, (kind, data)] = await payloads(store)
    assert kind == "message.sent"
    assert data == {**FACTS, "channel": "sms", "message": "SM1", "recipient": ADA}
    [text] = messenger.texts
    call_sid, _, key = text.reference.partition(".")
    assert call_sid == CALL_ID
    assert await store.get(CALL_ID, f"effect::{key}")


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
