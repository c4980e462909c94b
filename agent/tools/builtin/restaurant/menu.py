"""Prices an order by the menu, not by the model.

What is not on the menu of the table is refused with the nearest names, and amounts of the model are
ignored. A remark must not name a topping unless to leave it out, because the kitchen would make it
unpaid, and no text may contain a link, because it is mailed and texted.

A table of the predecessor has no menu; there a line is taken as the model wrote it, with its
amount, which must be plausible. Rejected: refusing such an order, because nothing could be sold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from difflib import get_close_matches
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from agent.call.text import has_link, line_in
from agent.errors import ToolError
from agent.ports import Item
from agent.tools.builtin.restaurant.toppings import (
    Dish,
    Piece,
    Toppings,
    Wish,
    find_topping,
    sort_text,
    words_of,
)

Size = Literal["small", "medium", "large"]

_TOPPED = "pizza"
"""The section whose items can have toppings."""
_NOISE = frozenset({"a", "an", "the", "of", "order", "size", "sized", "pizza", "x"})
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ASKING = frozenset(
    words_of(
        "make it that this want instead please in to one upgrade upsize times pieces portion them"
        " these add extra another"
    )
)
"""Words around a requested size or number."""
_MORE = re.compile(r"x?\d+x?")
_COUNTS = {word: number for number, word in enumerate(_NUMBERS, start=1)}
_SIZES: tuple[Size, ...] = ("small", "medium", "large")
_CENT = Decimal("0.01")
_MOST_AMOUNT = Decimal(1_000)
_PARTS = re.compile(r"[,;.()]|\bwith\b|\bplus\b", re.IGNORECASE)


class OrderLine(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One line of the order."""

    line_item: Annotated[
        str, Meta(description="Item name as on the menu.", min_length=1, max_length=200)
    ]
    size: Annotated[Size | None, Meta(description="Size; pizzas need one.")] = None
    toppings: Annotated[
        Annotated[list[str], Meta(max_length=20)] | None,
        Meta(description="Extra toppings by name; name one twice for double."),
    ] = None
    quantity: Annotated[int, Meta(description="How many of this.", ge=1, le=50)] = 1
    additional_details: Annotated[
        str, Meta(description="Remarks for the kitchen, not toppings.", max_length=300)
    ] = ""
    additonal_details: Annotated[
        str, Meta(description="Older name of additional_details; do not use.", max_length=300)
    ] = ""
    line_amount: Annotated[
        float | None,
        Meta(description="Your sum for this line, all pieces of it; the menu decides."),
    ] = None


class MenuItem(msgspec.Struct, frozen=True):
    """A dish or drink; `price` or `sizes` is set."""

    name: str
    section: str
    price: Decimal | None = None
    sizes: dict[Size, Decimal] = {}
    description: str = ""


class Menu(msgspec.Struct, frozen=True, rename="camel"):
    """The table's item `menu` of a use case."""

    items: tuple[MenuItem, ...]
    toppings: dict[str, Decimal] = {}
    pickup_minutes: int = 15
    delivery_minutes: int = 45
    max_quantity: int = 100
    """Of one order."""
    max_total: Decimal = Decimal(1_000)


@dataclass(frozen=True, slots=True)
class PricedLine:
    """One line of an order, priced."""

    name: str
    size: str
    toppings: tuple[str, ...]
    quantity: int
    remarks: str
    amount: Decimal

    @property
    def title(self) -> str:
        count = f"{self.quantity} " if self.quantity > 1 else ""
        size = f"{self.size.capitalize()} " if self.size else ""
        added = f" with {' and '.join(self.toppings)}" if self.toppings else ""
        return f"{count}{size}{self.name}{added}"


NO_MENU = Menu(())


def read_menu(item: Item | None) -> Menu:
    """The menu of a table item; `NO_MENU` if there is none."""
    return NO_MENU if item is None else msgspec.convert(item, Menu, strict=False)


def price(line: OrderLine, menu: Menu) -> PricedLine:
    """Price one line. Raises `ToolError` naming what does not fit."""
    line = _plain(line)
    if menu is NO_MENU:
        return _as_written(line)
    head, *parts = _PARTS.split(line.line_item)
    counts, words = _take(words_of(head), lambda word: word.isdecimal() or word in _COUNTS)
    sizes, words = _take(words, _SIZES.__contains__)
    more_sizes, parts = _take([part.strip().casefold() for part in parts], _SIZES.__contains__)
    item = _find_item(words, menu, line.line_item)
    size, base = _sized(item, {*sizes, *more_sizes, *([line.size] if line.size else [])})
    toppings, pieces = _additions(line, parts, Dish(item.name, item.description, menu.toppings))
    for piece in pieces:
        _refuse_unpaid(piece, item, base, menu)
    remarks = ", ".join(piece.text for piece in pieces)
    if toppings and item.section != _TOPPED:
        raise ToolError(f"Toppings go on pizzas only, not on {item.name}.")
    quantity = _quantity(counts, line)
    each = base + sum((menu.toppings[topping] for topping in toppings), Decimal())
    return PricedLine(item.name, size, tuple(toppings), quantity, remarks, each * quantity)


def refuse_too_much(lines: Collection[PricedLine], menu: Menu) -> None:
    """Raise `ToolError` for an order that is larger than the menu allows."""
    pieces = sum(line.quantity for line in lines)
    total = sum(line.amount for line in lines)
    if pieces > menu.max_quantity or total > menu.max_total:
        raise ToolError(
            f"Nothing was ordered: an order may have at most {menu.max_quantity} pieces and cost "
            f"at most {menu.max_total} dollars. Tell the caller so, and offer a smaller order or a "
            "person."
        )


