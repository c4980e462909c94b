"""Fragments of tool calls in a stream → complete calls; does no IO.

By the protocol all fragments of a call have the same `index`, and the first has `id` and `name`.
On some servers the index is always 0 or missing (Ollama, Gemini), ids are missing, repeated or new
in each fragment, names are repeated or come in pieces. The rules:

- A fragment without a name continues the call with its id, else with its index, else the last one.
- A fragment with a name begins a call, unless a call has the same id and name, or the same name and
  incomplete arguments, or a name that it continues.
- The names of the offered tools decide whether a name is a part or another name.
- Two calls with the same id, index, name and arguments are one call that was sent twice.

Servers also send an object in place of JSON text, `null` or `{}` before the arguments, JSON inside
a JSON string, an object in a list, or all arguments so far with each fragment. Unreadable arguments
are given out: the conversation asks the model again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

from agent.call.events import ReplyFault
from agent.call.messages import ToolCall
from agent.call.text import whole, whole_json
from agent.call.tool_calls import canonical
from agent.errors import ModelError

Json = dict[str, Any]

MOST_CALLS = 32  # in one reply, and in one delta; further ones are ignored
MOST_CHARACTERS = 64 * 1024  # in the arguments of one reply
_LONGEST_NAME = 256
_MOST_CHECKS = 100  # of arguments for completeness; after them arguments count as incomplete
_DECODER = json.JSONDecoder()
_MOST_VALUES = 64  # most JSON values in the arguments of one call
_DEEPEST_STRING = 4  # how deep JSON strings may contain JSON strings


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str
    name: str
    pieces: list[object] = field(default_factory=list)

    @property
    def has_arguments(self) -> bool:
        return any(piece not in ("", None) for piece in self.pieces)


class ToolCallAssembler:
    """The calls of one reply; `names` are those of the offered tools."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = frozenset(names)
        self._calls: list[_Call] = []
        self._characters = 0
        self._checks = 0

    def add(self, delta: Json) -> None:
        for entry in islice(objects(delta.get("tool_calls")), MOST_CALLS):
            self._add(entry)
        for entry in islice(objects(delta.get("function_call")), 1):
            self._add({"function": entry})

    def complete(self, *, is_cut: bool) -> list[ToolCall]:
        """The calls in their order; if the output was cut off, without incomplete ones."""
        calls: list[ToolCall] = []
        seen: set[tuple[int | None, str, str, str]] = set()
        for call in self._in_order():
            arguments = arguments_of(call.pieces)
            mark = (call.index, call.id, call.name, arguments)
            is_whole = call.has_arguments and is_object(arguments)
            if not call.name or mark in seen or (is_cut and not is_whole):
                continue
            seen.add(mark)
            is_free = call.id and call.id not in {each.id for each in calls}
            identifier = call.id if is_free else f"call-{len(calls)}"
            calls.append(ToolCall(identifier, call.name, arguments))
        return calls

    def _in_order(self) -> list[_Call]:
        if any(call.index is None for call in self._calls):
            return self._calls
        return sorted(self._calls, key=lambda call: call.index or 0)

    def _add(self, entry: Json) -> None:
        part = _fragment(entry)
        if not (part.name or part.id or part.has_arguments):
            return
        self._characters += sum(len(str(piece)) for piece in part.pieces if piece is not None)
        if self._characters > MOST_CHARACTERS:
            raise ModelError(ReplyFault.UNAVAILABLE, "arguments are too long")
        call = self._named(part) if part.name else self._unnamed(part)
        if call is not None:
            call.id = call.id or part.id
            call.pieces += part.pieces
        elif len(self._calls) < MOST_CALLS:
            self._calls.append(part)

    def _unnamed(self, part: _Call) -> _Call | None:
        same_id = [call for call in self._calls if part.id == call.id != ""]
        same_place = [call for call in self._calls if part.index == call.index is not None]
        both = [call for call in same_id if part.index == call.index]
        if found := both or same_id or same_place:
            return found[-1]
        last = next(reversed(self._calls), None)
        return last if last and (part.index is None or not self._is_whole(last)) else None

    def _named(self, part: _Call) -> _Call | None:
        """The call that a fragment with a name continues; None = it begins one."""
        if (call := self._marked(part)) is None:
            return None
        is_same_id, is_other_id = part.id == call.id != "", part.id != call.id != "" != part.id
        if part.name == call.name:
            is_again = part.pieces == call.pieces or not call.has_arguments
            open_again = call.has_arguments and not self._is_whole(call)
            return call if is_same_id or open_again or (is_again and not is_other_id) else None
        if is_other_id or call.name in self._names or (call.has_arguments and not is_same_id):
            return None
        is_longer = part.name.startswith(call.name)
        if part.name in self._names and not is_longer:
            return None
        call.name = part.name if is_longer else (call.name + part.name)[:_LONGEST_NAME]
        return call

    def _marked(self, part: _Call) -> _Call | None:
        near = {part.index, None}
        same_id = [call for call in self._calls if part.id == call.id != ""]
        here = [call for call in same_id if part.index is None or call.index in near]
        if here:
            return here[-1]
        found = next((call for call in reversed(same_id) if part.name == call.name), None)
        if found is not None and found.has_arguments and not self._is_whole(found):
            return found
        same_place = [call for call in self._calls if part.index in {None, call.index}]
        return next(reversed(same_place), None)

    def _is_whole(self, call: _Call) -> bool:
        """Whether the arguments are complete, and not the `{}` that some servers begin with."""
        self._checks += 1
        if self._checks > _MOST_CHECKS:
            return False
        arguments = arguments_of(call.pieces)
        return arguments != "{}" and is_object(arguments)


