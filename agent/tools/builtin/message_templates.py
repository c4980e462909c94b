"""The words of messages: short, plain, and made of what the table holds.

Amounts have two digits. An SMS longer than `MAX_SMS` would be refused, so a long order names its
first lines and says how many more there are; its total is always there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from xml.etree import ElementTree as ET

import msgspec

from agent.ports import Item
from agent.tools.builtin.restaurant.ordering import StoredOrder

MAX_SMS = 1_500
"""Twilio takes 1,600 characters, and some count double."""


class Restaurant(msgspec.Struct, frozen=True):
    """What the menu item says of the house itself; each may be missing."""

    restaurant: str = ""
    address: str = ""
    hours: dict[str, str] | str = ""

    @property
    def name(self) -> str:
        """For the reader of a message."""
        return self.restaurant or "The restaurant"

    @property
    def opening(self) -> str:
        """The opening hours in one line; empty if they are not known."""
        if isinstance(self.hours, str):
            return self.hours
        return ", ".join(f"{day} {hours}" for day, hours in self.hours.items())


class _Line(msgspec.Struct):
    line_item: str = ""
    additional_details: str = ""
    line_amount: float = 0

    def __str__(self) -> str:
        remarks = f" ({self.additional_details})" if self.additional_details else ""
        return f"{self.line_item}{remarks}: {dollars(self.line_amount)}"


def read_restaurant(item: Item | None) -> Restaurant:
    """The restaurant of a menu item, which may be missing."""
    return msgspec.convert(item or {}, Restaurant, strict=False)


def dollars(amount: float) -> str:
    """An amount as on a bill: `$9.50`."""
    return f"${Decimal(str(amount)).quantize(Decimal('0.01'))}"


def order_text(order: StoredOrder, restaurant: Restaurant) -> str:
    """An order as an SMS."""
    head = f"{restaurant.name}: thank you for your order {_handed_over(order)}."
    total = f"Total: {dollars(order.order_total)}"
    room = MAX_SMS - len(head) - len(total) - len("\n\nand 99 more\n")
    return "\n".join([head, *_fitting(list(_lines(order)), room), total])


def order_html(order: StoredOrder, restaurant: Restaurant, name: str) -> str:
    """An order as the HTML of an e-mail; everything in it is escaped."""
    body = ET.Element("body")
    greeting = f"Hello {name}," if name else "Hello,"
    said = f"thank you for your order at {restaurant.name}, {_handed_over(order)}."
    ET.SubElement(body, "p").text = greeting
    ET.SubElement(body, "p").text = said
    lines = ET.SubElement(body, "ul")
    for line in _lines(order):
        ET.SubElement(lines, "li").text = line
    ET.SubElement(body, "p").text = f"Total: {dollars(order.order_total)}"
    return ET.tostring(body, encoding="unicode", method="html")


def tour_text(appointment: Mapping[str, str], day: str, place: str) -> str:
    """A booked tour as an SMS; `day` in words, `place` may be empty."""
    kind, layout = appointment["type"], appointment["apartmentType"]
    where = f" Address: {place}." if place else ""
    return f"Your tour is booked: {day} at {appointment['time']}, {layout}, {kind}.{where}"


def _handed_over(order: StoredOrder) -> str:
    to = f" to {order.delivery_address}" if order.delivery_address else ""
    return f"for {order.order_type}{to}"


def _lines(order: StoredOrder) -> Iterable[str]:
    return (str(msgspec.convert(line, _Line, strict=False)) for line in order.order_items)


def _fitting(lines: list[str], room: int) -> list[str]:
    """The first lines that have room, and how many do not."""
    shown = list(lines)
    while shown and len("\n".join(shown)) > room:
        shown.pop()
    left = len(lines) - len(shown)
    return [*shown, f"and {left} more"] if left else shown
