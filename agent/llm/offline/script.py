"""The script of the offline model: `offline.json` in the folder of a use case.

A script lists what callers say (`intents`, `slots`, `menu`) and what the agent asks (`questions`).
An intent has an answer, a tool to call, or both; the first that applies answers. `tools` has the
arguments of each tool and the answers to its result; `updates` change slots.

- A **phrase** is a regular expression that is found as whole words in the normalised text.
- A **path** such as `slot.size` or `result.message` names a value; `first`, `second`, `third`,
  `last` and `count` of a list are values too. A **condition** is `[not ]path` or
  `[not ]path = value`.
- A **text** is a Python format string with paths: `The total is {order.total:money}.` A sentence
  with a value that is unknown or empty is left out. The formats are `money`, `day`, `title`, and
  the names in `lists`, each a text for one element of a list.

In `lists`, `and` is the word before the last of several values. A script for another language of
the use case is a file of its own, `offline.es.json`; it answers when the call has changed to it.

`load` checks every name in a script, so a mistyped name stops the start and not a call.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import Annotated, Literal, TypeVar

import msgspec

from agent.errors import UseCaseError
from agent.llm.offline.offline_menu import OfflineMenu
from agent.llm.offline.words import find_date, find_time, join, normalise

MAX_CHARACTERS = 600  # of one value in a text: a tool may return a page
MAX_ELEMENTS = 50

_PLACE = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)\b")
_LAST_ONE = re.compile(r"\bthe last(?: 1)?\b(?! name)")
_BARE_NUMBER = re.compile(
    r"(?:\b(?:number|option|demo) |^(?:[a-z']+ ){0,2}(?<!the ))(\d{1,2})(?: please)?$"
)
_INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PLACES = {
    "first": slice(1), "second": slice(1, 2), "third": slice(2, 3), "last": slice(-1, None),
}  # fmt: skip
_NUMBER = re.compile(r"\b\d{1,7}(?:\.\d{1,2})?\b")

Look = Callable[[str], object]  # the value at a path, or `None`
Texts = Annotated[
    tuple[Annotated[str, msgspec.Meta(pattern=r"\S")], ...], msgspec.Meta(min_length=1)
]
Wordings = Annotated[
    tuple[Annotated[str, msgspec.Meta(pattern=r"^[^{}]*\w[^{}]*$")], ...],
    msgspec.Meta(min_length=1),
]


class Slot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value in the caller's words; the last mention counts."""

    kind: Literal["choice", "pattern", "number", "date", "time", "listed"]
    values: dict[
        str, tuple[str, ...]
    ] = {}  # value → other words for it; of a list, one of its fields
    listed: str = ""  # a list of `prompt`, from which the caller chooses by number or by words
    phrases: tuple[str, ...] = ()
    """The first group, or the whole match, is the value; of a list: the caller chooses unasked."""
    answers: tuple[str, ...] = ()  # questions, of which `answer` or a bare hour is an answer
    answer: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()  # intents with which `answer` does not count


class Intent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something the caller wants, or a situation, and what to do about it."""

    name: str = ""
    phrases: tuple[str, ...] = ()
    when: tuple[str, ...] = ()
    needs: dict[str, str] = {}  # condition → text that asks for what is missing, in order
    say: str | tuple[str, ...] = ()  # texts, of which the first that was not said yet is taken
    once: bool = False  # no text is said again; when all were said, the next intent applies
    call: str = ""
    arguments: dict[str, object] = {}  # added to those of the tool
    otherwise: str = ""  # said if the tool is not offered or has just run; empty = next intent

    def __post_init__(self) -> None:
        if self.phrases and not self.name:
            raise ValueError("an intent with phrases needs a name")


class ScriptTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool: its arguments (JSON with texts; unknown values are left out) and answers."""

    arguments: dict[str, object] = {}
    done: tuple[Intent, ...] = ()
    failed: tuple[Intent, ...] = ()