def _fragment(entry: Json) -> _Call:
    function = entry.get("function")
    source = function if isinstance(function, dict) else entry
    index, identifier = _index(entry.get("index")), _text(entry.get("id"))
    return _Call(index, identifier, _text(source.get("name")), [source.get("arguments")])


def objects(value: object) -> Iterator[Json]:
    """The objects in a list, or one object in its place."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            yield each


def _text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 2**63 else ""
    return whole(value)[:_LONGEST_NAME] if isinstance(value, str) else ""


def _index(value: object) -> int | None:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isdecimal() and len(text) < 10 else None


def arguments_of(pieces: Sequence[object]) -> str:
    """The arguments in the parts of a call as JSON text; `{}` if there are none."""
    texts = [piece if isinstance(piece, str) else _json_text(piece) for piece in pieces]
    text = whole_json("".join(texts)).strip()
    if not text:
        return "{}"
    if is_object(text):
        return text
    if (read := _one_object(text)) is not None:
        return _json_text(read)
    last = whole(texts[-1]).strip()
    if all(later.startswith(earlier) for earlier, later in pairwise(texts)) and is_object(last):
        return last
    return text


def is_object(text: str) -> bool:
    """Whether text is valid as the arguments of a call."""
    return canonical(text) is not None


def _one_object(text: str) -> dict[str, Any] | None:
    """The last of several objects that each contain the previous ones; None for anything else."""
    try:
        found = [each for value in _values(text) for each in _objects(value, _DEEPEST_STRING)]
    except (ValueError, RecursionError):
        return None
    is_growing = all(one.items() <= other.items() for one, other in pairwise(found))
    return (found or [{}])[-1] if is_growing else None


def _values(text: str) -> Iterator[Any]:
    """Concatenated JSON values. Raises ValueError for anything else."""
    at = 0
    for _ in range(_MOST_VALUES):
        at += len(text[at:]) - len(text[at:].lstrip())
        if at == len(text):
            return
        value, at = _DECODER.raw_decode(text, at)
        yield value
    raise ValueError("too many values")


def _objects(value: Any, deepest: int) -> Iterator[dict[str, Any]]:
    """The objects in a value, a JSON string or a list. Raises ValueError for anything else."""
    match value:
        case None | "" | "null" | []:
            return
        case dict():
            yield value
        case str() if deepest:
            for inner in _values(value):
                yield from _objects(inner, deepest - 1)
        case [inner] if deepest:
            yield from _objects(inner, deepest - 1)
        case _:
            raise ValueError("no object")


def _json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if value is not None else ""
