"""Days and times of tours, in the form of the table's keys.

A free slot is one item; its key is `<date>::<time>::<apartmentType>::<type>` with the date as
`YYYY-MM-DD` and the time as `2:00 PM`. Models and callers write times in many ways, so everything
is brought to this one form before it is compared (seed section B5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal

from agent.errors import ToolError
from agent.ports import Item

Layout = Literal["studio", "one-bedroom", "two-bedroom", "three-bedroom"]
Kind = Literal["in-person", "self-guided"]

_TWELVE = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s*([ap])\.?\s*m\.?", re.IGNORECASE)
_TWENTY_FOUR = re.compile(r"(\d{1,2})[:.](\d{2})(?:[:.]\d{2})?")


@dataclass(frozen=True, slots=True)
class Slot:
    """A tour that can be taken once."""

    day: date
    start: time
    layout: str
    kind: str

    @property
    def key(self) -> str:
        """Sort key of the free slot."""
        return f"{self.day}::{written(self.start)}::{self.layout}::{self.kind}"

    @property
    def appointment(self) -> dict[str, str]:
        """The slot as items and tool results show it."""
        return {
            "date": str(self.day),
            "time": written(self.start),
            "type": self.kind,
            "apartmentType": self.layout,
        }

    def is_past(self, now: datetime) -> bool:
        """It has begun already."""
        return datetime.combine(self.day, self.start, now.tzinfo) <= now

    def day_ends(self, now: datetime) -> int:
        """The end of the slot's day in the zone of `now`, seconds since the epoch."""
        end = datetime.combine(self.day + timedelta(days=1), time(), now.tzinfo)
        return int(end.timestamp())


def written(start: time) -> str:
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
    """A time in any usual form: `14:00`, `2 pm`, `2:00 PM`, `noon`."""
    said = text.strip()
    if said.casefold() == "noon":
        return time(12)
    try:
        if found := _TWELVE.fullmatch(said):
            return _from_twelve(int(found[1]), int(found[2] or 0), found[3].casefold())
        if found := _TWENTY_FOUR.fullmatch(said):
            return time(int(found[1]), int(found[2]))
    except ValueError as error:
        raise ToolError(f"There is no time {text!r}.") from error
    raise ToolError(f"{text!r} is not a time. Write it like 2:00 PM.")


def _from_twelve(hour: int, minute: int, half: str) -> time:
    if not 1 <= hour <= 12:
        raise ValueError(hour)
    return time(hour % 12 + (12 if half == "p" else 0), minute)


def read_slot(item: Item) -> Slot:
    """The slot of a free slot's or a booking's item."""
    day, start, layout, kind = str(item["sk"]).split("::")[-4:]
    return Slot(date.fromisoformat(day), read_time(start), layout, kind)
