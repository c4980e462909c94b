"""Tools that write to the caller: SMS and e-mail (seed sections B5 to B7).

The model chooses what is sent and when; what stands in it comes from the table: the order this call
has placed (its `order_type` too, whatever the model says), the tour this caller has booked, hours
and address of the restaurant. An SMS goes to the number that calls, from the number that was
called, and nowhere else. An e-mail goes to the address of the profile, or to one that was read back
and that the caller has answered (`agent.tools.builtin.read_back`); the profile is left alone.

How many there may be says `agent.tools.builtin.message_limits`.

Each message is sent at most once in a call (`agent.tools.idempotency`, not repeatable). What
makes it
this one is what it is about: the order, the tour, or the kind of answer, and for an e-mail the
address. So hours worded in another way are no second message, an address that was corrected is. A
refusal (`MessageRefusedError`) becomes a `ToolError`: nothing happened, and it may be tried again.
Everything else stays unknown and is never repeated.

Who has texted STOP is known to Twilio, which refuses them; that is kept in the profile as
`smsOptedOut`, and they are not written to again until somebody takes it out. It is read anew each
time, since it may have been learned in this very call.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import msgspec
import structlog
from msgspec import Meta

from agent.call.messages import SideEffect
from agent.errors import MessageRefusal, MessageRefusedError, StoreError, ToolError
from agent.ports import Mail, TextMessage
from agent.tools.builtin.apartments.tours import address_of, has_booked
from agent.tools.builtin.appointment_slots import Kind, Layout, Slot, read_day, read_time
from agent.tools.builtin.caller_profile import EMAIL
from agent.tools.builtin.message_limits import take_places
from agent.tools.builtin.message_templates import (
    Restaurant,
    order_html,
    order_text,
    read_restaurant,
    tour_text,
)
from agent.tools.builtin.read_back import give_to_read_back, is_answered, spelled
from agent.tools.builtin.restaurant.ordering import OrderType, order_of_call
from agent.tools.idempotency import Plan, Result
from agent.tools.tool import CallContext, Tool, tool
from agent.usecases.caller_identity import is_email_address, is_telephone_number

log = structlog.get_logger(__name__)

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
NO_ORDER = "No order was placed in this call, so there is none to send."
_REFUSALS = {
    MessageRefusal.OPTED_OUT: OPTED_OUT,
    MessageRefusal.RECIPIENT: (
        "Nothing was sent: this number cannot receive our text messages. Say so."
    ),
    MessageRefusal.OTHER: "Nothing was sent: messages cannot be sent at the moment. "
    "Say so; do not promise"
    " it for later.",
}


class _Appointment(msgspec.Struct, forbid_unknown_fields=True):
    """A tour, as the caller has booked it."""

    date: Annotated[str, Meta(description="Day, YYYY-MM-DD.", max_length=40)]
    time: Annotated[str, Meta(description="Time.", max_length=40)]
    type: Annotated[Kind, Meta(description="Kind of tour.")]
    apartmentType: Annotated[Layout, Meta(description="Layout.")]  # noqa: N815 (B5)


@tool("SendRestaurantSmsFunction", side_effect=SideEffect.ONCE, filler=_FILLER, needs="sms")
async def send_restaurant_sms(
    call: CallContext,
    message_type: Annotated[
        Literal["order confirmation", "hours", "location"] | None,
        Meta(description="What to send."),
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
        hours = _told(restaurant, "opening hours", restaurant.opening)
        return await _text(call, ["hours"], hours)
    if message_type == "location":
        place = _told(restaurant, "address", restaurant.address)
        return await _text(call, ["location"], place)
    if (found := await order_of_call(call)) is None:
        raise ToolError(NO_ORDER)
    key, order = found
    return await _text(call, ["order", key], order_text(order, restaurant))


@tool("SendRestaurantEmailFunction", side_effect=SideEffect.ONCE, filler=_FILLER, needs="email")
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
    back, the one on file too, letter by letter where you are not sure, and wait for a clear yes. It
    sends nothing to an address that is not on file before the caller has answered it.
    """
    address = to_email.strip()
    if not is_email_address(address):
        raise ToolError(f"{address!r} is not an e-mail address. Ask the caller to spell it.")
    if (found := await order_of_call(call)) is None:
        raise ToolError(NO_ORDER)
    await _refuse_unanswered(call, address)
    key, order = found
    restaurant = await _restaurant(call)
    plan: Plan = {
        "to_email": address,
        "to_name": _one_line(f"{call.profile.first_name} {call.profile.last_name}"),
        "subject": f"Your order at {restaurant.name}",
        "html": order_html(order, restaurant, _one_line(call.profile.first_name)),
    }
    content = ["order", key, address.casefold()]
    perform = partial(_mail, call, call.ledger.key("email", content))
    return await call.ledger.once("email", content, plan, perform, repeatable=False)


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
    slot = Slot(day, start, appointment.apartmentType, appointment.type)
    if not await has_booked(call, slot):
        raise ToolError(
            "This caller has not booked this tour, so nothing was sent. "
            "Look with CheckExistingAppointmentsFunction which tours are booked."
        )
    said = f"{day:%A, %B} {day.day}"
    body = tour_text(slot.appointment, said, await address_of(call, slot.layout))
    return await _text(call, ["tour", slot.key], body)


