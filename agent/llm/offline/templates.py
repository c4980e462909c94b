"""The small expressions of a script: conditions, templates with filters, patterns.

Everything here is total: a path that leads nowhere is nothing, a value of the wrong kind is spoken
as it is or left out. Only the parse functions raise, at load, and name the place in the script.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import NoReturn

from agent.errors import UseCaseError

View = Mapping[str, object]
"""What is known at one moment; a path walks through it."""

MAX_FIELD_CHARACTERS = 600
"""Of one value spoken: a tool may answer with a page."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a `when`."""

    path: tuple[str, ...]
    operator: str
    value: str
    is_negated: bool

    def holds(self, view: View) -> bool:
        """Compares as numbers where both sides are, else as texts without case."""
        return self._compare(look_up(view, self.path)) is not self.is_negated

    def _compare(self, found: object) -> bool:
        if not self.operator:
            return bool(found)
        if self.operator in "=!":
            return (as_text(found).lower() == self.value.lower()) is (self.operator == "=")
        try:
            left, right = float(as_text(found)), float(self.value)
        except ValueError:
            return False
        return left < right if self.operator == "<" else left > right


@dataclass(frozen=True, slots=True)
class Field:
    """A value in a template."""

    path: tuple[str, ...]
    filters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed sentence: words, fields, and parts that may be left out."""

    parts: tuple[str | Field | Template, ...]

    @property
    def fields(self) -> Iterable[Field]:
        """All fields, those of optional parts too."""
        for part in self.parts:
            if isinstance(part, Field):
                yield part
            elif isinstance(part, Template):
                yield from part.fields

    def render(self, view: View, phrases: Mapping[str, Template]) -> str:
        """The sentence; empty fields are nothing."""
        return "".join(_part(part, view, phrases) for part in self.parts)

    def value(self, view: View, phrases: Mapping[str, Template]) -> object:
        """The value itself where the template is one field, else the sentence."""
        match self.parts:
            case (Field() as field,):
                return _value(field, view, phrases)
            case _:
                return self.render(view, phrases)


def _part(part: str | Field | Template, view: View, phrases: Mapping[str, Template]) -> str:
    match part:
        case str():
            return part
        case Field():
            return as_text(_value(part, view, phrases))[:MAX_FIELD_CHARACTERS]
        case Template():
            fields = (as_text(_value(field, view, phrases)) for field in part.fields)
            return part.render(view, phrases) if all(fields) else ""


def _value(field: Field, view: View, phrases: Mapping[str, Template]) -> object:
    value = look_up(view, field.path)
    for name, argument in field.filters:
        if name == "each":
            value = [phrases[argument].render({**view, **row}, phrases) for row in rows(value)]
        else:
            value = _FILTERS[name](value, argument)
    return value


def look_up(view: View, path: tuple[str, ...]) -> object:
    """The value at a path, or `None`; a list also has `count` and `first`, an object `first`."""
    value: object = view
    for name in path:
        match value:
            case Mapping() if name in value or name != "first":
                value = value.get(name)
            case Mapping():
                value = next(iter(value.values()), None)
            case list() | tuple():
                value = {"count": len(value), "first": next(iter(value), None)}.get(name)
            case _:
                return None
    return value


def rows(value: object) -> list[dict[str, object]]:
    """The records in a list; at most fifty, whatever else is in it is dropped."""
    found = value[:50] if isinstance(value, list | tuple) else []
    return [row for row in found if isinstance(row, dict)]


def texts_in(value: object) -> list[str]:
    """What can be spoken of a list; at most fifty."""
    found = value[:50] if isinstance(value, list | tuple) else []
    return list(filter(None, map(as_text, found)))


def as_text(value: object) -> str:
    """A value as it is spoken; what cannot be spoken is empty."""
    match value:
        case bool():
            return "yes" if value else ""
        case str():
            return value
        case int() | float():
            return f"{value:.10g}" if abs(value) < 10**9 else ""
        case date():
            return value.isoformat()
        case list() | tuple():
            return join(value, "and")
        case _:
            return ""


def join(value: object, word: str) -> str:
    """As people list things: "one, two and three"."""
    if not isinstance(value, list | tuple):
        return as_text(value)
    texts = texts_in(value)
    return f" {word} ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))


def _money(value: object, _: str) -> str:
    try:
        amount = float(as_text(value))
    except ValueError:
        return as_text(value)
    return f"${amount:,.0f}" if amount == int(amount) else f"${amount:,.2f}"


def _title(value: object, _: str) -> str:
    return " ".join(word[0].upper() + word[1:] for word in as_text(value).split())


def _day(value: object, _: str) -> str:
    try:
        day = date.fromisoformat(as_text(value))
    except ValueError:
        return as_text(value)
    return f"{day:%A}, {day:%B} {day.day}"


def _first(value: object, argument: str) -> object:
    return value[: int(argument or 1)] if isinstance(value, list | tuple) else value


_FILTERS: Mapping[str, Callable[[object, str], object]] = {
    "and": lambda value, _: join(value, "and"),
    "or": lambda value, _: join(value, "or"),
    "first": _first,
    "money": _money,
    "title": _title,
    "lower": lambda value, _: as_text(value).lower(),
    "digits": lambda value, _: " ".join(as_text(value)),
    "day": _day,
    "number": lambda value, _: value if isinstance(value, int | float) else None,
}

_CONDITION = re.compile(r"(not )?([A-Za-z][\w.]*)(?: (=|!=|<|>) (.+))?")
_PIECE = re.compile(r"\{([^{}\[\]]*)\}|\[([^\[\]]*)\]|([^{}\[\]]+)")
_PATH = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)*")


def fault(where: str, what: str) -> NoReturn:
    """Refuse the script, naming the place."""
    raise UseCaseError(f"offlineScript.{where}: {what}")


def parse_condition(text: str, where: str) -> Condition:
    """`[not] path [= value]`."""
    found = _CONDITION.fullmatch(text)
    if found is None:
        fault(where, f"{text!r} is no condition")
    operator = (found[3] or "").replace("!=", "!")
    return Condition(tuple(found[2].split(".")), operator, found[4] or "", found[1] is not None)


def parse_template(text: str, where: str) -> Template:
    """A sentence with `{path|filter argument}` and `[optional parts]`."""
    parts: list[str | Field | Template] = []
    position = 0
    while position < len(text):
        found = _PIECE.match(text, position)
        if found is None:
            fault(where, f"unbalanced brackets in {text!r}")
        if found[1] is not None:
            parts.append(_parse_field(found[1], where))
        elif found[2] is not None:
            parts.append(parse_template(found[2], where))
        else:
            parts.append(found[3])
        position = found.end()
    return Template(tuple(parts))


def _parse_field(text: str, where: str) -> Field:
    path, *filters = text.split("|")
    if not _PATH.fullmatch(path):
        fault(where, f"{path!r} is no path")
    parsed = [(name, argument) for name, _, argument in (each.partition(" ") for each in filters)]
    for name, argument in parsed:
        if name not in _FILTERS and name != "each":
            fault(where, f"unknown filter {name!r}")
        if name == "first" and not argument.isdigit():
            fault(where, "filter 'first' needs a number")
    return Field(tuple(path.split(".")), tuple(parsed))


def compile_pattern(texts: Iterable[str], where: str) -> re.Pattern[str] | None:
    """Any of these as whole words; `None` when there are none."""
    joined = "|".join(texts)
    return compile_expression(rf"\b(?:{joined})\b", where) if joined else None


def compile_expression(text: str, where: str) -> re.Pattern[str]:
    """A regular expression of the script."""
    try:
        return re.compile(text)
    except re.error as error:
        raise UseCaseError(f"offlineScript.{where}: {error}") from error


def any_phrase(phrases: Iterable[str]) -> re.Pattern[str] | None:
    """Any of these, longest first, also in the plural; the first group is the phrase."""
    escaped = sorted(map(re.escape, phrases), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(escaped)})(?:'s|e?s)?\b") if escaped else None
