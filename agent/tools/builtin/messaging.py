"""Tools that send an SMS or an e-mail to the caller.

The model chooses what is sent; the text comes from the table. An SMS goes to the calling number, an
e-mail to an address that the caller has heard and agreed to (`agent.call.heard_confirmation`). Each
is sent at most once in a call (`agent.tools.idempotency`, not repeatable); its subject and address
distinguish it.

Before it is sent, a message takes a place: an item `message::<channel>::<place>` in the partition
of the call and in `usage::<number>`, for an e-mail `usage::<digest of the address>`, written only
if absent, so that two processes cannot take the same. `linked` names the latter, for the deletion
of a caller's data. A repeated or refused message keeps its place: trying out addresses is limited.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Literal
from xml.etree import ElementTree as ET

import msgspec
import structlog
from msgspec import Meta

from agent.call.messages import SideEffect
from agent.call.spoken_address import is_email_address
from agent.errors import MessageRefusal, MessageRefusedError, StoreError, ToolError
from agent.ports import Channel, Item, Mail, TextMessage
from agent.tools.builtin.apartments import (
    Kind,
    Layout,
    TourSlot,
    address_of,
    has_booked,
    read_day,
    read_time,
)
from agent.tools.builtin.caller_profile import remember
from agent.tools.builtin.order_history import PlacedOrder
from agent.tools.builtin.restaurant import OrderType, order_of_call
from agent.tools.idempotency import (
    NOT_BEGUN,
    EffectState,
    IdempotencyRecord,
    Plan,
    Result,
)
from agent.tools.tool import CallContext, Tool, tool
from agent.usecases.call_events import CallEvent, MessageFailedEvent, MessageSentEvent
from agent.usecases.caller_identity import is_telephone_number

log = structlog.get_logger(__name__)

_PER_CALL = 2
"""By one channel."""
PER_DAY = 10
"""Of one caller, and to one recipient, by one channel."""
MAX_SMS = 1_500
"""Characters. Twilio takes 1,600, and some count double."""
_DAY_SECONDS = 24 * 60 * 60

_Send = Callable[[CallContext, Plan], Awaitable[Result]]

_FILLER = "One moment, I am sending that to you."
_NOT_USED = "Not used: the words come from our records."

NO_NUMBER = (
    "No text message can be sent in this call: the caller's number, or ours, cannot be texted. "
    "Say so, and tell the caller the details instead."
)
OPTED_OUT = (
    "Nothing was sent: this number has unsubscribed from our text messages. Tell the caller so, "
    "and tell the details instead. Texting START to our number would subscribe it again."
)
TOO_MANY = (
    "Nothing was sent: no more messages of this kind can be sent {}. Say so, and tell the caller "
    "the details instead."
)
_REFUSALS = {
    MessageRefusal.OPTED_OUT: OPTED_OUT,
    MessageRefusal.RECIPIENT: (
        "Nothing was sent: this number cannot receive our text messages. Say so."
    ),
    MessageRefusal.OTHER: (
        "Nothing was sent: messages cannot be sent at the moment. Say so; do not promise it for "
        "later."
    ),
}


class _Appointment(msgspec.Struct, forbid_unknown_fields=True):
    """A tour, as the caller has booked it."""

    date: Annotated[str, Meta(description="Day, YYYY-MM-DD.", max_length=40)]
    time: Annotated[str, Meta(description="Time.", max_length=40)]
    type: Annotated[Kind, Meta(description="Kind of tour.")]
    apartmentType: Annotated[Layout, Meta(description="Layout.")]  # noqa: N815 (the model's name)


class Restaurant(msgspec.Struct, frozen=True):
    """What the menu item says of the restaurant; each value may be missing."""

    restaurant: str = ""
    address: str = ""
    hours: dict[str, str] | str = ""

    @property
    def name(self) -> str:
        return self.restaurant or "The restaurant"

    @property
    def opening(self) -> str:
        if isinstance(self.hours, str):
            return self.hours
        return ", ".join(f"{day} {hours}" for day, hours in self.hours.items())


@tool(
    "SendRestaurantSmsFunction",
    side_effect=SideEffect.ONCE,
    filler=_FILLER,
    needs="sms",
)
async def send_restaurant_sms(
    call: CallContext,
    message_type: Annotated[
        Literal["order confirmation", "hours", "location"] | None, Meta(description="What to send.")
    ] = None,
    restaurant_hours: Annotated[str, Meta(description=_NOT_USED)] = "",
    restaurant_location: Annotated[str, Meta(description=_NOT_USED)] = "",
) -> Result:
    """Send an SMS with the order, the opening hours or the address to the caller's number.

    Its words come from our records. Use it only when the caller has agreed to it; for an order,
    after the order is placed.
    """
    restaurant = await _restaurant(call)
    if message_type == "hours":
        words = _about(restaurant, "opening hours", restaurant.opening)
        return await _text(call, [message_type], words)
    if message_type == "location":
        words = _about(restaurant, "address", restaurant.address)
        return await _text(call, [message_type], words)
    key, order = await order_of_call(call)
    return await _text(call, ["order", key], order_text(order, restaurant))


@tool(
    "SendRestaurantEmailFunction",
    side_effect=SideEffect.ONCE,
    filler=_FILLER,
    needs="email",
    read_back=("to_email",),
)
async def send_restaurant_email(
    call: CallContext,
    to_email: Annotated[
        str,
        Meta(
            description="The address, exactly as read back to the caller and confirmed.",
            min_length=3,
            max_length=254,
        ),
    ],
    order_type: Annotated[OrderType | None, Meta(description="How it is handed over.")] = None,
    message_type: Annotated[
        Literal["order confirmation"] | None, Meta(description="What to send.")
    ] = None,
) -> Result:
    """Send the order confirmation by e-mail.

    Use it after the order is placed, and only when the caller wants it. First read the address
    back, the one on file too, letter by letter where you are not sure, and wait for a clear yes.
    """
    address = to_email.strip()
    if not is_email_address(address):
        raise ToolError(f"{address!r} is not an e-mail address. Ask the caller to spell it.")
    key, order = await order_of_call(call)
    restaurant = await _restaurant(call)
    plan: Plan = {
        "to_email": address,
        "to_name": " ".join(f"{call.profile.first_name} {call.profile.last_name}".split()),
        "subject": f"Your order at {restaurant.name}",
        "html": order_html(order, restaurant, " ".join(call.profile.first_name.split())),
    }
    return await _once(call, "email", ["order", key, address.casefold()], plan, _mail)


@tool(
    "SendAppointmentConfirmationSmsFunction",
    side_effect=SideEffect.ONCE,
    filler=_FILLER,
    needs="sms",
    rename={"appointment": "appointmentDetails"},
)
async def send_appointment_sms(
    call: CallContext,
    appointment: Annotated[_Appointment, Meta(description="The tour that was booked.")],
) -> Result:
    """Send the tour details to the caller by SMS.

    Use it only after the tour was booked, and when the caller has agreed to it.
    """
    day, start = read_day(appointment.date, call.now), read_time(appointment.time)
    slot = TourSlot(day, start, appointment.apartmentType, appointment.type)
    if not await has_booked(call, slot):
        raise ToolError(
            "This caller has not booked this tour, so nothing was sent. "
            "Look with CheckExistingAppointmentsFunction which tours are booked."
        )
    place = await address_of(call, slot.layout)
    where = f" Address: {place}." if place else ""
    when = f"{day:%A, %B} {day.day} at {slot.appointment['time']}"
    body = f"Your tour is booked: {when}, {slot.layout}, {slot.kind}.{where}"
    return await _text(call, ["tour", slot.key], body)


async def _restaurant(call: CallContext) -> Restaurant:
    """What the menu item lacks is taken from the record of the use case."""
    keys = [(call.use_case, "configuration"), (call.use_case, "menu")]
    record, menu = await call.store.get_many(keys)
    return msgspec.convert({**(record or {}), **(menu or {})}, Restaurant, strict=False)


def _about(restaurant: Restaurant, subject: str, words: str) -> str:
    if not words:
        raise ToolError(
            f"Nothing was sent: the {subject} of the restaurant are not in our records. "
            "Tell the caller what you know."
        )
    return f"{restaurant.name}, {subject}: {words}"


async def _text(call: CallContext, content: list[str], body: str) -> Result:
    if not (is_telephone_number(call.caller) and is_telephone_number(call.to)):
        raise ToolError(NO_NUMBER)
    # Read each time: this very call may have learned it.
    profile = await call.store.get(call.caller, "profile") or {}
    if profile.get("smsOptedOut"):
        raise ToolError(OPTED_OUT)
    plan: Plan = {"To": call.caller, "From": call.to, "MessageBody": body}
    reference = f"{call.call_id}.{call.idempotency.key('sms', content)}"
    return await _once(call, "sms", content, plan, partial(_send, reference=reference))


async def _once(
    call: CallContext, channel: Channel, content: list[str], plan: Plan, send: _Send
) -> Result:
    key = call.idempotency.key(channel, content)
    facts = {"call": call.call_id, "use_case": call.use_case, "caller": call.caller}

    async def perform(plan: Plan) -> Result:
        await _take_places(call, channel, key, str(plan.get("To") or plan["to_email"]))
        try:
            return await send(call, plan)
        except MessageRefusedError as error:
            if error.refusal is MessageRefusal.OPTED_OUT:
                await _store_opt_out(call)
            raise ToolError(_REFUSALS[error.refusal]) from error

    return await call.idempotency.once(
        channel,
        content,
        plan,
        perform,
        repeatable=False,
        beside=lambda record: call.outbox.items(*event_of(facts, key, record)),
    )


def event_of(
    call: Mapping[str, str], key: str, record: IdempotencyRecord
) -> tuple[CallEvent, object]:
    """What became of a message, and what distinguishes that; `call` is what every event has."""
    plan, result = record.plan, record.result
    recipient = str(plan.get("To") or plan["to_email"])
    facts: dict[str, Any] = {**call, "channel": record.effect, "recipient": recipient}
    content = [key, record.attempt, record.state]
    if record.state is EffectState.DONE:
        return MessageSentEvent(**facts, message=str(result.get("sid", ""))), content
    return MessageFailedEvent(**facts, reason=str(record.state)), content


async def _send(call: CallContext, plan: Plan, reference: str) -> Result:
    sender, recipient, body = (str(plan[name]) for name in ("From", "To", "MessageBody"))
    sid = await call.messenger.text(TextMessage(sender, recipient, body, reference))
    return {"status": "sent", "sid": sid, "message": "The text message is on its way."}


async def _mail(call: CallContext, plan: Plan) -> Result:
    mail = Mail(*(str(plan[name]) for name in ("to_email", "to_name", "subject", "html")))
    await call.messenger.mail(mail)
    message = f"The e-mail to {mail.recipient} is on its way."
    return {"status": "sent", "to_email": mail.recipient, "message": message}


async def _store_opt_out(call: CallContext) -> None:
    """A failure is only logged: Twilio refuses the next message again."""
    try:
        await remember(call, {"smsOptedOut": True})
    except StoreError as error:
        log.warning("sms.opt_out_write_failed", error=type(error).__name__)


async def _take_places(call: CallContext, channel: Channel, message: str, recipient: str) -> None:
    """The same message again needs no further place."""
    address = recipient.casefold()
    if channel == "email":  # keys hold no addresses
        address = sha256(address.encode()).hexdigest()[:32]
    linked = [f"usage::{each}" for each in dict.fromkeys((call.caller, address)) if each]
    limits = {
        call.call_id: (_PER_CALL, "in this call"),
        **dict.fromkeys(linked, (PER_DAY, "today")),
    }
    own: Item = {"message": message, "callSid": call.call_id, "linked": linked}
    try:
        for partition, (most, when) in limits.items():
            if not await _take(call, partition, f"message::{channel}::", own, most):
                log.warning("message.limit_reached", channel=channel, limit=when)
                raise ToolError(TOO_MANY.format(when))
    except StoreError as error:
        log.warning("message.count_failed", channel=channel, error=type(error).__name__)
        raise ToolError(NOT_BEGUN) from error


async def _take(call: CallContext, partition: str, prefix: str, own: Item, most: int) -> bool:
    items = await call.store.query(partition, prefix)
    if any(item.get("message") == own["message"] for item in items):
        return True
    taken = {item["sk"] for item in items}
    expires = int(call.clock()) + _DAY_SECONDS
    for place in (f"{prefix}{number:03d}" for number in range(most)):
        item: Item = {**own, "pk": partition, "sk": place, "expireAt": expires}
        if place not in taken and await call.store.put(item, only_if_absent=True):
            return True
    return False


def order_text(order: PlacedOrder, restaurant: Restaurant) -> str:
    """At most `MAX_SMS` characters, with as many lines as fit."""
    head = f"{restaurant.name}: thank you for your order {_handed_over(order)}."
    total = f"Total: {_dollars(order.order_total)}"
    room = MAX_SMS - len(head) - len(total) - len("\n\nand 99 more\n")
    shown = list(_lines(order))
    while shown and len("\n".join(shown)) > room:
        shown.pop()
    left = len(order.order_items) - len(shown)
    return "\n".join([head, *shown, *([f"and {left} more"] if left else []), total])


def order_html(order: PlacedOrder, restaurant: Restaurant, name: str) -> str:
    """The HTML of an e-mail; all text in it is escaped."""
    body = ET.Element("body")
    thanks = f"thank you for your order at {restaurant.name}, {_handed_over(order)}."
    for paragraph in (f"Hello {name}," if name else "Hello,", thanks):
        ET.SubElement(body, "p").text = paragraph
    lines = ET.SubElement(body, "ul")
    for line in _lines(order):
        ET.SubElement(lines, "li").text = line
    ET.SubElement(body, "p").text = f"Total: {_dollars(order.order_total)}"
    return ET.tostring(body, encoding="unicode", method="html")


def _dollars(amount: object) -> str:
    return f"${Decimal(str(amount)).quantize(Decimal('0.01'))}"


def _handed_over(order: PlacedOrder) -> str:
    to = f" to {order.delivery_address}" if order.delivery_address else ""
    return f"for {order.order_type}{to}"


def _lines(order: PlacedOrder) -> Iterator[str]:
    for line in order.order_items:
        remarks = f" ({line.additional_details})" if line.additional_details else ""
        yield f"{line.line_item}{remarks}: {_dollars(line.line_amount)}"


TOOLS: tuple[Tool, ...] = (send_restaurant_sms, send_restaurant_email, send_appointment_sms)
