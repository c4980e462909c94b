"""A script as it stands in its file; what it means is told in `agent.llm.offline`."""

from __future__ import annotations

from typing import Literal

import msgspec

from agent.llm.offline.words import normalise


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """One value of a vocabulary."""

    value: str
    heard: tuple[str, ...] = ()
    """Other words for it; the value itself and plurals are always heard."""
    spoken: str = ""
    """How it is said; empty = the value."""
    about: str = ""
    price: float | dict[str, float] = 0.0
    """A number, or one per value of a modifier."""
    needs: tuple[str, ...] = ()
    """Modifiers without which a line with this head is incomplete."""
    takes: tuple[str, ...] = ()
    """Modifiers a line with this head may have besides."""

    @property
    def phrases(self) -> tuple[str, ...]:
        """Everything it is heard as, normalised."""
        return tuple(filter(None, map(normalise, (self.value, *self.heard))))


class Slot(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A value filled from the caller's words; the last mention counts."""

    kind: Literal["vocabulary", "pattern", "number", "date", "time", "listed"]
    vocabulary: str = ""
    listed: str = ""
    """Name of a `prompt` list, of which an element is chosen by its number or its words."""
    pattern: tuple[str, ...] = ()
    """Heard at any time; the first group, or the whole, is the value."""
    answers: tuple[str, ...] = ()
    """Questions; right after one `answer` counts too, and a bare hour is a time."""
    answer: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    """Conditions under which `answer` does not count."""


class Lines(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A list of lines, each a head from a vocabulary with a quantity and modifiers."""

    head: str
    one: dict[str, str] = {}
    """Modifiers of which a line has at most one: name → vocabulary."""
    many: dict[str, str] = {}
    markers: dict[Literal["add", "remove", "without", "with", "change", "onto", "all"], list[str]]
    accepts: tuple[str, ...] = ()
    """Question after which repeating a line does not add it once more."""
    frozen_when: tuple[str, ...] = ()
    """Conditions under which nothing is added or changed any more."""


class Update(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """What a turn or a tool result changes in the slots, in the order of the script."""

    when: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    set: dict[str, str] = {}
    """Slot → template."""
    clear: tuple[str, ...] = ()
    """Slots or lists."""
    read: dict[str, str] = {}
    """List → template: texts that mean one line each, read as if the caller had said them."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """One possible answer."""

    when: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    say: str | tuple[str, ...] = ()
    """Wordings; the first not yet said in this call is taken."""
    call: str = ""


class ScriptRecord(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """A script as it stands in the file."""

    vocabularies: dict[str, tuple[Entry, ...]] = {}
    slots: dict[str, Slot] = {}
    lines: dict[str, Lines] = {}
    intents: dict[str, tuple[str, ...]] = {}
    prompt: dict[str, str] = {}
    """Name → regular expression with named groups; all matches in the system prompt, a list."""
    questions: dict[str, tuple[str, ...]] = {}
    """Literal wordings: they are recognised in what the caller has heard."""
    phrases: dict[str, str] = {}
    """Templates for the filter `each`."""
    calls: dict[str, object] = {}
    """Tool → arguments: JSON with templates. `{"each": path, "as": ...}` is a list."""
    updates: tuple[Update, ...] = ()
    rules: tuple[Rule, ...]
    fallback: tuple[str, ...]
    trouble: tuple[str, ...]
    """Said when a tool failed and no rule speaks of it."""
    done: tuple[str, ...]
    """Said when a tool answered without a message and no rule speaks of it."""
