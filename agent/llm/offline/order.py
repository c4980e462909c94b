"""The order of a caller: which lines an utterance adds, changes or removes.

An utterance such as "two large Gardens with bacon and a house salad" is read from left to right:

- A quantity belongs to the next item; of several in a row the last counts ("two, no, three").
- A size or topping directly before an item belongs to it, otherwise to the line before. Without a
  line before, a size completes the first line that lacks one, or waits for the next item.
- A word that is both (pepperoni) is a topping after "with", "add" or another topping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agent.llm.offline.offline_menu import OfflineMenu, OfflineMenuItem, OrderWords, Topping
from agent.llm.offline.words import join, normalise

MAX_LINES = 40
_ONE_MORE = re.compile(r"\b(?:another|1 more)(?: 1)?(?: of (?:those|them|these))?(?: please)?$")
_INSTEAD = re.compile(r"\binstead(?: please)?$")
_COUNT = re.compile(r"(?:no )?(?:\d+|a (?:couple|pair))(?: of (?:those|them|these))?(?: please)?")
_ONLY_SIZE = re.compile(r"(?: (?:is|will|would|be|enough|fine|ok|good|please|1|1s|then|instead))*")
_JOINER = re.compile(r"\b(?:and|with|on|then|to|for)\b")
_EXPECTS_TOPPING = {"with", "without", "topping", "add"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order."""

    item: OfflineMenuItem
    quantity: int = 1
    size: str = ""
    toppings: tuple[Topping, ...] = ()
    left_out: tuple[Topping, ...] = ()  # unwanted ones that the line did not have
    words: OrderWords = field(default=OrderWords(), compare=False)

    @property
    def lacks_size(self) -> bool:
        return self.item.has_sizes and not self.size

    @property
    def name(self) -> str:
        name = self.item.spoken or self.item.name
        is_same = self.quantity == 1 or name.endswith("s")
        return name if is_same else self.item.plural or f"{name}s"

    @property
    def amount(self) -> float:
        """In dollars."""
        price = self.item.price
        each = price.get(self.size, 0.0) if isinstance(price, dict) else price
        return round(self.quantity * (each + sum(each.price for each in self.toppings)), 2)

    @property
    def spoken(self) -> str:
        """The line in words: `2 large Garden pizzas with bacon without red onion`."""
        words = self.words
        toppings = join([each.said for each in self.toppings], words.conjunction)
        left_out = join([each.said for each in self.left_out], words.conjunction)
        sizes = words.sizes.get(self.size, (self.size,))
        size = sizes[0 if self.quantity == 1 else -1]
        said = words.line.format(quantity=self.quantity, size=size, name=self.name)
        said = " ".join(said.split())
        said += f" {words.adding} {toppings}" if toppings else ""
        return said + (f" {words.leaving_out} {left_out}" if left_out else "")

    @property
    def arguments(self) -> dict[str, object]:
        arguments = {
            "line_item": self.item.name,
            "size": self.size,
            "toppings": [each.name for each in self.toppings],
            "quantity": self.quantity,
            "additional_details": (
                f"no {' or '.join(each.name for each in self.left_out)}" if self.left_out else ""
            ),
            "line_amount": self.amount,
        }
        return {name: value for name, value in arguments.items() if value}

    def with_topping(self, topping: Topping) -> Line:
        return replace(self, toppings=(*(t for t in self.toppings if t != topping), topping))

    def without_topping(self, topping: Topping) -> Line:
        """The line without a topping, or with a remark if it did not have it."""
        if topping in self.toppings:
            return replace(self, toppings=tuple(t for t in self.toppings if t != topping))
        return replace(self, left_out=tuple(dict.fromkeys((*self.left_out, topping))))


@dataclass(frozen=True, slots=True)
class Order:
    """An order after an utterance."""

    lines: tuple[Line, ...] = ()
    size: str = ""
    toppings: tuple[Topping, ...] = ()
    quantity: int = 0  # with `size` and `toppings`: what waits for an item; 0 = none was said
    news: Mapping[str, object] = field(default_factory=dict)  # what this utterance did

    def view(self) -> Mapping[str, object]:
        return {
            "lines": [line.spoken for line in self.lines],
            "items": [line.arguments for line in self.lines],
            "total": round(sum(line.amount for line in self.lines), 2),
            "lacking": next((line.name for line in self.lines if line.lacks_size), ""),
            "size": self.size,
            **self.news,
        }


_Value = OfflineMenuItem | Topping | str | int


@dataclass(frozen=True, slots=True)
class _Mention:
    start: int
    end: int
    kind: str  # `item`, `size`, `topping`, `quantity`, or a key of `OfflineMenu.words`
    value: _Value
    topping: Topping | None = None  # the other meaning of an item's name


