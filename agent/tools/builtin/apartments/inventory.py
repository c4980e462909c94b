"""Apartments and tour slots, as the table stores them.

A free slot is one item with the key `<date>::<time>::<apartmentType>::<type>`, the date as
`YYYY-MM-DD` and the time as `2:00 PM`, to which each of the model's times is converted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal

import msgspec

from agent.errors import ToolError
from agent.ports import Item

BOOKING = "apartmentAppointment"
"""The beginning of a booking's sort key."""

Subject = Literal[
    "pet policy", "fees", "parking", "specials", "income requirements", "utilities", "location"
]
Layout = Literal["studio", "one-bedroom", "two-bedroom", "three-bedroom"]
Kind = Literal["in-person", "self-guided"]

_TWELVE = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s*([ap])\.?\s*m\.?", re.IGNORECASE)
_TWENTY_FOUR = re.compile(r"(\d{1,2})[:.](\d{2})(?:[:.]\d{2})?")


class Fees(msgspec.Struct, frozen=True, rename="camel"):
    """One-time fees in dollars."""

    application_fee: int | None = None
    security_deposit: int | None = None


class Location(msgspec.Struct, frozen=True, rename="camel"):
    """A postal address."""

    street: str = ""
    city: str = ""
    state: str = ""
    zip_code: str = ""


class Apartment(msgspec.Struct, frozen=True, rename="camel"):
    """One apartment layout."""

    layout: str
    rent: int
    """Dollars a month."""
    move_in_date: date
    """The first possible day."""
    square_feet: int | None = None
    features: tuple[str, ...] = ()
    pet_policy: str = ""
    fees: Fees = Fees()
    parking: str = ""
    specials: str = ""
    income_requirements: str = ""
    utilities: str = ""
    location: Location = Location()

    @property
    def overview(self) -> dict[str, object]:
        return {
            "layout": self.layout,
            "rent": self.rent,
            "squareFeet": self.square_feet,
            "moveInDate": self.move_in_date,
            "features": self.features,
            "specials": self.specials,
        }

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


def read_apartments(item: Item | None) -> dict[str, Apartment]:
    """The apartments by layout; `apartmentDetails` is JSON text or a map. Raises `ToolError`."""
    if item is None:
        raise ToolError("There is no data about the apartments, so no question can be answered.")
    details = item["apartmentDetails"]
    if isinstance(details, str):
        return msgspec.json.decode(details, type=dict[str, Apartment])
    return msgspec.convert(details, dict[str, Apartment], strict=False)


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
