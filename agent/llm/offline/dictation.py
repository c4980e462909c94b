"""From an utterance to the lines it means: "two large gardens with bacon and a house salad".

The mentions of one utterance are taken from left to right. How words attach:

- A quantity counts for the next head. Of several in a row the last counts ("two, no, three").
- A modifier directly before a head belongs to it; after a head to that line; alone it completes
  the first line that lacks it, or waits for the next head.
- A word that can be both (pepperoni) is a modifier after "with", "add" or another modifier.
- A marker changes what follows: remove, without, change, back to add; "onto" points at a line.

Rejected: asking for one line at a time. Callers do not speak so, and the corrections above are what
the offline model is there to show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from agent.llm.offline.lines import Line, LineList
from agent.llm.offline.script_record import Entry, Lines

MAX_LINES = 40
MAX_QUANTITY = 50

_NO_ENTRY = Entry(value="")
_JOINER = re.compile(r"\b(?:and|with|on|then|to|for)\b")
_ARTICLES = {"a": 1, "an": 1, "another": 1, "a couple of": 2, "a couple": 2, "a pair of": 2}


@dataclass(frozen=True, slots=True)
class Mention:
    """Something said that matters to a list; `kind` is `head`, `quantity`, `marker`, `one`, `many`.

    A word that can be a head or a modifier has kind `head`, and `also` is it as a modifier.
    """

    start: int
    end: int
    kind: str
    name: str = ""
    entry: Entry = _NO_ENTRY
    quantity: int = 0
    also: Mention | None = None


class LineReader:
    """Reads utterances into one list of a script; keeps nothing between them."""

    def __init__(self, record: Lines, vocabularies: Mapping[str, Iterable[Entry]]) -> None:
        self.record = record
        self._phrases: dict[str, Mention] = {}
        for marker, texts in record.markers.items():
            self._learn(texts, Mention(0, 0, "marker", marker))
        for kind, names in (("many", record.many), ("one", record.one)):
            for name, vocabulary in names.items():
                for entry in vocabularies[vocabulary]:
                    self._learn(entry.phrases, Mention(0, 0, kind, name, entry))
        for entry in vocabularies[record.head]:
            self._learn(entry.phrases, Mention(0, 0, "head", "", entry))
        for words, quantity in _ARTICLES.items():
            self._learn([words], Mention(0, 0, "quantity", quantity=quantity))
        longest_first = sorted(map(re.escape, self._phrases), key=len, reverse=True)
        self._expression = re.compile(
            rf"\b(?:({'|'.join(longest_first)})(?:'s|e?s)?|(?P<number>\d{{1,2}}))\b"
        )

    def _learn(self, phrases: Iterable[str], mention: Mention) -> None:
        for phrase in phrases:
            known = self._phrases.get(phrase)
            is_both = known is not None and known.kind == "many" and mention.kind == "head"
            self._phrases[phrase] = replace(mention, also=known) if is_both else mention

    def read(self, text: str, before: LineList, *, is_repeating: bool = False) -> LineList:
        """The list after an utterance.

        Args:
            text: Normalised words.
            before: The list so far.
            is_repeating: The list was just read back: a line said again is the same line.
        """
        utterance = _Utterance(self._mentions(text), text, before, is_repeating=is_repeating)
        return utterance.read()

    def _mentions(self, text: str) -> list[Mention]:
        return [self._mention(found) for found in self._expression.finditer(text)]

    def _mention(self, found: re.Match[str]) -> Mention:
        if found["number"]:
            quantity = min(int(found["number"]), MAX_QUANTITY)
            return Mention(*found.span(), "quantity", quantity=quantity)
        return replace(self._phrases[found[1]], start=found.start(), end=found.end())


class _Utterance:
    """One pass over the mentions of an utterance."""

    def __init__(
        self, mentions: list[Mention], text: str, before: LineList, *, is_repeating: bool
    ) -> None:
        self._mentions = mentions
        self._text = text
        self._before = before
        self._is_repeating = is_repeating
        self._lines = list(before.lines)
        self._one = dict(before.one)
        self._many = list(before.many)
        self._mode = "add"
        self._previous = ""
        self._quantity: int | None = None
        self._current: int | None = None
        self._target: int | None = None
        self._is_for_all = False
        self._completed: dict[str, int] = {}
        self._named_after = _named_after(mentions)

    def read(self) -> LineList:
        for position, mention in enumerate(self._mentions):
            match mention.kind:
                case "marker":
                    self._mark(mention.name)
                case "quantity":
                    self._quantity = mention.quantity or None
                case "head" if not self._is_modifier(mention):
                    self._head(mention.entry)
                case "one":
                    self._modify_one(mention, is_for_next=self._is_for_next(position))
                case _:
                    self._modify_many(mention, position)
            self._previous = self._described(mention)
        self._finish_change()
        return self._result()

    def _described(self, mention: Mention) -> str:
        if mention.kind == "head" and self._is_modifier(mention):
            return "many"
        return mention.name if mention.kind == "marker" else mention.kind

    def _mark(self, marker: str) -> None:
        match marker:
            case "all":
                self._is_for_all = True
            case "add":
                self._mode, self._is_repeating = "add", False
            case "with" if self._mode == "without":
                self._mode = "add"
            case "remove" | "without" | "change":
                self._mode = marker
                self._target = self._current
            case _:
                """Told by what was said just before, see `_previous`."""

    def _is_modifier(self, mention: Mention) -> bool:
        """A word with two readings is a modifier where one is expected and a line can take it."""
        if mention.also is None:
            return False
        if self._mode == "remove":
            return any(mention.also.entry in _entries(line) for line in self._lines)
        is_expected = self._previous in {"with", "without", "many", "add"}
        return is_expected and self._last_that_takes(mention.also.name) is not None

    def _is_for_next(self, position: int) -> bool:
        """A head follows, and nothing between joins this modifier to what was before."""
        if position + 1 >= len(self._mentions):
            return False
        here, following = self._mentions[position], self._mentions[position + 1]
        between = self._text[here.end : following.start]
        return following.kind == "head" and not _JOINER.search(between)

    def _head(self, entry: Entry) -> None:
        known = self._find(entry)
        if self._mode == "remove":
            self._remove(known)
        elif self._previous == "onto" and known is not None:
            self._current = known
        elif self._mode == "change" and self._lines:
            self._change_head(entry, known)
        elif known is not None and (self._is_repeating or self._lines[known].missing):
            self._current = known
            self._complete(known)
        elif len(self._lines) < MAX_LINES:
            self._lines.append(Line(entry, self._quantity or 1))
            self._current = len(self._lines) - 1
            self._complete(self._current)
        self._quantity = None
        if self._mode == "without":
            self._mode = "add"

    def _change_head(self, entry: Entry, known: int | None) -> None:
        """In "change the garden to a cheese" the first names the line, the second replaces it."""
        if known is not None and self._target is None:
            self._target = known
        elif known is None or known != self._target:
            target = len(self._lines) - 1 if self._target is None else self._target
            old = self._lines[target]
            line = Line(entry, old.quantity)
            self._target = target
            self._lines[target] = replace(
                line,
                one={name: each for name, each in old.one.items() if line.takes(name)},
                many={name: each for name, each in old.many.items() if line.takes(name)},
            )
        self._current = self._target
        if self._current is not None:
            self._complete(self._current)

    def _complete(self, position: int) -> None:
        """Give a line what waited for a head."""
        line = self._lines[position]
        if self._quantity is not None:
            line = replace(line, quantity=self._quantity)
        for name, entry in self._one.items():
            line = line.with_one(name, entry) if line.takes(name) else line
        for name, entry in self._many:
            line = line.with_many(name, entry) if line.takes(name) else line
        self._lines[position] = line
        self._one, self._many = {}, []

    def _remove(self, known: int | None) -> None:
        if known is None:
            return
        line = self._lines[known]
        if self._quantity and self._quantity < line.quantity:
            self._lines[known] = replace(line, quantity=line.quantity - self._quantity)
        else:
            del self._lines[known]
        self._one, self._many, self._completed = {}, [], {}
        self._current = self._target = None

    def _modify_one(self, mention: Mention, *, is_for_next: bool) -> None:
        name, entry = mention.name, mention.entry
        if is_for_next:
            self._one[name] = entry
            return
        positions = self._lines_for(name)
        if not positions:
            self._one[name] = entry
        for position in positions:
            self._lines[position] = self._lines[position].with_one(name, entry)
            self._completed[name] = position

    def _lines_for(self, name: str) -> list[int]:
        """The lines a lone modifier means."""
        if self._current is not None and self._lines[self._current].takes(name):
            return [self._current]
        if self._mode == "change":
            last = self._last_that_takes(name)
            return [] if last is None else [last]
        lacking = [i for i, line in enumerate(self._lines) if line.missing == name]
        if not lacking and name in self._completed:
            return [self._completed[name]]
        return lacking if self._is_for_all else lacking[:1]

    def _modify_many(self, mention: Mention, position: int) -> None:
        modifier = mention.also or mention
        name, entry = modifier.name, modifier.entry
        if self._mode in {"remove", "without"}:
            self._take_off(name, entry, self._pointed_at(position))
        elif self._is_for_next(position):
            self._many.append((name, entry))
        else:
            target = self._pointed_at(position)
            if target is None:
                target = self._last_that_takes(name)
            if target is None:
                self._many.append((name, entry))
            else:
                self._lines[target] = self._lines[target].with_many(name, entry)

    def _take_off(self, name: str, entry: Entry, target: int | None) -> None:
        having = [i for i, line in enumerate(self._lines) if entry in _entries(line)]
        if target is None:
            target = having[-1] if having else self._last_that_takes(name)
        if target is not None:
            self._lines[target] = self._lines[target].without(name, entry)

    def _pointed_at(self, position: int) -> int | None:
        """The line named after these modifiers: "add mushrooms and bacon to the garden"."""
        entry = self._named_after[position]
        return None if entry is None else self._find(entry)

    def _last_that_takes(self, name: str) -> int | None:
        if self._current is not None and self._lines[self._current].takes(name):
            return self._current
        taking = [i for i, line in enumerate(self._lines) if line.takes(name)]
        return taking[-1] if taking else None

    def _find(self, entry: Entry) -> int | None:
        """The last line with this head, one that lacks something before all others."""
        found = [i for i, line in enumerate(self._lines) if line.head.value == entry.value]
        lacking = [i for i in found if self._lines[i].missing]
        return next(reversed(lacking or found), None)

    def _finish_change(self) -> None:
        """As in "make that two": a quantity without a head after it."""
        if self._mode == "change" and self._quantity and self._lines:
            target = len(self._lines) - 1 if self._target is None else self._target
            self._lines[target] = replace(self._lines[target], quantity=self._quantity)

    def _result(self) -> LineList:
        before, after = list(self._before.lines), list(self._lines)
        gone = [line for line in before if line not in after]
        return LineList(
            lines=tuple(after),
            one=self._one,
            many=tuple(self._many[:MAX_LINES]),
            added=tuple(line for line in after if line not in before),
            removed=tuple(line for line in gone if len(after) < len(before)),
            is_changed=before != after,
        )


def _named_after(mentions: list[Mention]) -> list[Entry | None]:
    """For each mention the head that "onto" points at, if only modifiers stand between.

    From the last to the first, so that each is looked at once.
    """
    named: list[Entry | None] = [None] * len(mentions)
    for position in range(len(mentions) - 3, -1, -1):
        here, following = mentions[position + 1], mentions[position + 2]
        if here.kind == "marker" and here.name == "onto" and following.kind == "head":
            named[position] = following.entry
        elif here.kind in {"many", "quantity"} or here.also is not None:
            named[position] = named[position + 1]
    return named


def _entries(line: Line) -> list[Entry]:
    return [entry for entries in line.many.values() for entry in entries]
