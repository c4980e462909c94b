"""The caller's past orders and bookings, as the prompt and the tools present them.

Items may come from the predecessor: without order items, with either spelling of the remarks, or
with a key that ends differently. An unreadable item is skipped, and a text with a link left out. A
use case is given only the history that its own tools could look up. Delivery addresses are left out
on purpose: who calls from a number may hear what was ordered from it, but not where they live.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, tzinfo

import msgspec

from agent.call.text import has_link, line_in, whole_number
from agent.errors import ToolError
from agent.ports import Item
from agent.tools.builtin.apartments import BOOKING, format_time, read_slot
from agent.usecases.prompt import HistoryEntry

ORDER = "restaurantOrder"
_LOOKED_UP_BY = {
    ORDER: {"PlaceOrderFunction", "CheckPastOrdersFunction"},
    BOOKING: {"ScheduleTourFunction", "CheckExistingAppointmentsFunction"},
}
_MOST = 3
_LONGEST_TEXT = 300
_ORDER_TYPES = frozenset({"pickup", "delivery"})
_LATEST = 99_999_999_999


class OrderedLine(msgspec.Struct):
    """One line of a stored order."""

    line_item: str = ""
    additional_details: str = ""
    additonal_details: str = ""
    line_amount: object = 0
    """Dollars."""

    @property
    def text(self) -> str:
        remarks = _plain(self.additional_details or self.additonal_details)
        item = _plain(self.line_item) or "an item"
        return f"{item} ({remarks})" if remarks else item


class PlacedOrder(msgspec.Struct):
    """The attribute `order` of an order item."""

    order_items: list[OrderedLine] = []
    order_type: str = ""
    order_total: float = 0
    delivery_address: str | None = None

    @property
    def known_type(self) -> str:
        order_type = self.order_type.strip().casefold()
        return order_type if order_type in _ORDER_TYPES else ""


def key_prefixes(tools: Collection[str]) -> list[str]:
    """Prefixes of the sort keys that a use case with these tools may read."""
    return [f"{kind}::" for kind, names in _LOOKED_UP_BY.items() if not names.isdisjoint(tools)]


def read_history(items: Iterable[Item], zone: tzinfo) -> tuple[HistoryEntry, ...]:
    """The latest three readable orders and bookings of one caller's items, newest first."""
    read = (
        (_order if str(item["sk"]).startswith(f"{ORDER}::") else _tour)(item, zone)
        for item in items
    )
    return tuple(sorted(filter(None, read), key=lambda one: one.at, reverse=True)[:_MOST])


def ordered_at(item: Item) -> int:
    """When an order was placed, epoch seconds, from its sort key; 0 if unknown."""
    parts = str(item["sk"]).split("::")
    return (whole_number(parts[2], _LATEST) or 0) if len(parts) > 2 else 0


def read_order(item: Item) -> PlacedOrder | None:
    """The order of an order item; `None` if it cannot be read."""
    try:
        return msgspec.convert(item.get("order", {}), PlacedOrder, strict=False)
    except msgspec.ValidationError:
        return None


def _order(item: Item, zone: tzinfo) -> HistoryEntry | None:
    order, seconds = read_order(item), ordered_at(item)
    if order is None or not order.order_items or not seconds:
        return None
    return HistoryEntry(
        at=datetime.fromtimestamp(seconds, zone),
        kind=f"order for {order.known_type}" if order.known_type else "order",
        items=tuple(line.text for line in order.order_items),
        total=f"{order.order_total:.2f}",
    )


def _tour(item: Item, zone: tzinfo) -> HistoryEntry | None:
    try:
        slot = read_slot(item)
    except (ValueError, ToolError):
        return None
    at = datetime.combine(slot.day, slot.start, zone)
    return HistoryEntry(at, "tour", (f"{slot.layout}, {slot.kind}, at {format_time(slot.start)}",))


def _plain(text: str) -> str:
    line = line_in(text[:_LONGEST_TEXT])
    return "" if has_link(line) else line
