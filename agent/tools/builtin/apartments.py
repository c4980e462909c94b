"""Tools of the leasing assistant: list apartments, answer questions, book tours.

Booking deletes the item of a free slot and writes the booking in one step, so two callers never get
the same slot, without a lock. The booking's key contains the slot's, so the same caller's second
request finds it, also in another call; its index attributes name the slot, so that seeding leaves
out those taken. A slot that is taken or past is a refusal: it may be free again a moment later.

A free slot is one item with the key `<date>::<time>::<apartmentType>::<type>`, the date as
`YYYY-MM-DD` and the time as `2:00 PM`, to which each of the model's times is converted.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.call.messages import SideEffect
from agent.errors import ToolError
from agent.ports import Item
from agent.tools.tool import CallContext, Tool, tool
from agent.usecases.call_events import BookingMadeEvent

BOOKING = "apartmentAppointment"

Subject = Literal[
    "pet policy", "fees", "parking", "specials", "income requirements", "utilities", "location"
]
Layout = Literal["studio", "one-bedroom", "two-bedroom", "three-bedroom"]
Kind = Literal["in-person", "self-guided"]

_TWELVE = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s*([ap])\.?\s*m\.?", re.IGNORECASE)
_TWENTY_FOUR = re.compile(r"(\d{1,2})[:.](\d{2})(?:[:.]\d{2})?")
_Layout = Annotated[Layout, Meta(description="Layout.")]
_Kind = Annotated[Kind, Meta(description="Kind of tour.")]
_Day = Annotated[str, Meta(description="Day, YYYY-MM-DD.", max_length=40)]
_Time = Annotated[str, Meta(description="Time, e.g. 10:00 AM.", max_length=40)]
_NAMES = {"day": "date", "start": "time", "kind": "type", "layout": "apartmentType"}

_FREE = "availableApartmentAppointments"
_DAY_SECONDS = 24 * 60 * 60
_SHOWN_SLOTS = 6
_TAKEN = "This slot is not free. Check the availability again and offer another."


class _Fees(msgspec.Struct, frozen=True, rename="camel"):
    application_fee: int | None = None
    security_deposit: int | None = None


class _Location(msgspec.Struct, frozen=True, rename="camel"):
    street: str = ""
    city: str = ""
    state: str = ""
    zip_code: str = ""


class _Apartment(msgspec.Struct, frozen=True, rename="camel"):
    layout: str
    rent: int
    """Dollars a month."""
    move_in_date: date
    """The first possible day."""
    square_feet: int | None = None
    features: tuple[str, ...] = ()
    pet_policy: str = ""
    fees: _Fees = _Fees()
    parking: str = ""
    specials: str = ""
    income_requirements: str = ""
    utilities: str = ""
    location: _Location = _Location()

    @property
    def overview(self) -> dict[str, object]:
        shown = ("layout", "rent", "squareFeet", "moveInDate", "features", "specials")
        told: dict[str, object] = msgspec.to_builtins(self)
        return {name: told[name] for name in shown}

    @property
    def address(self) -> str:
        at = self.location
        return f"{at.street}, {at.city}, {at.state} {at.zip_code}" if at.street else ""

    def answer(self, subject: Subject) -> object:
        return self.address if subject == "location" else getattr(self, subject.replace(" ", "_"))


@dataclass(frozen=True, slots=True)
class TourSlot:
    """A tour that one caller can book."""

    day: date
    start: time
    layout: str
    kind: str

    @property
    def key(self) -> str:
        return f"{self.day}::{format_time(self.start)}::{self.layout}::{self.kind}"

    @property
    def appointment(self) -> dict[str, str]:
        return {
            "date": str(self.day),
            "time": format_time(self.start),
            "type": self.kind,
            "apartmentType": self.layout,
        }

    def is_past(self, now: datetime) -> bool:
        return datetime.combine(self.day, self.start, now.tzinfo) <= now

    def day_ends(self, now: datetime) -> int:
        """The end of the slot's day in the zone of `now`, epoch seconds."""
        end = datetime.combine(self.day + timedelta(days=1), time(), now.tzinfo)
        return int(end.timestamp())


class _NotFreeError(ToolError): ...


