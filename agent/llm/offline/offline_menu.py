"""What can be ordered from the offline model: dishes, toppings, and the words around them."""

from __future__ import annotations

from typing import Literal

import msgspec


class Topping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A topping; `heard` has other words for it."""

    name: str
    price: float
    heard: tuple[str, ...] = ()
    spoken: str = ""  # how the agent says it; empty = the name

    @property
    def said(self) -> str:
        return self.spoken or self.name


class OfflineMenuItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dish; one with a price per size needs a size and takes toppings."""

    name: str
    price: float | dict[str, float]
    heard: tuple[str, ...] = ()
    spoken: str = ""  # how the agent says it; empty = the name
    plural: str = ""  # of `spoken`; empty = with an s
    about: str = ""

    @property
    def has_sizes(self) -> bool:
        return isinstance(self.price, dict)


class OrderWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How the agent says an order; a menu of another language has its own."""

    line: str = "{quantity} {size} {name}"
    sizes: dict[str, tuple[str, str]] = {}  # size → one, several; others are said as they are
    adding: str = "with"
    leaving_out: str = "without"
    conjunction: str = "and"


_ARTICLES = {"a": 1, "an": 1, "another": 1, "a couple of": 2, "a couple": 2, "a pair of": 2}


class OfflineMenu(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What can be ordered, and the words that change an order."""

    items: tuple[OfflineMenuItem, ...]
    toppings: tuple[Topping, ...] = ()
    sizes: dict[str, tuple[str, ...]] = {}  # size → other words for it
    words: dict[
        Literal["add", "remove", "drop", "without", "with", "change", "not", "onto", "all"],
        tuple[str, ...],
    ] = {}
    """`drop` takes off the last line with a size; `onto` comes before the item that gets the
    toppings; after `all`, a size is for all lines."""
    quantities: dict[str, int] = msgspec.field(default_factory=_ARTICLES.copy)
    """Words for them, beside digits and the English number words."""
    spoken: OrderWords = OrderWords()
    closed_by: str = ""  # the tool after whose success the order does not change
    read_back: tuple[str, ...] = ()  # questions after which an item said again is the same line
