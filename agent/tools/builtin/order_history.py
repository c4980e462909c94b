"""Past orders and bookings, read from the caller's partition of the table.

Items are as we, the predecessor or its sibling wrote them: perhaps without items, with either
spelling of the remarks, under a key that ends with a piece of a call's or a connection's id (seed
sections A7.5, B5 and B6). An item that cannot be read is passed over: it must not stop a call.

Words of an order are told as one line each. A text with a link (`agent.call.text`) is left
out: it may be older than that rule.

A use case is told of the dealings its own tools could look up, and of no others: a restaurant need
not know which apartments somebody looks at. Delivery addresses are left out on purpose. Whoever
calls from a number hears what was ordered from it, but not where somebody lives.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, tzinfo

import msgspec

from agent.call.text import has_link, line_in, whole_number
from agent.errors import ToolError
from agent.ports import Item
from agent.tools.builtin.appointment_slots import read_slot, written
from agent.usecases.prompt import HistoryEntry

ORDER = "restaurantOrder"
BOOKING = "apartmentAppointment"

_LOOKED_UP_BY = {
    ORDER: {"PlaceOrderFunction", "CheckPastOrdersFunction"},
    BOOKING: {"ScheduleTourFunction", "CheckExistingAppointmentsFunction"},
}
_MOST = 3
_LONGEST_TEXT = 300
_HANDOVERS = frozenset({"pickup", "delivery"})
_LATEST = 99_999_999_999
"""Seconds; in the year 5138."""


class OrderedLine(msgspec.Struct):
    """One of `order_items`, as far as it is told again."""

    line_item: str = ""
    additional_details: str = ""
    additonal_details: str = ""

    @property
    def words(self) -> str:
        """The line with its remarks: "Small Garden (no red onion)"."""
        remarks = _plain(self.additional_details or self.additonal_details)
        item = _plain(self.line_item) or "an item"
        return f"{item} ({remarks})" if remarks else item


class PlacedOrder(msgspec.Struct):
    """`order` of an order item (seed section A7.5), as far as it is told again."""

    order_items: list[OrderedLine] = []
    order_type: str = ""
    order_total: float = 0

    @property
    def handover(self) -> str:
        """How it was handed over; empty for what is no way of ours."""
        way = self.order_type.strip().casefold()
        return way if way in _HANDOVERS else ""


def prefixes(tools: Collection[str]) -> list[str]:
    """Beginnings of the sort keys of what a use case with these tools may be told of."""
    return [f"{kind}::" for kind, names in _LOOKED_UP_BY.items() if not names.isdisjoint(tools)]


def dealings(items: Iterable[Item], zone: tzinfo) -> tuple[HistoryEntry, ...]:
    """The latest three that can be read, the newest first.

    Args:
        items: Of one caller's partition, in any order.
        zone: Decides which day it was.
    """
    read = (_dealing(item, zone) for item in items)
    return tuple(sorted(filter(None, read), key=lambda one: one.at, reverse=True)[:_MOST])


def ordered_at(item: Item) -> int:
    """When an order was placed, seconds since the epoch, from its sort key; 0 if unknown."""
    parts = str(item["sk"]).split("::")
    return (whole_number(parts[2], _LATEST) or 0) if len(parts) > 2 else 0


def read_order(item: Item) -> PlacedOrder | None:
    """The order of an order item, if it can be read."""
    try:
        return msgspec.convert(item.get("order", {}), PlacedOrder, strict=False)
    except msgspec.ValidationError:
        return None


def _dealing(item: Item, zone: tzinfo) -> HistoryEntry | None:
    return (_order if str(item["sk"]).startswith(f"{ORDER}::") else _tour)(item, zone)


def _order(item: Item, zone: tzinfo) -> HistoryEntry | None:
    order, seconds = read_order(item), ordered_at(item)
    if order is None or not order.order_items or not seconds:
        return None
    return HistoryEntry(
        at=datetime.fromtimestamp(seconds, zone),
        kind=f"order for {order.handover}" if order.handover else "order",
        items=tuple(line.words for line in order.order_items),
        total=f"{order.order_total:.2f}",
    )


def _tour(item: Item, zone: tzinfo) -> HistoryEntry | None:
    try:
        slot = read_slot(item)
    except (ValueError, ToolError):
        return None
    at = datetime.combine(slot.day, slot.start, zone)
    return HistoryEntry(at, "tour", (f"{slot.layout}, {slot.kind}, at {written(slot.start)}",))


def _plain(text: str) -> str:
    """A text of an order as it may be told; empty if it has a link."""
    line = line_in(text[:_LONGEST_TEXT])
    return "" if has_link(line) else line