@tool("ListAvailableApartmentsFunction", rename=_NAMES)
async def list_apartments(
    call: CallContext,
    day: Annotated[str, Meta(description="Wanted move-in date, YYYY-MM-DD.", max_length=40)] = "",
    budget: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="Highest monthly rent.")
    ] = None,
    layout: Annotated[Layout | None, Meta(description="Layout.")] = None,
) -> dict[str, object]:
    """List apartments, optionally filtered by move-in date, rent and layout."""
    move_in = read_day(day, call.now) if day else None
    found = [
        each.overview
        for each in (await _apartments(call)).values()
        if (move_in is None or each.move_in_date <= move_in)
        and (budget is None or each.rent <= budget)
        and layout in {None, each.layout}
    ]
    message = "These apartments fit." if found else "No apartment fits; offer to change a wish."
    return {"availableApartments": found, "message": message}


@tool("CheckAvailabilityFunction", rename=_NAMES)
async def check_availability(
    call: CallContext,
    day: _Day,
    kind: _Kind,
    layout: _Layout,
    start: Annotated[
        str, Meta(description="Wanted time, e.g. 10:00 AM; leave out for any.", max_length=40)
    ] = "",
) -> dict[str, object]:
    """Look for free tour slots on a day, and near it if there are none."""
    wanted_day = read_day(day, call.now)
    wanted_time = read_time(start) if start.strip() else None
    that_day = await _free(call, layout, kind, f"{wanted_day}::")
    if exact := [slot for slot in that_day if slot.start == wanted_time]:
        return _slots(exact, "This slot is free.")
    if that_day and wanted_time is None:
        return _slots(that_day, "These slots are free on that day.")
    if that_day:
        return _slots(that_day, "That time is taken; these are free on the same day.")
    if other_days := await _free(call, layout, kind):
        return _slots(other_days, "Nothing is free on that day; these are free on other days.")
    return _slots([], "No slot of this kind is free at the moment.")


@tool(
    "ScheduleTourFunction",
    side_effect=SideEffect.IDEMPOTENT,
    filler="One moment, I am booking that for you.",
    rename=_NAMES,
    read_back=("date", "time", "type", "apartmentType"),
)
async def schedule_tour(
    call: CallContext, day: _Day, start: _Time, kind: _Kind, layout: _Layout
) -> dict[str, object]:
    """Book a free tour slot.

    Use it alone, after availability was confirmed and the caller has agreed to day and time.
    """
    slot = TourSlot(read_day(day, call.now), read_time(start), layout, kind)
    try:
        return await call.idempotency.once(
            BOOKING, slot.key, _booking(slot, call), partial(_book, call), repeatable=True
        )
    except _NotFreeError as error:
        return {"available": False, "message": str(error)}


@tool("CheckExistingAppointmentsFunction")
async def check_appointments(call: CallContext) -> dict[str, object]:
    """List the caller's booked tours."""
    items = await call.store.query(call.owner, f"{BOOKING}::")
    future = [slot for slot in _in_order(items) if not slot.is_past(call.now)]
    message = "These tours are booked." if future else "No tour is booked for this caller."
    return {"appointments": [slot.appointment for slot in future], "message": message}


@tool("CommonInquiriesFunction", rename={"subject": "inquiryType", "layout": "apartmentType"})
async def answer_inquiry(
    call: CallContext,
    subject: Annotated[Subject, Meta(description="Subject.")],
    layout: Annotated[Layout | None, Meta(description="Layout, if it matters.")] = None,
) -> dict[str, object]:
    """Answer standard questions about the house."""
    answers = {
        name: each.answer(subject)
        for name, each in (await _apartments(call)).items()
        if layout in {None, name}
    }
    if not answers:
        return {"inquiryDetails": {}, "message": "There is no data about this layout."}
    return {"inquiryDetails": answers, "message": f"This is what we have on: {subject}."}


async def has_booked(call: CallContext, slot: TourSlot) -> bool:
    """Whether this caller has booked the tour."""
    return await _is_stored(call, _booking(slot, call))


async def address_of(call: CallContext, layout: str) -> str:
    """The address of an apartment; empty if unknown."""
    with suppress(ToolError):
        if apartment := (await _apartments(call)).get(layout):
            return apartment.address
    return ""


