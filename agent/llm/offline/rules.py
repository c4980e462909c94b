"""A script checked and compiled: what `agent.llm.offline.dialogue` works with.

`load` is the only way in. It parses every condition, template and pattern once, and follows every
name, so that what is left can only be a matter of taste.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from agent.errors import UseCaseError
from agent.llm.offline.dictation import LineReader
from agent.llm.offline.script_record import Entry, Lines, Rule, ScriptRecord, Slot, Update
from agent.llm.offline.templates import (
    Condition,
    Template,
    View,
    any_phrase,
    compile_expression,
    compile_pattern,
    fault,
    parse_condition,
    parse_template,
)

_ROOTS = {
    "asked", "begins", "called", "done", "entry", "failed", "fresh", "heard", "intent", "keys",
    "offered", "prompt", "question", "result", "running", "slot", "today", "tool", "turn",
}  # fmt: skip
"""What a view has, besides the lists of the script."""


@dataclass(frozen=True, slots=True)
class When:
    """The conditions of an update or a rule."""

    conditions: tuple[Condition, ...] = ()
    hears: re.Pattern[str] | None = None

    def holds(self, view: View) -> bool:
        """All conditions, and the pattern in what the caller said last."""
        if self.hears is not None and not self.hears.search(str(view["heard"])):
            return False
        return all(condition.holds(view) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class CompiledSlot:
    """A slot with its patterns and vocabulary."""

    record: Slot
    pattern: re.Pattern[str] | None
    answer: re.Pattern[str] | None
    unless: When | None
    entries: Mapping[str, Entry]
    """By phrase, for a vocabulary."""
    mention: re.Pattern[str] | None
    """Any of these phrases."""


@dataclass(frozen=True, slots=True)
class CompiledUpdate:
    """What to set and clear when."""

    when: When
    set: Mapping[str, Template]
    clear: tuple[str, ...]
    read: Mapping[str, Template]


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """What to say and call when."""

    when: When
    say: tuple[Template, ...]
    call: str

    @property
    def is_about_tool(self) -> bool:
        """Only such rules answer a tool result."""
        conditions = self.when.conditions
        return any(each.path == ("tool",) and not each.is_negated for each in conditions)


@dataclass(frozen=True, slots=True)
class CompiledLines:
    """A list, its reader, and when it is closed."""

    reader: LineReader
    frozen_when: When | None


@dataclass(frozen=True, slots=True)
class Rules:
    """A script ready to answer."""

    slots: Mapping[str, CompiledSlot]
    lines: Mapping[str, CompiledLines]
    intents: Mapping[str, re.Pattern[str]]
    prompt: Mapping[str, re.Pattern[str]]
    questions: Mapping[str, tuple[str, ...]]
    phrases: Mapping[str, Template]
    calls: Mapping[str, object]
    """JSON with `Template` for its texts."""
    updates: tuple[CompiledUpdate, ...]
    rules: tuple[CompiledRule, ...]
    fallback: tuple[str, ...]
    trouble: tuple[str, ...]
    done: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Each:
    """In `calls`: one value for each record of a list."""

    rows: Template
    item: object


def load(script_json: str) -> Rules:
    """Parse and check a script. Raises `UseCaseError` naming the first fault and its place."""
    return _Compiler(_read(script_json)).compile()


def _read(script_json: str) -> ScriptRecord:
    try:
        return msgspec.json.decode(script_json, type=ScriptRecord)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        what, _, where = str(error).partition(" - at `")
        place = where.strip("`").removeprefix("$").strip(".") or "script"
        raise UseCaseError(f"offlineScript.{place}: {what}") from error


class _Compiler:
    """One script on its way from record to rules; knows which names exist."""

    def __init__(self, record: ScriptRecord) -> None:
        self._record = record
        self._known = {
            "slot": set(record.slots) | {name for each in record.updates for name in each.set},
            "entry": {n for n, slot in record.slots.items() if slot.kind == "vocabulary"},
            "fresh": set(record.slots),
            "intent": set(record.intents),
            "prompt": set(record.prompt),
            "question": set(record.questions),
            "called": set(record.calls),
            "done": set(record.calls),
            "offered": set(record.calls),
        }

    def compile(self) -> Rules:
        record = self._record
        for name in ("fallback", "trouble", "done"):
            if not any(text.strip() for text in getattr(record, name)):
                fault(name, "needs at least one sentence")
        return Rules(
            slots={name: self._slot(name, slot) for name, slot in record.slots.items()},
            lines={name: self._lines(name, lines) for name, lines in record.lines.items()},
            intents=dict(self._intents()),
            prompt={
                name: compile_expression(text, f"prompt.{name}")
                for name, text in record.prompt.items()
            },
            questions={name: self._question(name) for name in record.questions},
            phrases={
                name: self._template(text, f"phrases.{name}", is_open=True)
                for name, text in record.phrases.items()
            },
            calls={
                name: self._json(value, f"calls.{name}", is_open=False)
                for name, value in record.calls.items()
            },
            updates=tuple(self._update(i, each) for i, each in enumerate(record.updates)),
            rules=tuple(self._rule(i, each) for i, each in enumerate(record.rules)),
            fallback=record.fallback,
            trouble=record.trouble,
            done=record.done,
        )

    def _intents(self) -> Iterator[tuple[str, re.Pattern[str]]]:
        for name, texts in self._record.intents.items():
            pattern = compile_pattern(texts, f"intents.{name}")
            if pattern is None:
                fault(f"intents.{name}", "has no pattern")
            yield name, pattern

    def _question(self, name: str) -> tuple[str, ...]:
        wordings = self._record.questions[name]
        if not wordings or any(not text.strip() or set(text) & set("{}[]") for text in wordings):
            fault(f"questions.{name}", "needs literal wordings without fields")
        return wordings

    def _slot(self, name: str, slot: Slot) -> CompiledSlot:
        where = f"slots.{name}"
        self._check_questions(slot.answers, f"{where}.answers")
        if slot.kind == "listed" and slot.listed not in self._record.prompt:
            fault(f"{where}.listed", f"there is no prompt list {slot.listed!r}")
        entries = self._vocabulary(slot.vocabulary, where) if slot.kind == "vocabulary" else ()
        by_phrase = {phrase: entry for entry in entries for phrase in entry.phrases}
        return CompiledSlot(
            slot,
            compile_pattern(slot.pattern, f"{where}.pattern"),
            compile_pattern(slot.answer, f"{where}.answer"),
            self._when(slot.unless, (), f"{where}.unless") if slot.unless else None,
            by_phrase,
            any_phrase(by_phrase),
        )

    def _vocabulary(self, name: str, where: str) -> tuple[Entry, ...]:
        entries = self._record.vocabularies.get(name)
        if not entries or not all(entry.phrases for entry in entries):
            fault(where, f"there is no vocabulary {name!r}, or it has an entry without words")
        return entries

    def _lines(self, name: str, lines: Lines) -> CompiledLines:
        where = f"lines.{name}"
        if name in _ROOTS or not name.isidentifier():
            fault(where, "this name is taken or no name")
        for vocabulary in (lines.head, *lines.one.values(), *lines.many.values()):
            self._vocabulary(vocabulary, where)
        self._check_questions(lines.accepts, f"{where}.accepts")
        frozen = self._when(lines.frozen_when, (), where) if lines.frozen_when else None
        return CompiledLines(LineReader(lines, self._record.vocabularies), frozen)

    def _update(self, number: int, update: Update) -> CompiledUpdate:
        where = f"updates[{number}]"
        for name in update.clear:
            if name not in self._known["slot"] and name not in self._record.lines:
                fault(f"{where}.clear", f"there is no slot or list {name!r}")
        for name in update.read.keys() - self._record.lines.keys():
            fault(f"{where}.read", f"there is no list {name!r}")
        return CompiledUpdate(
            self._when(update.when, update.hears, where),
            {n: self._template(text, f"{where}.set.{n}") for n, text in update.set.items()},
            update.clear,
            {n: self._template(text, f"{where}.read.{n}") for n, text in update.read.items()},
        )

    def _rule(self, number: int, rule: Rule) -> CompiledRule:
        where = f"rules[{number}]"
        say = (rule.say,) if isinstance(rule.say, str) else rule.say
        if rule.call and rule.call not in self._record.calls:
            fault(f"{where}.call", f"there is no call {rule.call!r}")
        if not rule.call and not any(text.strip() for text in say):
            fault(where, "says and calls nothing")
        return CompiledRule(
            self._when(rule.when, rule.hears, where),
            tuple(self._template(text, f"{where}.say") for text in say),
            rule.call,
        )

    def _when(self, conditions: tuple[str, ...], hears: tuple[str, ...], where: str) -> When:
        parsed = tuple(parse_condition(text, where) for text in conditions)
        for condition in parsed:
            self._check(condition.path, where)
        return When(parsed, compile_pattern(hears, f"{where}.hears"))

    def _template(self, text: str, where: str, *, is_open: bool = False) -> Template:
        """Parse; `is_open` where a record of a list brings names of its own."""
        template = parse_template(text, where)
        for each in template.fields:
            if not is_open:
                self._check(each.path, where)
            for name, argument in each.filters:
                if name == "each" and argument not in self._record.phrases:
                    fault(where, f"there is no phrase {argument!r}")
        return template

    def _json(self, value: object, where: str, *, is_open: bool) -> object:
        match value:
            case str():
                return self._template(value, where, is_open=is_open)
            case {"each": str() as rows, "as": item}:
                path = self._template(f"{{{rows}}}", where, is_open=is_open)
                return Each(path, self._json(item, where, is_open=True))
            case dict():
                return {
                    str(name): self._json(each, where, is_open=is_open)
                    for name, each in value.items()
                }
            case list():
                return [self._json(each, where, is_open=is_open) for each in value]
            case _:
                return value

    def _check_questions(self, names: tuple[str, ...], where: str) -> None:
        for name in names:
            if name not in self._record.questions:
                fault(where, f"there is no question {name!r}")

    def _check(self, path: tuple[str, ...], where: str) -> None:
        """Refuse a path that cannot lead anywhere."""
        root, *rest = path
        if root not in _ROOTS and root not in self._record.lines:
            fault(where, f"nothing is called {root!r}")
        if rest and root in self._known and rest[0] not in self._known[root]:
            fault(where, f"there is no {root} {rest[0]!r}")
