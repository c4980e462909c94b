"""Lists a caller dictates, as values: an order is lines of dishes with sizes and toppings.

How the words of an utterance become lines is in `agent.llm.offline.dictation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from agent.llm.offline.script_record import Entry


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a list."""

    head: Entry
    quantity: int = 1
    one: Mapping[str, Entry] = field(default_factory=dict)
    many: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    """Modifiers the caller does not want and the line did not have: remarks."""

    @property
    def missing(self) -> str:
        """The first modifier the head needs and the line lacks."""
        return next((name for name in self.head.needs if name not in self.one), "")

    @property
    def amount(self) -> float:
        """Quantity times the price of the head, by its modifiers, and of the others."""
        others = [entry for entries in self.many.values() for entry in entries]
        each = sum(_price(entry, self.one) for entry in (self.head, *others))
        return round(self.quantity * each, 2)

    def takes(self, name: str) -> bool:
        """Whether a modifier makes sense here."""
        return name in self.head.needs or name in self.head.takes

    def with_one(self, name: str, entry: Entry) -> Line:
        """The line with this modifier, instead of another of the same name."""
        return replace(self, one={**self.one, name: entry})

    def with_many(self, name: str, entry: Entry) -> Line:
        """The line with one modifier more; twice is once."""
        had = tuple(each for each in self.many.get(name, ()) if each != entry)
        return replace(self, many={**self.many, name: (*had, entry)})

    def without(self, name: str, entry: Entry) -> Line:
        """The line without this modifier, or with a remark if it had none."""
        had = self.many.get(name, ())
        if entry in had:
            return replace(self, many={**self.many, name: tuple(e for e in had if e != entry)})
        return replace(self, left_out=tuple(dict.fromkeys((*self.left_out, entry.value))))

    def view(self) -> dict[str, object]:
        """The line for templates and calls."""
        name = self.head.spoken or self.head.value
        plural = name if self.quantity == 1 or name.endswith("s") else f"{name}s"
        return {
            "item": self.head.value,
            "name": plural,
            "quantity": self.quantity,
            "amount": self.amount,
            "leftOut": list(self.left_out),
            **{name: entry.value for name, entry in self.one.items()},
            **{name: [e.value for e in entries] for name, entries in self.many.items()},
        }


def _price(entry: Entry, one: Mapping[str, Entry]) -> float:
    if isinstance(entry.price, float):
        return entry.price
    return next((entry.price[e.value] for e in one.values() if e.value in entry.price), 0.0)


@dataclass(frozen=True, slots=True)
class LineList:
    """A list after an utterance, and what the utterance did to it."""

    lines: tuple[Line, ...] = ()
    one: Mapping[str, Entry] = field(default_factory=dict)
    """Modifiers that wait for a head."""
    many: tuple[tuple[str, Entry], ...] = ()
    added: tuple[Line, ...] = ()
    removed: tuple[Line, ...] = ()
    is_changed: bool = False
    unread: tuple[str, ...] = ()
    """What was to be read into it, and no line came of it."""

    @property
    def at_rest(self) -> LineList:
        """The same list after an utterance that did nothing to it."""
        return LineList(self.lines, self.one, self.many)

    def view(self) -> dict[str, object]:
        """The list for templates, conditions and calls."""
        lacking = next((line for line in self.lines if line.missing), None)
        return {
            "lines": [line.view() for line in self.lines],
            "count": len(self.lines),
            "total": round(sum(line.amount for line in self.lines), 2),
            "missing": lacking.missing if lacking else "",
            "lacking": lacking.view() if lacking else None,
            "added": [line.view() for line in self.added],
            "removed": [line.view() for line in self.removed],
            "changed": self.is_changed,
            "unread": list(self.unread),
            "waiting": {name: entry.value for name, entry in self.one.items()},
        }


def read_all(
    texts: Iterable[str], before: LineList, read: Callable[[str, LineList], LineList]
) -> LineList:
    """The list with the lines of texts that stand each for itself, as those of an earlier order.

    A text from which no line comes leaves nothing behind, and is kept as unread.
    """
    found = [(text, read(text, LineList()).lines) for text in texts]
    added = tuple(line for _, lines in found for line in lines)
    return replace(
        before.at_rest,
        lines=(*before.lines, *added),
        added=added,
        is_changed=bool(added),
        unread=tuple(text for text, lines in found if not lines),
    )