async def _apartments(call: CallContext) -> dict[str, _Apartment]:
    """By layout; the attribute is JSON text or a map. Raises `ToolError`."""
    if (item := await call.store.get("apartments", "database")) is None:
        raise ToolError("There is no data about the apartments, so no question can be answered.")
    details = item["apartmentDetails"]
    if isinstance(details, str):
        details = msgspec.json.decode(details)
    return msgspec.convert(details, dict[str, _Apartment], strict=False)


async def _free(call: CallContext, layout: str, kind: str, day: str = "") -> list[TourSlot]:
    """The free slots in the future whose keys begin with `day`."""
    return [
        slot
        for slot in _in_order(await call.store.query(_FREE, day))
        if (slot.layout, slot.kind) == (layout, kind) and not slot.is_past(call.now)
    ]


def _in_order(items: list[Item]) -> list[TourSlot]:
    # As a key, "10:00 AM" would come before "9:00 AM".
    return sorted(map(read_slot, items), key=lambda slot: (slot.day, slot.start, slot.key))


def _slots(free: list[TourSlot], message: str) -> dict[str, object]:
    shown = [slot.appointment for slot in free[:_SHOWN_SLOTS]]
    return {"availableSlots": shown, "message": message}


def _booking(slot: TourSlot, call: CallContext) -> Item:
    return {
        "pk": call.owner,
        "sk": f"{BOOKING}::{slot.key}",
        "pk1": BOOKING,
        "sk1": slot.key,
        "appointment": slot.appointment,
        "neededUntil": slot.day_ends(call.now),
        "expireAt": slot.day_ends(call.now) + call.order_days * _DAY_SECONDS,
    }


async def _book(call: CallContext, booking: Item) -> dict[str, object]:
    if await _is_stored(call, booking):
        return {"available": True, "message": "The caller has booked this tour already."}
    slot = read_slot(booking)
    if slot.is_past(call.now):
        raise _NotFreeError("This time has passed. Offer another slot.")
    made = BookingMadeEvent(
        call=call.call_id,
        use_case=call.use_case,
        caller=call.caller,
        booking=str(booking["sk"]),
        appointment=slot.appointment,
    )
    beside = call.outbox.items(made, slot.key)
    is_booked = await call.store.move(_FREE, slot.key, booking, beside=beside)
    if not (is_booked or await _is_stored(call, booking)):
        raise _NotFreeError(_TAKEN)
    when = f"{slot.day:%A, %B} {slot.day.day} at {slot.appointment['time']}"
    message = f"The tour is booked: {when}, {slot.layout}, {slot.kind}."
    return {"available": True, "message": message}


async def _is_stored(call: CallContext, booking: Item) -> bool:
    return await call.store.get(str(booking["pk"]), str(booking["sk"])) is not None


def read_slot(item: Item) -> TourSlot:
    """The slot in the sort key of a free slot or a booking."""
    day, start, layout, kind = str(item["sk"]).split("::")[-4:]
    return TourSlot(date.fromisoformat(day), read_time(start), layout, kind)


def format_time(start: time) -> str:
    """A time as in the table: `2:00 PM`."""
    return f"{start:%I:%M %p}".lstrip("0")


def read_day(text: str, now: datetime) -> date:
    """A day of the model. Raises `ToolError` with today's date, so that the model can count."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        today = f"{now:%A}, {now.date()}"
        raise ToolError(f"{text!r} is not a day as YYYY-MM-DD. Today is {today}.") from error


def read_time(text: str) -> time:
    """A time in any usual form: `14:00`, `2 pm`, `2:00 PM`, `noon`. Raises `ToolError`."""
    stripped = text.strip()
    if stripped.casefold() == "noon":
        return time(12)
    try:
        if found := _TWELVE.fullmatch(stripped):
            return _from_twelve(int(found[1]), int(found[2] or 0), found[3].casefold())
        if found := _TWENTY_FOUR.fullmatch(stripped):
            return time(int(found[1]), int(found[2]))
    except ValueError as error:
        raise ToolError(f"There is no time {text!r}.") from error
    raise ToolError(f"{text!r} is not a time. Write it like 2:00 PM.")


def _from_twelve(hour: int, minute: int, half: str) -> time:
    if not 1 <= hour <= 12:
        raise ValueError(hour)
    return time(hour % 12 + (12 if half == "p" else 0), minute)


TOOLS: tuple[Tool, ...] = (
    list_apartments, check_availability, schedule_tour, check_appointments, answer_inquiry,
)  # fmt: skip