class OrderReader:
    """Reads utterances into an order; keeps no state."""

    def __init__(self, menu: OfflineMenu) -> None:
        self._phrases: dict[str, _Mention] = {}
        for word, phrases in menu.words.items():
            self._learn(phrases, word, word)
        for topping in menu.toppings:
            self._learn((topping.name, *topping.heard), "topping", topping)
        for size, phrases in menu.sizes.items():
            self._learn((size, *phrases), "size", size)
        for item in menu.items:
            self._learn((item.name, *item.heard), "item", item)
        for words, quantity in menu.quantities.items():
            self._learn((words,), "quantity", quantity)
        self._words = menu.spoken
        longest_first = sorted(map(re.escape, self._phrases), key=len, reverse=True)
        self._expression = re.compile(
            rf"\b(?:({'|'.join(longest_first)})(?:'s|e?s)?|(?P<number>\d{{1,2}}))\b"
        )

    def _learn(self, phrases: Iterable[str], kind: str, value: _Value) -> None:
        for phrase in filter(None, map(normalise, phrases)):
            known = self._phrases.get(phrase)
            topping = known.value if known and isinstance(known.value, Topping) else None
            self._phrases[phrase] = _Mention(0, 0, kind, value, topping)

    def read(self, text: str, before: Order, *, is_repeating: bool = False) -> Order:
        """The order after normalised words; while repeating, an item said again is no new line."""
        mentions = _items_first(map(self._mention, self._expression.finditer(text)))
        return _Utterance(mentions, text, before, self._words, is_repeating=is_repeating).read()

    def read_earlier(self, texts: Iterable[object], before: Order) -> Order:
        """The order with the lines of an earlier one; what is no text is ignored."""
        known = (text for text in texts if isinstance(text, str))
        found = {text: self.read(normalise(text), Order()).lines for text in known}
        added = [line for lines in found.values() for line in lines]
        news = {
            "added": [line.spoken for line in added],
            "changed": bool(added),
            "unread": [text for text, lines in found.items() if not lines],
        }
        return replace(before, lines=(*before.lines, *added), news=news)

    def _mention(self, found: re.Match[str]) -> _Mention:
        if found["number"]:
            return _Mention(*found.span(), "quantity", int(found["number"]))
        return replace(self._phrases[found[1]], start=found.start(), end=found.end())