def free_text(text: str, what: str) -> str:
    """A text on one line. Raises `ToolError` if it contains a link."""
    if has_link(text):
        raise ToolError(
            f"{what} must have no link, address of a web page or e-mail address. Leave it out, and "
            "write a space after each full stop."
        )
    return line_in(text)


def _plain(line: OrderLine) -> OrderLine:
    return replace(
        line,
        line_item=free_text(line.line_item, "The name of an item"),
        toppings=[free_text(each, "A topping") for each in line.toppings or ()],
        additional_details=free_text(line.additional_details, "A remark"),
        additonal_details=free_text(line.additonal_details, "A remark"),
    )


def _as_written(line: OrderLine) -> PricedLine:
    name = f"{line.line_item} ".removeprefix(f"{line.quantity} ").strip()
    if not name:
        raise ToolError("A line has no name. Ask the caller what it is.")
    size = line.size if line.size and line.size not in name.casefold().split() else ""
    remarks = ", ".join(filter(None, _details(line)))
    amount = Decimal(str(line.line_amount or 0))
    if not (0 < amount <= _MOST_AMOUNT and (cents := amount.quantize(_CENT, ROUND_HALF_UP))):
        raise ToolError(
            f"{name!r} needs its line_amount in dollars, more than 0 and at most {_MOST_AMOUNT}."
        )
    return PricedLine(name, size, tuple(line.toppings or ()), line.quantity, remarks, cents)


def _details(line: OrderLine) -> Collection[str]:
    return dict.fromkeys([line.additional_details, line.additonal_details])


def _take(words: list[str], wanted: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    return [w for w in words if wanted(w)], [w for w in words if not wanted(w)]


def _find_item(words: list[str], menu: Menu, written: str) -> MenuItem:
    wanted = set(words) - _NOISE
    for item in menu.items:
        if set(words_of(item.name)) - _NOISE == wanted:
            return item
    names = [item.name for item in menu.items]
    raise ToolError(f"{written!r} is not on the menu. {_near(wanted, names)}")


def _sized(item: MenuItem, wanted: set[str]) -> tuple[str, Decimal]:
    if item.price is not None:
        if wanted:
            raise ToolError(f"{item.name} comes in one size only; leave the size out.")
        return "", item.price
    priced = {str(size): amount for size, amount in item.sizes.items()}
    found = wanted & priced.keys()
    if len(wanted) != 1 or not found:
        raise ToolError(f"{item.name} needs one size: {', '.join(priced)}. Ask the caller.")
    size = found.pop()
    return size, priced[size]


def _quantity(counts: list[str], line: OrderLine) -> int:
    named = {int(word) if word.isdecimal() else _COUNTS[word] for word in counts}
    named |= {line.quantity} if line.quantity > 1 or not named else set()
    quantity = named.pop()
    if named or not 1 <= quantity <= 50:
        raise ToolError(f"How many of {line.line_item!r}? Write it once, in quantity, 1 to 50.")
    return quantity


def _additions(line: OrderLine, parts: list[str], dish: Dish) -> tuple[list[str], list[Piece]]:
    """The toppings, each as often as listed (in a text it is no further portion), and remarks."""
    listed = [_topping_named(each, dish.toppings) for each in line.toppings or ()]
    written, left_out = sort_text(", ".join(parts), dish)
    mentioned, remarks = sort_text("; ".join(filter(None, _details(line))), dish)
    for piece in left_out:
        if piece.wish is Wish.OPEN:
            _topping_named(piece.text, dish.toppings)
    also = [each for each in dict.fromkeys([*written, *mentioned]) if each not in listed]
    return [*listed, *also], [*left_out, *remarks]


def _refuse_unpaid(piece: Piece, item: MenuItem, base: Decimal, menu: Menu) -> None:
    if piece.wish is not Wish.OPEN:
        return
    rest = piece.words - _NOISE - _ASKING
    larger = {size for size, amount in item.sizes.items() if amount > base}
    if rest and rest <= larger:
        raise ToolError(f"{piece.text!r} is no remark: write the size into size.")
    if rest and all(_MORE.fullmatch(word) or word in _COUNTS for word in rest):
        raise ToolError(f"{piece.text!r} is no remark: write how many into quantity.")
    for other in menu.items:
        name = set(words_of(other.name))
        is_dish = len(name) > 1 or piece.words & {*_SIZES, "pizza"}
        if other is not item and name <= piece.words and is_dish:
            raise ToolError(f"{piece.text!r} is no remark: {other.name} needs a line of its own.")


def _topping_named(text: str, toppings: Toppings) -> str:
    if (topping := find_topping(set(words_of(text)), toppings)) is None:
        near = _near(set(words_of(text)), list(toppings))
        raise ToolError(f"There is no topping {text!r}. {near}")
    return topping


def _near(wanted: set[str], names: list[str]) -> str:
    sharing = [name for name in names if wanted & set(words_of(name))]
    alike = get_close_matches(" ".join(sorted(wanted)), [name.casefold() for name in names])
    near = sharing or [name for name in names if name.casefold() in alike]
    return f"Close to it: {', '.join(near)}." if near else f"There is: {', '.join(names)}."