async def _refuse_unanswered(call: CallContext, address: str) -> None:
    """Let an address pass that is on file or has been answered; else have it read back."""
    one_form = address.casefold()
    if one_form == call.profile.email.casefold() or await is_answered(call, EMAIL, one_form):
        return
    await give_to_read_back(call, EMAIL, one_form)
    raise ToolError(
        "Nothing was sent yet: the caller has not confirmed this address. Read it back, ask "
        "whether it is right, and after a clear yes call this again with the same address. It is: "
        f"{spelled(one_form)}."
    )


async def _restaurant(call: CallContext) -> Restaurant:
    """As the menu item says; where it does not, as the record of the use case does."""
    record, menu = await call.store.get_many(
        [(call.use_case, "configuration"), (call.use_case, "menu")]
    )
    return read_restaurant({**(record or {}), **(menu or {})})


def _told(restaurant: Restaurant, subject: str, words: str) -> str:
    if not words:
        raise ToolError(
            f"Nothing was sent: the {subject} of the restaurant are not in our records. "
            "Tell the caller what you know."
        )
    return f"{restaurant.name}, {subject}: {words}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


async def _text(call: CallContext, content: list[str], body: str) -> Result:
    """Send an SMS to the caller, once."""
    if not (is_telephone_number(call.caller) and is_telephone_number(call.to)):
        raise ToolError(NO_NUMBER)
    profile = await call.store.get(call.caller, "profile") or {}
    if profile.get("smsOptedOut"):
        raise ToolError(OPTED_OUT)
    plan: Plan = {"To": call.caller, "From": call.to, "MessageBody": body}
    perform = partial(_send, call, call.ledger.key("sms", content))
    return await call.ledger.once("sms", content, plan, perform, repeatable=False)


async def _send(call: CallContext, key: str, plan: Plan) -> Result:
    await take_places(call, "sms", key, str(plan["To"]))
    message = TextMessage(str(plan["From"]), str(plan["To"]), str(plan["MessageBody"]))
    try:
        sid = await call.messenger.text(message)
    except MessageRefusedError as error:
        if error.refusal is MessageRefusal.OPTED_OUT:
            await _remember_opt_out(call)
        raise ToolError(_REFUSALS[error.refusal]) from error
    return {"status": "sent", "sid": sid, "message": "The text message is on its way."}


async def _remember_opt_out(call: CallContext) -> None:
    """Without it Twilio refuses again, which does no harm."""
    attributes = {"smsOptedOut": True, "pk1": "profile", "sk1": call.caller}
    try:
        await call.store.merge(call.caller, "profile", attributes)
    except StoreError as error:
        log.warning("sms.opt_out_not_kept", error=type(error).__name__)


async def _mail(call: CallContext, key: str, plan: Plan) -> Result:
    await take_places(call, "email", key, str(plan["to_email"]))
    mail = Mail(*(str(plan[name]) for name in ("to_email", "to_name", "subject", "html")))
    try:
        await call.messenger.mail(mail)
    except MessageRefusedError as error:
        raise ToolError(_REFUSALS[error.refusal]) from error
    message = f"The e-mail to {mail.recipient} is on its way."
    return {"status": "sent", "to_email": mail.recipient, "message": message}


TOOLS: tuple[Tool, ...] = (send_restaurant_sms, send_restaurant_email, send_appointment_sms)