class _Utterance:
    def __init__(
        self,
        mentions: list[_Mention],
        text: str,
        before: Order,
        words: OrderWords,
        *,
        is_repeating: bool,
    ) -> None:
        self._mentions = mentions
        self._text = text
        self._before = before
        self._words = words
        self._is_repeating = is_repeating
        self._lines = list(before.lines)
        self._size = before.size
        self._toppings = list(before.toppings)
        self._mode = "add"
        self._previous = ""
        self._quantity = before.quantity
        self._current: int | None = None
        self._target: int | None = None  # the line that "change" is about
        self._is_for_all = False
        self._is_instead = bool(_INSTEAD.search(text))
        self._named: OfflineMenuItem | None = None

    def read(self) -> Order:
        for position, mention in enumerate(self._mentions):
            value: _Value = mention.value
            if mention.topping is not None and self._is_topping(mention.topping):
                value = mention.topping
            match value:
                case int():
                    self._quantity = value
                case OfflineMenuItem():
                    self._read_item(value)
                case Topping():
                    self._read_topping(value, position)
                case _ if mention.kind == "size":
                    self._read_size(value, position)
                case _:
                    self._read_word(value)
            self._previous = "topping" if isinstance(value, Topping) else mention.kind
        if self._lines and self._named is None and _ONE_MORE.search(self._text):
            last = self._lines[-1]
            self._lines[-1] = replace(last, quantity=last.quantity + 1)
        elif self._is_about_quantity() and self._lines:
            target = -1 if self._target is None else self._target
            self._lines[target] = replace(self._lines[target], quantity=self._quantity)
        last_sized = self._last_with_sizes()
        is_size = _ONLY_SIZE.fullmatch(
            self._text[self._mentions[-1].end if self._mentions else 0 :]
        )
        if self._is_repeating and self._size and is_size and last_sized is not None:
            self._lines[last_sized] = replace(self._lines[last_sized], size=self._size)
            self._size = ""
        return self._result()

    def _is_about_quantity(self) -> bool:
        is_count = self._mode == "change" or _COUNT.fullmatch(self._text)
        return bool(self._quantity and is_count)

    def _read_word(self, word: str) -> None:
        if word == "all":
            self._is_for_all = True
        elif word == "drop":
            self._remove(self._last_with_sizes())
            self._mode = "add"
        elif word == "add":
            self._mode, self._is_repeating = "add", False
        elif word == "with" and self._mode == "without":
            self._mode = "add"
        elif word in {"remove", "without", "change", "not"}:  # the others only count as `_previous`
            self._mode, self._target = "change" if word == "not" else word, self._current

    def _is_topping(self, topping: Topping) -> bool:
        if self._mode == "remove":
            return any(topping in line.toppings for line in self._lines)
        return self._previous in _EXPECTS_TOPPING and self._last_with_sizes() is not None

    def _is_for_next(self, position: int) -> bool:
        """An item follows directly, without a word like "and" between."""
        here, *following = self._mentions[position : position + 2]
        is_item = bool(following) and following[0].kind == "item"
        return is_item and not _JOINER.search(self._text[here.end : following[0].start])

    def _read_item(self, item: OfflineMenuItem) -> None:
        known = self._find(item)
        if self._previous == "onto" and known is not None and self._mode != "change":
            self._current = known
            return
        if self._previous == "not" and known is None:
            return
        if self._mode == "remove":
            self._remove(known)
        elif (self._mode == "change" or self._is_instead) and self._lines:
            self._is_instead = False
            self._change_item(item, known)
        elif known is not None and (self._is_repeating or self._lines[known].lacks_size):
            self._complete(known)
        elif len(self._lines) < MAX_LINES:
            self._lines.append(Line(item, words=self._words))
            self._complete(len(self._lines) - 1)
        self._named, self._quantity = item, 0
        if self._mode == "without":
            self._mode = "add"

    def _change_item(self, item: OfflineMenuItem, known: int | None) -> None:
        """In "change the garden to a cheese" the first item names the line, the second replaces."""
        if known is not None and self._target is None:
            self._target = known
        elif known is None or known != self._target:
            self._target = len(self._lines) - 1 if self._target is None else self._target
            old = self._lines[self._target]
            kept = replace(old, item=item, left_out=())
            self._lines[self._target] = (
                kept if item.has_sizes else Line(item, old.quantity, words=self._words)
            )
        self._complete(self._target)

    def _complete(self, position: int) -> None:
        line = self._lines[position]
        line = replace(line, quantity=self._quantity or line.quantity)
        if line.item.has_sizes:
            line = replace(line, size=self._size or line.size)
            for topping in self._toppings:
                line = line.with_topping(topping)
        self._lines[position] = line
        self._size, self._toppings, self._current = "", [], position

    def _remove(self, known: int | None) -> None:
        if known is None:
            return
        line = self._lines[known]
        if 0 < self._quantity < line.quantity:
            self._lines[known] = replace(line, quantity=line.quantity - self._quantity)
        else:
            del self._lines[known]
        self._size, self._toppings, self._current, self._target = "", [], None, None

    def _read_size(self, size: str, position: int) -> None:
        last = self._last_with_sizes()
        lacking = [i for i, line in enumerate(self._lines) if line.lacks_size]
        if self._is_for_next(position):
            lacking = []
        elif last is not None and (last == self._current or self._mode == "change"):
            lacking = [last]
        if not lacking:
            self._size = size
        for each in lacking if self._is_for_all else lacking[:1]:
            quantity = self._quantity if self._quantity > 1 else self._lines[each].quantity
            self._lines[each] = replace(self._lines[each], size=size, quantity=quantity)
            self._current = each

    def _read_topping(self, topping: Topping, position: int) -> None:
        target = None if self._is_for_next(position) else self._last_with_sizes()
        if self._mode in {"remove", "without"}:
            having = [i for i, line in enumerate(self._lines) if topping in line.toppings]
            target = having[-1] if having and self._current is None else self._last_with_sizes()
            if target is not None:
                self._lines[target] = self._lines[target].without_topping(topping)
        elif target is not None:
            self._lines[target] = self._lines[target].with_topping(topping)
        elif len(self._toppings) < MAX_LINES:
            self._toppings.append(topping)

    def _last_with_sizes(self) -> int | None:
        taking = [i for i, line in enumerate(self._lines) if line.item.has_sizes]
        return self._current if self._current in taking else max(taking, default=None)

    def _find(self, item: OfflineMenuItem) -> int | None:
        found = [i for i, line in enumerate(self._lines) if line.item.name == item.name]
        return max(found, key=lambda i: (self._lines[i].lacks_size, i), default=None)

    def _result(self) -> Order:
        before, after = self._before.lines, tuple(self._lines)
        gone = [line.spoken for line in before if line not in after]
        news = {
            "added": [line.spoken for line in after if line not in before],
            "removed": gone if len(after) < len(before) else [],
            "changed": before != after,
            "named": self._named and (self._named.spoken or self._named.name),
            "about": self._named and self._named.about,
        }
        waiting = self._quantity if self._size else 0
        return Order(after, self._size, tuple(self._toppings), waiting, news)


def _items_first(mentions: Iterable[_Mention]) -> list[_Mention]:
    """The mentions with "mushrooms and bacon to the garden" as "to the garden mushrooms bacon"."""
    ordered: list[_Mention] = []
    for mention in mentions:
        start = len(ordered)
        if mention.kind == "item" and ordered and ordered[-1].kind == "onto":
            start -= 1
            while start and (ordered[start - 1].kind == "topping" or ordered[start - 1].topping):
                start -= 1
            ordered.insert(start, ordered.pop())
            start += 1
        ordered.insert(start, mention)
    return ordered