class Update(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a turn or a tool result changes."""

    when: tuple[str, ...]
    set: dict[str, str] = {}  # slot → text
    clear: tuple[str, ...] = ()  # slots, or `order`
    order: str = ""  # text with one field: a list of texts that are added to the order


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole script."""

    menu: OfflineMenu = OfflineMenu(())
    slots: dict[str, Slot] = {}
    prompt: dict[str, str] = {}  # name → expression with named groups: its matches in the prompt
    questions: dict[str, Wordings] = {}  # recognised in what the caller has heard
    lists: dict[str, str] = {}
    words: dict[str, str] = {}  # English words in results of tools → words of the script's language
    tools: dict[str, ScriptTool] = {}  # `*` stands for every tool that is not listed
    updates: tuple[Update, ...] = ()
    intents: tuple[Intent, ...]
    fallback: Texts
    waiting: Texts = ("One moment, please.",)  # said while a tool is still running
    done: Texts  # said after a result of a tool to which no answer applies
    trouble: Texts  # the same after a failure
    languages: dict[str, Script] = {}  # scripts for other languages of the call, by language


class _Others(msgspec.Struct):
    languages: dict[str, msgspec.Raw] = {}


_Kind = TypeVar("_Kind")

_PATTERNS = {"phrases", "answer", "values", "prompt"}
_CONDITIONS = {"when", "needs:"}
_NAMES = {
    "call": "called", "answers": "question", "unless": "intent", "listed": "prompt",
    "clear": "slot", "read_back": "question",
}  # fmt: skip
_TEXTS = {
    "say", "needs", "otherwise", "arguments", "set", "order", "lists", "fallback", "waiting",
    "done", "trouble",
}  # fmt: skip
_ROOTS = {"asked", "begins", "failed", "heard", "keys", "order", "result", "tool", "tries"}


def load(script_json: str) -> Script:
    """Read and check a script; raises `UseCaseError` with the first fault and its place."""
    for language, text in _decoded(script_json, _Others, "").languages.items():
        _decoded(text, Script, f".languages.{language}")  # a fault of the whole names no language
    script = _decoded(script_json, Script, "")
    _check(script, "")
    for language, other in script.languages.items():
        _check(other, f".languages.{language}")
    return script


def _decoded(text: str | msgspec.Raw, kind: type[_Kind], place: str) -> _Kind:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        what, _, where = str(error).partition(" - at `")
        part = where.strip("`").removeprefix("$").strip(".") or "script"
        raise UseCaseError(f"offlineScript{place}.{part}: {what}") from error


def _check(script: Script, place: str) -> None:
    known = {
        "slot": {*script.slots, *(name for each in script.updates for name in each.set), "order"},
        "fresh": set(script.slots),
        "intent": {each.name for each in script.intents},
        "prompt": set(script.prompt),
        "question": set(script.questions),
        "called": set(script.tools),
        "offered": set(script.tools),
        **dict.fromkeys(_ROOTS),
    }
    for text, key, where in _strings(script, "", ""):
        for fault in _faults(text, key, known, script.lists):
            raise UseCaseError(f"offlineScript{place}{where}: {fault}")


def _strings(value: object, key: str, where: str) -> Iterator[tuple[str, str, str]]:
    match value:
        case msgspec.Struct():
            for name in value.__struct_fields__:
                if name != "languages":  # checked by themselves
                    yield from _strings(getattr(value, name), name, f"{where}.{name}")
        case dict():
            for name, each in value.items():
                yield name, f"{key}:", where
                yield from _strings(each, key, f"{where}.{name}")
        case list() | tuple():
            for number, each in enumerate(value):
                yield from _strings(each, key, f"{where}[{number}]")
        case str() if value:
            yield value, key, where
        case _:
            pass  # numbers have no names


def _faults(
    text: str, key: str, known: Mapping[str, set[str] | None], lists: Mapping[str, str]
) -> Iterator[str]:
    try:
        if key in _PATTERNS:
            re.compile(text)
        fields = [each for said in parse(text) for each in said] if key in _TEXTS else []
    except (ValueError, re.error) as error:
        yield f"{error} in {text!r}"
        return
    paths = [path for _, path, _ in fields if path and key != "lists"]
    if key in _NAMES:
        paths = [f"{_NAMES[key]}.{text}"]
    elif key in _CONDITIONS:
        paths = [_split(text)[0]]
    for path in paths:
        root, _, rest = path.partition(".")
        names = known.get(root, set())
        if names is not None and (rest.partition(".")[0] or None) not in {None, *names}:
            there = ", ".join(sorted(filter(None, names))) or "none"
            yield f"there is no {path!r}; of {root} there are: {there}"
        elif root not in known:
            yield f"there is no {root!r}; there are: {', '.join(sorted(known))}"
    formats = {spec.partition(" ")[0] for _, _, spec in fields}
    yield from (f"there is no list {name!r}" for name in formats - {"", *_FORMATS, *lists})


@lru_cache(maxsize=4096)
def pattern(phrases: tuple[str, ...], *, or_plural: bool = False) -> re.Pattern[str]:
    """Any of these phrases as whole words."""
    plural = "(?:'s|e?s)?" if or_plural else ""
    return re.compile(rf"\b(?:{'|'.join(phrases)}){plural}\b" if phrases else "(?!)")


def recognise(
    slot: Slot, heard: str, today: date | None, listed: list[dict[str, str]], *, is_answer: bool
) -> object:
    """The value of a slot in the caller's normalised words; `None` or empty if there is none."""
    match slot.kind:
        case "choice":
            ends = {
                found.end(): value
                for value, phrases in slot.values.items()
                for found in pattern((normalise(value), *phrases), or_plural=True).finditer(heard)
            }
            return ends[max(ends)] if ends else None
        case "date":
            day = find_date(heard, today) if today else None
            return day.isoformat() if day else None
        case "time":
            return find_time(heard, is_answer=is_answer)
        case "listed":
            is_chosen = is_answer or pattern(slot.phrases).search(heard)
            return _chosen(slot, listed, heard) if is_chosen else None
        case "number" | "pattern":
            text = _last(pattern(slot.phrases), heard)
            if text is None and is_answer:
                text = _last(pattern(slot.answer), heard)
            return text if slot.kind == "pattern" else _number(text)


def _last(expression: re.Pattern[str], text: str) -> str | None:
    matches = list(expression.finditer(text))
    return next(filter(None, (*matches[-1].groups(), matches[-1][0]))) if matches else None


def _number(text: str | None) -> int | float | None:
    found = _NUMBER.search(text or "")
    return None if found is None else float(found[0]) if "." in found[0] else int(found[0])


def _chosen(slot: Slot, elements: list[dict[str, str]], heard: str) -> dict[str, str] | None:
    said = {word for word in heard.split() if len(word) > 3}
    texts = [_INNER_CAPITAL.sub(" ", " ".join(each.values())) for each in elements]
    shared = [len(said.intersection(normalise(text).split())) for text in texts]
    best = max(shared, default=0)
    if best:
        return elements[shared.index(best)]
    meant = [key for key, phrases in slot.values.items() if pattern(phrases).search(heard)]
    named = (each for each in elements if meant and meant[-1] in each.values())
    if found := next(named, None):
        return found
    place = _number(_last(_PLACE, heard) or _last(_BARE_NUMBER, heard))
    place = len(elements) if _LAST_ONE.search(heard) else place
    is_place = isinstance(place, int) and 1 <= place <= len(elements)
    return elements[place - 1] if isinstance(place, int) and is_place else None


def look_up(value: object, names: list[str]) -> object:
    """The value at a path; a list also has `count` and places, an object `first`."""
    for name in names:
        match value:
            case Mapping() if name in value or name != "first":
                value = value.get(name)
            case Mapping():
                value = next(iter(value.values()), None)
            case list() | tuple():
                there = value[_PLACES.get(name, slice(0))]
                value = len(value) if name == "count" else next(iter(there), None)
            case _:
                return None
    return value


def holds(condition: str, look: Look) -> bool:
    """Whether a condition is true; values are compared as texts without case."""
    path, value = _split(condition)
    found = look(path)
    is_true = speak(found, "", {}).lower() == value.lower() if value else bool(found)
    return is_true is not condition.startswith("not ")


@lru_cache(maxsize=4096)
def _split(condition: str) -> tuple[str, str]:
    path, _, value = condition.removeprefix("not ").partition(" = ")
    return path, value


@lru_cache(maxsize=4096)
def parse(text: str) -> tuple[tuple[tuple[str, str, str], ...], ...]:
    """The sentences of a text, each as its literals with the path and the format that follow."""
    sentences = map(string.Formatter().parse, re.split(r"(?<=[.?!])\s+", text))
    return tuple(
        tuple((word, path or "", spec or "") for word, path, spec, _ in sentence)
        for sentence in sentences
    )


def render(text: str, look: Look, lists: Mapping[str, str]) -> str:
    """The text without the sentences in which a value is unknown or empty."""
    said = []
    for sentence in parse(text):
        values = [speak(look(path), spec, lists) if path else "" for _, path, spec in sentence]
        parts = [(*part, value) for part, value in zip(sentence, values, strict=True)]
        if all(value for _, path, _, value in parts if path):
            said.append("".join(word + value[:MAX_CHARACTERS] for word, _, _, value in parts))
    return " ".join(said)


def value_of(text: str, look: Look, lists: Mapping[str, str]) -> object:
    """The value itself if the text is one field, else the text."""
    match parse(text):
        case ((("", path, ""),),):
            return look(path)
        case _:
            return render(text, look, lists)


def speak(value: object, spec: str, lists: Mapping[str, str]) -> str:
    """A value in words; empty if there are none."""
    name, _, count = spec.partition(" ")
    match value:
        case list() | tuple():
            elements = value[: int(count or MAX_ELEMENTS)]
            if name in lists:
                rows = [each for each in elements if isinstance(each, dict)]
                return join(
                    [render(lists[name], row.get, lists) for row in rows], lists.get("and", "and")
                )
            return join([speak(each, name, lists) for each in elements], lists.get("and", "and"))
        case str() | bool():
            text = ("yes" if value else "") if isinstance(value, bool) else value
        case int() | float() if abs(value) < 10**9:
            text = f"{value:.10g}"
        case _:
            return ""
    try:
        return _FORMATS[name](text) if name in _FORMATS else text
    except ValueError:
        return text


def _money(text: str) -> str:
    amount = float(text)
    return f"${amount:,.0f}" if amount.is_integer() else f"${amount:,.2f}"


def _day(text: str) -> str:
    day = date.fromisoformat(text)
    return f"{day:%A}, {day:%B} {day.day}"


def _title(text: str) -> str:
    return " ".join(word[0].upper() + word[1:] for word in text.split())


_FORMATS: Mapping[str, Callable[[str], str]] = {"money": _money, "day": _day, "title": _title}
