"""SMS and e-mail tools: text, recipient, limits, at most once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.errors import MessageError, MessageRefusal, MessageRefusedError, StoreError
from agent.messaging.kept_messages import MemoryMessenger
from agent.ports import Item, Mail, TextMessage
from agent.store.memory import MemoryStore
from agent.tools import TOOLS, CallContext, HttpTools, ToolRegistry
from agent.tools.builtin.messaging import (
    MAX_SMS,
    NO_NUMBER,
    OPTED_OUT,
    PER_DAY,
    TOO_MANY,
    Restaurant,
    order_text,
)
from agent.tools.builtin.order_history import OrderedLine, PlacedOrder
from agent.tools.builtin.restaurant import NO_ORDER
from agent.tools.idempotency import NOT_BEGUN, UNKNOWN
from agent.usecases import Profile
from tests.fakes import Nowhere
from tests.tools.worlds import (
    ADA,
    AFTERNOON,
    RESTAURANT,
    call_of,
    refused,
    run,
    seeded,
    told,
)

SMS, EMAIL = "SendRestaurantSmsFunction", "SendRestaurantEmailFunction"
TOUR_SMS = "SendAppointmentConfirmationSmsFunction"
ORDER = [
    {"line_item": "Pepperoni", "size": "large", "toppings": ["mushrooms"],
     "additional_details": "well done"},
    {"line_item": "House Salad", "quantity": 2},
]  # fmt: skip
ORDER_TEXT = (
    "Harbor Oven: thank you for your order for pickup.\n"
    "Large Pepperoni with mushrooms (well done): $23.50\n"
    "2 House Salad: $20.00\n"
    "Total: $43.50"
)
TOUR = {
    "date": "2026-03-06", "time": "10:30 AM", "type": "in-person", "apartmentType": "studio",
}  # fmt: skip
KNOWN = Profile(ADA, "Ada", "Example", "ada@example.com")


async def order(call: CallContext, *lines: dict[str, object], **arguments: object) -> None:
    arguments = {"order_type": "pickup", **arguments, "current_order": lines or ORDER}
    await told(call, "PlaceOrderFunction", **arguments)


async def calling(
    store: MemoryStore | None = None, **options: Any
) -> tuple[CallContext, MemoryMessenger]:
    messenger = MemoryMessenger()
    return call_of(store or await seeded(), messenger=messenger, **options), messenger


async def ordering(caller: str = ADA) -> tuple[CallContext, MemoryMessenger]:
    """A call that has placed an order for pickup; an e-mail address is on file for Ada."""
    call, messenger = await calling(caller=caller, profile=KNOWN if caller else None)
    await order(call)
    return call, messenger


async def test_order_is_texted_to_who_calls_from_who_was_called() -> None:
    call, messenger = await ordering()

    answer = await told(call, SMS, message_type="order confirmation")

    assert answer == {"status": "sent", "sid": "SM1", "message": "The text message is on its way."}
    assert messenger.texts == [TextMessage(RESTAURANT, ADA, ORDER_TEXT)]


async def test_delivery_names_its_address() -> None:
    call, messenger = await calling()
    salad: dict[str, object] = {"line_item": "House Salad"}
    await order(call, salad, order_type="delivery", delivery_address="12 Main Street")

    await told(call, SMS)

    assert messenger.texts[0].body.splitlines() == [
        "Harbor Oven: thank you for your order for delivery to 12 Main Street.",
        "House Salad: $10.00",
        "Total: $10.00",
    ]


async def test_order_of_another_call_is_not_sent() -> None:
    call, messenger = await calling()
    await order(call_of(call.store, call_id="CA99999999999999999999999999991234"))

    said = [await refused(call, SMS), await refused(call, EMAIL, to_email="ada@example.com")]

    assert said == [NO_ORDER, NO_ORDER]
    assert (messenger.texts, messenger.mails) == ([], [])


@pytest.mark.parametrize("words", [{}, {"restaurant_hours": "evil", "restaurant_location": "evil"}])
@pytest.mark.parametrize(
    ("message_type", "body"),
    [
        (
            "hours",
            "Harbor Oven, opening hours: Monday closed, Tuesday 11 AM to 9 PM, "
            "Wednesday 11 AM to 9 PM, Thursday 11 AM to 9 PM, Friday 11 AM to 11 PM, "
            "Saturday 11 AM to 11 PM, Sunday closed",
        ),
        ("location", "Harbor Oven, address: 214 Lantern Street, Port Maple, Oregon 97000"),
    ],
)
async def test_hours_and_place_come_from_the_table(
    message_type: str, body: str, words: dict[str, str]
) -> None:
    call, messenger = await calling()

    await told(call, SMS, message_type=message_type, **words)

    assert [text.body for text in messenger.texts] == [body]


async def test_hours_may_stand_in_the_record_of_the_use_case() -> None:
    call, messenger = await calling(MemoryStore())
    record: dict[str, object] = {"pk": "restaurantOrderingUseCase", "sk": "configuration"}
    await call.store.put({**record, "restaurant": "Harbor Oven", "hours": "daily from 9 to 5"})

    await told(call, SMS, message_type="hours")

    assert messenger.texts[0].body == "Harbor Oven, opening hours: daily from 9 to 5"


@pytest.mark.parametrize("words", [{}, {"restaurant_hours": "Daily from 9"}])
async def test_unknown_hours_are_not_sent(words: dict[str, str]) -> None:
    call, messenger = await calling(MemoryStore())

    said = await refused(call, SMS, message_type="hours", **words)

    assert said == (
        "Nothing was sent: the opening hours of the restaurant are not in our records. "
        "Tell the caller what you know."
    )
    assert messenger.texts == []


def test_long_order_is_cut_and_keeps_its_total() -> None:
    line = OrderedLine("Garden with " + "basil " * 10, line_amount=22)
    long = PlacedOrder([line] * 50, "pickup", 1100)

    body = order_text(long, Restaurant("Harbor Oven"))

    assert len(body) <= MAX_SMS
    assert body.endswith(" more\nTotal: $1100.00")


async def test_email_has_what_sendgrid_is_given() -> None:
    profile = Profile(ADA, "Ada", "<b>Example", "ada.lovelace@example.org")
    call, messenger = await calling(profile=profile)
    await order(call, {"line_item": "House Salad", "additional_details": "no <i>nuts</i> & seeds"})

    answer = await told(
        call, EMAIL, to_email=" Ada.Lovelace@Example.org ", message_type="order confirmation"
    )

    assert answer["to_email"] == "Ada.Lovelace@Example.org"
    assert messenger.mails == [
        Mail(
            "Ada.Lovelace@Example.org",
            "Ada <b>Example",
            "Your order at Harbor Oven",
            "<body><p>Hello Ada,</p>"
            "<p>thank you for your order at Harbor Oven, for pickup.</p>"
            "<ul><li>House Salad (no &lt;i&gt;nuts&lt;/i&gt;, seeds): $10.00</li></ul>"
            "<p>Total: $10.00</p></body>",
        )
    ]
    assert (await call.store.get(ADA, "profile") or {}).get("email") is None


@pytest.mark.parametrize(
    "address",
    ["ada", "ada@example", "ada at example.com", "a@b.c,d@e.fg", "<a@b.cd>", "a@b.cd\nBcc: x@y.zz"],
)
async def test_address_that_is_none_is_asked_for_again(address: str) -> None:
    call, messenger = await ordering()

    said = await refused(call, EMAIL, to_email=address)

    assert said.endswith("is not an e-mail address. Ask the caller to spell it.")
    assert messenger.mails == []


async def test_a_call_sends_two_messages_by_each_channel() -> None:
    call, messenger = await ordering()
    await told(call, SMS)
    await told(call, SMS, message_type="hours")

    third = await refused(call, SMS, message_type="location")
    await told(call, SMS)
    await told(call, EMAIL, to_email="ada@example.com")

    assert third == TOO_MANY.format("in this call")
    assert (len(messenger.texts), len(messenger.mails)) == (2, 1)


@pytest.mark.parametrize("refusal", [MessageRefusal.OTHER, MessageRefusal.RECIPIENT])
async def test_a_message_that_was_refused_may_be_tried_again_and_counts_once(
    refusal: MessageRefusal,
) -> None:
    call, messenger = await ordering()
    messenger.fault = MessageRefusedError(refusal)
    said = [await refused(call, SMS) for _ in range(3)]
    messenger.fault = None

    await told(call, SMS)
    await told(call, SMS, message_type="hours")

    assert all(text.startswith("Nothing was sent: ") for text in said)
    assert len(messenger.texts) == 2


async def test_a_number_gets_so_many_messages_a_day() -> None:
    messenger, store = MemoryMessenger(), await seeded()
    for number in range(PER_DAY):
        call = call_of(store, call_id=f"CA{number}", messenger=messenger)
        await told(call, SMS, message_type="hours")

    call = call_of(store, call_id="CA99", messenger=messenger)
    said = await refused(call, SMS, message_type="hours")
    other = call_of(store, call_id="CA98", caller="+15550100002", messenger=messenger)
    await told(other, SMS, message_type="hours")

    assert said == TOO_MANY.format("today")
    assert len(messenger.texts) == PER_DAY + 1
    places = await store.query(f"usage::{ADA}", "message::sms::")
    assert {item["expireAt"] for item in places} == {int(AFTERNOON) + 24 * 60 * 60}


async def test_an_address_gets_so_many_messages_a_day_from_any_callers() -> None:
    messenger, store = MemoryMessenger(), await seeded()
    said = []
    for number in range(PER_DAY + 1):
        call = call_of(store, caller="", call_id=f"CA{number}", messenger=messenger)
        await order(call)
        outcome = await run(call, EMAIL, to_email="Ada@Example.com")
        said.append(outcome.is_error)

    assert said == [False] * PER_DAY + [True]
    assert len(messenger.mails) == PER_DAY


class _UncountedStore(MemoryStore):
    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        if sk_prefix.startswith("message::"):
            raise StoreError("the table is away")
        return await super().query(pk, sk_prefix)


async def test_a_message_that_cannot_be_counted_is_not_sent() -> None:
    call, messenger = await calling(_UncountedStore())
    await call.store.put({"pk": "restaurantOrderingUseCase", "sk": "menu", "hours": "daily"})

    said = await refused(call, SMS, message_type="hours")

    assert said == NOT_BEGUN
    assert messenger.texts == []


async def test_caller_without_a_number_gets_an_email_but_no_sms() -> None:
    call, messenger = await ordering(caller="")

    said = await refused(call, SMS)
    await told(call, EMAIL, to_email="ada@example.com")

    assert said == NO_NUMBER
    assert messenger.texts == []
    assert [(mail.recipient, mail.name) for mail in messenger.mails] == [("ada@example.com", "")]


@pytest.mark.parametrize(("caller", "to"), [("client:ada", RESTAURANT), (ADA, "terminal")])
async def test_only_telephone_numbers_are_texted(caller: str, to: str) -> None:
    call, messenger = await calling(caller=caller, to=to)

    assert await refused(call, SMS, message_type="hours") == NO_NUMBER
    assert messenger.texts == []


async def test_tour_is_texted_with_day_and_address() -> None:
    call, messenger = await calling(use_case="apartmentSearchUseCase")
    before = await refused(call, TOUR_SMS, appointmentDetails=TOUR)
    await told(call, "ScheduleTourFunction", **TOUR)

    await told(call, TOUR_SMS, appointmentDetails={**TOUR, "time": "10:30"})
    other = call_of(call.store, caller="+15550100002")
    of_another_caller = await refused(other, TOUR_SMS, appointmentDetails=TOUR)

    assert before == of_another_caller
    assert before.startswith("This caller has not booked this tour")
    assert messenger.texts == [
        TextMessage(
            RESTAURANT,
            ADA,
            "Your tour is booked: Friday, March 6 at 10:30 AM, studio, in-person. "
            "Address: 500 Alder Way, Port Maple, Oregon 97000.",
        )
    ]


async def test_repeats_send_nothing_more() -> None:
    call, messenger = await ordering()
    other_process = call_of(call.store, messenger=messenger, profile=KNOWN)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(told(call, SMS))
    again = await told(other_process, SMS, message_type="order confirmation")
    await told(call, SMS, message_type="hours", restaurant_hours="Daily from 9")
    await told(call, SMS, message_type="hours")
    await told(call, EMAIL, to_email="ada@example.com")
    await told(call, EMAIL, to_email="ADA@example.com")

    assert again["sid"] == "SM1"
    assert len(messenger.texts) == 2
    assert len(messenger.mails) == 1


async def test_corrected_address_and_new_order_are_new_messages() -> None:
    call, messenger = await ordering()
    await told(call, EMAIL, to_email="adda@example.com")
    await told(call, EMAIL, to_email="ada@example.com")
    await told(call, SMS)
    after = call_of(call.store, messenger=messenger, at=call.clock() + 60)
    await order(after, {"line_item": "Tomato Soup"})
    await told(after, SMS)

    assert [mail.recipient for mail in messenger.mails] == ["adda@example.com", "ada@example.com"]
    assert [text.body.splitlines()[1] for text in messenger.texts] == [
        "Large Pepperoni with mushrooms (well done): $23.50",
        "Tomato Soup: $8.50",
    ]


@pytest.mark.parametrize("tool", [SMS, EMAIL])
async def test_doubt_is_never_sent_again(tool: str) -> None:
    call, messenger = await ordering()
    arguments = {"to_email": "ada@example.com"} if tool == EMAIL else {}
    messenger.fault = MessageError("TimeoutError")
    first = await refused(call, tool, **arguments)
    messenger.fault = None

    second = await refused(call, tool, **arguments)

    assert (first, second) == (UNKNOWN, UNKNOWN)
    assert (messenger.texts, messenger.mails) == ([], [])


async def test_who_has_opted_out_is_not_texted_again() -> None:
    call, messenger = await ordering()
    await call.store.merge(ADA, "profile", {"firstName": "Ada"})
    messenger.fault = MessageRefusedError(MessageRefusal.OPTED_OUT)
    first = await refused(call, SMS)
    messenger.fault = None

    same_call = await refused(call, SMS, message_type="hours")
    next_call = call_of(call.store, call_id="CA2", messenger=messenger)
    later = await refused(next_call, SMS, message_type="location")

    assert [first, same_call, later] == [OPTED_OUT] * 3
    assert messenger.texts == []
    profile = await call.store.get(ADA, "profile") or {}
    assert (profile["smsOptedOut"], profile["firstName"]) == (True, "Ada")


class _ForgetfulStore(MemoryStore):
    async def merge(self, pk: str, sk: str, attributes: object) -> None:
        raise StoreError("the table is away")


async def test_opt_out_that_cannot_be_kept_is_told_all_the_same() -> None:
    call, messenger = await calling(_ForgetfulStore())
    messenger.fault = MessageRefusedError(MessageRefusal.OPTED_OUT)
    await call.store.put({"pk": "restaurantOrderingUseCase", "sk": "menu", "hours": "daily"})

    assert await refused(call, SMS, message_type="hours") == OPTED_OUT


async def test_tools_that_are_not_configured_are_not_offered() -> None:
    registry = ToolRegistry(TOOLS, {"email": "SENDGRID_API_KEY"}, HttpTools(Nowhere(), {}))

    assert registry.unavailable == {EMAIL: "not configured here: SENDGRID_API_KEY"}
    assert SMS in registry.choice_of("restaurantOrderingUseCase")[0]
    assert EMAIL not in registry.choice_of("restaurantOrderingUseCase")[0]
